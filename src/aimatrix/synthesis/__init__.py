"""Searches the widths with which a small model does a profile's work, and lays it out."""
