"""Searches the widths with which a small model does the work of a profile, and lays the model out."""
