"""The values that stages of the pipeline hand to each other; only their own consistency."""
