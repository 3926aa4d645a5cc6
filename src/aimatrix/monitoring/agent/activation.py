"""Joins captures and the spool in a process that has just imported a framework."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from .capture import Capture
from .notice import notice
from .spool import SpoolTally

CONFIGURATION = "agent.json"
#: in the spool: the person has been told that a process of this run falls back
TOLD = "fallback.told"
#: in the spool: the person has been told that a process measures no warps
UNMEASURED = "unmeasured.told"
#: how the line ends that tells so
FALLBACK = "counting in Python, which is slower"


def _native(configuration: Mapping[str, Any], spool: str) -> Capture:
    from .native import LibraryMissingError, open_native

    try:
        return open_native(configuration, spool)
    except LibraryMissingError as missing:
        if _is_first_to_tell(spool, TOLD):
            notice(f"the native capture is not used: {missing}; {FALLBACK}")
        return _dispatch(configuration, spool)


def _dispatch(configuration: Mapping[str, Any], spool: str) -> Capture:
    from .dispatch import DispatchCapture
    from .dispatch_sampling import Budget
    from .pairs import Pairs
    from .threads import tell_of_older_threads

    tally = _tally(spool, configuration)
    budget = Budget(configuration["budget"], configuration["allowance"])
    budgeted = (budget, tally) if budget.share > 0 else None
    capture = DispatchCapture(configuration["attributes"], tally, budgeted, Pairs(tally))
    tell_of_older_threads()  # a mode belongs to a thread: the native capture sees them all
    return capture


#: name -> how to make it from the launcher's configuration, for the spool in a folder
CAPTURES: dict[str, Callable[[Mapping[str, Any], str], Capture]] = {
    "native": _native,
    "dispatch": _dispatch,
}


def watch_torch(_: ModuleType, spool: str) -> None:
    """Start the capture that the launcher configured in the folder ``spool``."""
    configuration = _configuration(spool)
    capture = CAPTURES[configuration["capture"]](configuration, spool)
    os.register_at_fork(after_in_child=capture.reset_after_fork)
    capture.start()
    _follow_regions(capture)
    if configuration.get("warps"):
        _measure_warps(spool)


def watch_onnx_runtime(onnxruntime: ModuleType, spool: str) -> None:
    """Count the runs of sessions into the folder ``spool``."""
    from .onnx_runtime import SessionCapture

    SessionCapture(spool, _tally(spool, _configuration(spool))).follow(onnxruntime)


def watch_jax(jax: ModuleType, spool: str) -> None:
    """Count jitted functions into the folder ``spool``."""
    from .jax_functions import follow

    follow(jax, _tally(spool, _configuration(spool)))


def _configuration(spool: str) -> dict[str, Any]:
    with open(os.path.join(spool, CONFIGURATION), encoding="utf-8") as file:
        configuration: dict[str, Any] = json.load(file)
    return configuration


def _tally(spool: str, configuration: Mapping[str, Any]) -> SpoolTally:
    tally = SpoolTally(spool, configuration["capacity"])
    # what the parent counted is in the parent's files; the child makes its own
    os.register_at_fork(after_in_child=tally.reset)
    return tally


def _follow_regions(capture: Capture) -> None:
    """Count compiled code and CUDA graphs by what they stand for, where the capture can."""
    try:
        from . import compiled, cuda_graphs
        from .native import NativeCapture
        from .regions import Regions

        if isinstance(capture, NativeCapture):
            regions = Regions(capture.path)
            cuda_graphs.follow(regions)
            compiled.follow(regions)
    except Exception as error:
        notice(f"compiled code is counted by the operators that it calls: {error!r}")


def _measure_warps(spool: str) -> None:
    try:
        from .warps import WarpWindows

        reason = WarpWindows(spool).start()
    except Exception as error:
        reason = repr(error)
    if reason and _is_first_to_tell(spool, UNMEASURED):
        notice(f"warps are not measured: {reason}")


def _is_first_to_tell(spool: str, mark: str) -> bool:
    """Whether no other process of the run has; where it cannot be marked, each tells."""
    try:
        os.close(os.open(os.path.join(spool, mark), os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        return False
    except OSError:
        pass
    return True
