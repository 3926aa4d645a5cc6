"""The report: one self-contained HTML page from any artefacts of the pipeline."""

from aimatrix.reporting.page import render

__all__ = ["render"]
