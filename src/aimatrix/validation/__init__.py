"""Measures real applications and the benchmark side by side: the fidelity errors."""

from aimatrix.validation.fidelity import DIED, mix_validation, validate, validate_mixes
from aimatrix.validation.measure_mix import StandIn
from aimatrix.validation.platforms import default_platforms, parse_platform
from aimatrix.validation.suite import Application, Suite, load_suite

__all__ = [
    "DIED",
    "Application",
    "StandIn",
    "Suite",
    "default_platforms",
    "load_suite",
    "mix_validation",
    "parse_platform",
    "validate",
    "validate_mixes",
]
