"""Measures real applications and the benchmark interleaved and states the fidelity error."""
