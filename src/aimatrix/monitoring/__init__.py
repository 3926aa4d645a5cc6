"""Watches a running command and logs its operators."""

from aimatrix.monitoring.delivery import WindowCount
from aimatrix.monitoring.in_process import record_calls
from aimatrix.monitoring.launcher import run_monitored
from aimatrix.monitoring.leftovers import Leftover, any_left, bring_in
from aimatrix.monitoring.leftovers import collect as collect_leftovers
from aimatrix.monitoring.recording import to_pair_records, to_records
from aimatrix.monitoring.run_folder import Run, encodable, new_spool, spool_folders, this_host
from aimatrix.monitoring.signals import end_like
from aimatrix.monitoring.warps import MeasuredWarps

__all__ = [
    "Leftover",
    "MeasuredWarps",
    "Run",
    "WindowCount",
    "any_left",
    "bring_in",
    "collect_leftovers",
    "encodable",
    "end_like",
    "new_spool",
    "record_calls",
    "run_monitored",
    "spool_folders",
    "this_host",
    "to_pair_records",
    "to_records",
]
