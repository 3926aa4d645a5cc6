"""Writes the benchmark folder: specification, standalone model, its README."""
