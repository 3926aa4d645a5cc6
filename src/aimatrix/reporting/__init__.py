"""Draws one self-contained HTML page from profile, benchmark and results."""
