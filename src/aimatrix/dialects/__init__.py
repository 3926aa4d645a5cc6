"""Translates the operator spellings of each framework into the canonical calls of `aimatrix.ops`."""
