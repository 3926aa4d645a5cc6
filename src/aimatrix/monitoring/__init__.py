"""Watches a running command and logs its operators."""

from aimatrix.monitoring.delivery import WindowCount
from aimatrix.monitoring.in_process import record_calls
from aimatrix.monitoring.launcher import run_monitored
from aimatrix.monitoring.leftovers import any_left, bring_in
from aimatrix.monitoring.recording import to_records
from aimatrix.monitoring.run_folder import Run, encodable, this_host
from aimatrix.monitoring.signals import end_like

__all__ = [
    "Run",
    "WindowCount",
    "any_left",
    "bring_in",
    "encodable",
    "end_like",
    "record_calls",
    "run_monitored",
    "this_host",
    "to_records",
]
