"""Three classic networks as plain programs that know nothing of AI Matrix."""
