"""Lowers a benchmark onto a framework and times it: one adapter a file, loaded when asked for."""
