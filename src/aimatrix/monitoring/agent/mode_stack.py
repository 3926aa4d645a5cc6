"""Puts a dispatch mode on this thread's stack of modes, or takes it off, wherever the thread is.

Modes belong on the stack in the order of ``with`` statements. Whoever has one above ours takes it
off again at some time, and a mode whose handler runs is off the stack meanwhile. Both stay right
when ours goes in or out at the bottom. Where torch itself works on the stack, or traces, nothing
may change: `is_quiet` tells.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import torch
from torch.utils import _python_dispatch as modes

_TORCH = os.path.dirname(torch.__file__) + os.sep

#: Parts of torch that call an application's code and leave modes and tracing alone. The others
#: (dynamo, functorch, fake tensors, export, modes themselves) are waited for.
_HARMLESS = (
    "nn" + os.sep,
    "optim" + os.sep,
    "autograd" + os.sep,
    "amp" + os.sep,
    "distributed" + os.sep,
    "distributions" + os.sep,
    "multiprocessing" + os.sep,
    os.path.join("utils", "data") + os.sep,
    os.path.join("utils", "_contextlib.py"),
    os.path.join("utils", "checkpoint.py"),
    os.path.join("utils", "flop_counter.py"),
    os.path.join("fx", "graph_module.py"),
    "_tensor.py",
    "functional.py",
)
_harmless_files: dict[str, bool] = {}


def is_quiet() -> bool:
    """Whether this thread's stack may be changed: torch is not at work on it, nor traces."""
    return (
        # autograd gives every operator of a backward pass the stack that there was at its start
        torch._C._current_graph_task_id() == -1
        and torch._C._get_tracing_state() is None
        and torch._C._functorch.peek_interpreter_stack() is None
        and not torch._C._dispatch_tls_is_dispatch_key_excluded(torch._C.DispatchKey.Python)
        and all(torch._C._get_dispatch_mode(mode) is None for mode in _infra_modes())
        and _only_harmless_code_runs()
    )


def is_on(mode: Any) -> bool:
    """Whether ``mode`` is on the stack; it is not while its handler runs."""
    return any(each is mode for each in _stack())


def put_at_bottom(mode: Any) -> None:
    """Have ``mode`` below all others of the application."""
    if not is_on(mode):
        _replace([mode, *_stack()])


def take_off(mode: Any) -> None:
    """Have ``mode`` no more on the stack, with all others as they were."""
    if is_on(mode):
        _replace([each for each in _stack() if each is not mode])


def _stack() -> list[Any]:
    return list(modes._get_current_dispatch_mode_stack())


def _replace(stack: list[Any]) -> None:
    for _ in _stack():
        modes._pop_mode()
    for mode in stack:
        modes._push_mode(mode)


def _infra_modes() -> tuple[Any, ...]:
    keys = torch._C._TorchDispatchModeKey
    return keys.FAKE, keys.PROXY, keys.FUNCTIONAL


def _only_harmless_code_runs() -> bool:
    frame: Any = sys._getframe(1)
    while frame is not None:
        if not _is_harmless(frame.f_code.co_filename):
            return False
        frame = frame.f_back
    return True


def _is_harmless(file: str) -> bool:
    known = _harmless_files.get(file)
    if known is None:
        inside = file.startswith(_TORCH)
        known = not inside or file[len(_TORCH) :].startswith(_HARMLESS)
        _harmless_files[file] = known
    return known
