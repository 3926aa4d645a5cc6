"""Watches a running command and logs its operators."""

from aimatrix.monitoring.in_process import record_calls
from aimatrix.monitoring.launcher import WindowCount, recover, run_monitored
from aimatrix.monitoring.recording import to_records
from aimatrix.monitoring.signals import end_like

__all__ = ["WindowCount", "end_like", "record_calls", "recover", "run_monitored", "to_records"]
