"""Translates each framework's operator spellings into the canonical calls of `aimatrix.ops`."""
