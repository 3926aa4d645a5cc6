"""Turns workload records into a profile: groups of like operators with their totals."""
