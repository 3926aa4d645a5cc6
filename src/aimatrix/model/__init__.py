"""The values that stages of the pipeline hand to each other; no logic beyond their own consistency."""
