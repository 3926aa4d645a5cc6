"""Records, rarely, one call of a model under torch's profiler, so that its warps can be measured.

A window is one call of an outermost ``nn.Module``, or one backward pass, in the thread that makes
it: it begins and ends between operators, and it ends for certain, with the call. For that two
functions of torch are replaced from the time a window is due until the first call that comes; a
function that torch compiles passes through both as if they were torch's own. The profiler of a
thread crashes when one of another thread begins and ends within it, so who starts one in the
application waits for a window's end, and is never met again: from then on there are no windows.

The trace and the schemas of its operators go into the spool as files; the launcher reads them.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import torch
from torch.autograd import profiler as profilers

from .notice import notice
from .trace_files import SCHEMAS, TRACE

#: outermost calls before the first window: the first ones try algorithms and allocate
WARM_UP_CALLS = 3
#: seconds between the windows; the last pause stays
PAUSES = (60.0, 300.0, 1200.0)
#: a larger trace is not kept
LARGEST_TRACE = 64 << 20
#: seconds that the application's own profiler waits at most for the end of a window
LONGEST_WAIT = 60.0
#: CUDA before this crashes when graphs are replayed after a profiler (pytorch PR 112507, 150957)
OLDEST_CUDA = (12, 6)
#: set by Nsight, CUPTI tools and dynolog, which share with torch what only one can use
OTHER_PROFILERS = ("NSYS_PROFILING_SESSION_ID", "CUDA_INJECTION64_PATH", "KINETO_USE_DAEMON")


class WarpWindows:
    """Windows of one process, from the moment when it first uses CUDA."""

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._reset()

    def start(self) -> str:
        """Have windows once CUDA is in use; gives why there can be none, empty if there can."""
        reason = _why_not()
        if reason:
            return reason
        self._give_way_to_profilers()
        os.register_at_fork(after_in_child=self._reset)
        torch.cuda._lazy_call(self.begin)  # type: ignore[no-untyped-call]
        return ""

    def begin(self) -> None:
        """Have the first window after a few calls, and more of them as time goes by."""
        try:
            self._arm(WARM_UP_CALLS)
            threading.Thread(target=self._arm_again, name="aimatrix-warps", daemon=True).start()
        except Exception as error:
            self._stop(f"{error!r}")

    def _reset(self) -> None:
        """Begin anew: in a forked child there is neither a window nor the thread that arms."""
        self._over = False
        self._free = threading.Lock()  # held while there is a window
        self._profiler: _Profiler | None = None
        for door in _DOORS:
            door.disarm()

    def _arm(self, warm_up: int) -> None:
        if not self._over:
            for door in _DOORS:
                door.arm(self, warm_up)

    def _arm_again(self) -> None:
        for pause in PAUSES:
            time.sleep(pause)
            self._arm(0)
        while not self._over:
            time.sleep(PAUSES[-1])
            self._arm(0)

    def _stop(self, reason: str = "") -> None:
        self._over = True
        for door in _DOORS:
            door.disarm()
        if reason:
            notice(f"warps are measured no more: {reason}")

    def begin_window(self) -> _Profiler | None:
        """Profile this thread from now on; None where it must not be profiled now."""
        if self._over or not self._free.acquire(blocking=False):
            return None
        try:
            if not self._over and not _is_busy():
                self._profiler = _Profiler()
                return self._profiler
        except Exception as error:
            self._stop(f"{error!r}")
        self._free.release()
        return None

    def end_window(self, profiler: _Profiler) -> None:
        """End what `begin_window` gave, and keep what it recorded."""
        if profiler.process != os.getpid() or not profiler.claim():
            return  # a forked child; or the application's own profiler runs already: hands off
        free = self._free
        try:
            profiler.stop()
            self._save(profiler.results)
        except Exception as error:
            self._stop(f"{error!r}")
        finally:
            free.release()

    def _save(self, results: Any) -> None:
        if self._over or results is None:
            return
        stem = os.path.join(self._folder, f"{os.getpid()}-{time.time_ns()}")
        unfinished = f"{stem}{TRACE}.tmp"
        try:
            _write(stem + SCHEMAS, json.dumps(schemas({e.name() for e in results.events()})))
            results.save(unfinished)
            os.chmod(unfinished, 0o600)  # it has the names that the application gave its ranges
            if os.path.getsize(unfinished) > LARGEST_TRACE:
                raise OSError("a model's call makes too large a trace")
            os.replace(unfinished, stem + TRACE)
        except Exception:
            for path in (unfinished, stem + SCHEMAS):
                if os.path.exists(path):
                    os.remove(path)
            raise

    def _give_way_to_profilers(self) -> None:
        """Before the application uses a profiler of its own, end ours and have no more windows."""
        for name in ("_prepare_profiler", "_enable_profiler"):
            original = getattr(profilers, name, None)
            if original is not None:
                setattr(profilers, name, self._after_our_own(original))

    def _after_our_own(self, original: Callable[..., Any]) -> Callable[..., Any]:
        def start(*args: Any, **kwargs: Any) -> Any:
            if not _starting.now:
                self._stop()
                self._wait_for_window()
            return original(*args, **kwargs)

        return start

    def _wait_for_window(self) -> None:
        profiler = self._profiler
        if profiler is not None and profiler.thread == threading.get_ident():
            if profiler.claim():  # it cannot end while we wait
                profiler.stop()
                self._free.release()
        elif self._free.acquire(timeout=LONGEST_WAIT):
            self._free.release()
        elif profiler is not None and profiler.claim():
            notice("a window of measured warps did not end; it is given up")
            self._free.release()
        else:
            with self._free:  # it is just beginning or ending
                pass


class Door:
    """A function of torch that opens a window for the first outermost call after `arm`.

    original: the function; ours: what takes its place meanwhile, and leads to `enter`.
    """

    def __init__(self, owner: Any, name: str, original: Any, ours: Any) -> None:
        self._owner = owner
        self._name = name
        self._original = original
        self._ours = ours
        self._windows: WarpWindows | None = None
        self._calls_to_come = 0
        self._thread = _Inside()

    def arm(self, windows: WarpWindows, warm_up: int) -> None:
        """Wait for an outermost call, after ``warm_up`` others."""
        if getattr(self._owner, self._name) is not self._original:
            return  # we wait already, or the application has a function of its own there
        _hide_from_compilers(self._ours, Door.enter)
        self._windows = windows
        self._calls_to_come = warm_up
        setattr(self._owner, self._name, self._ours)

    def disarm(self) -> None:
        """Wait no more; if someone has wrapped our function it stays, and lets through."""
        self._windows = None
        if getattr(self._owner, self._name) is self._ours:
            setattr(self._owner, self._name, self._original)

    def enter(self, args: Any, kwargs: Any) -> Any:
        """Call the function, in a window if it is time for one."""
        windows = self._windows
        if windows is None or self._thread.inside or _runs(self._original.__code__):
            return self._original(*args, **kwargs)
        self._thread.inside = True
        window = None
        try:
            if self._calls_to_come > 0:
                self._calls_to_come -= 1
            else:
                window = windows.begin_window()
                if window is not None:
                    self.disarm()
            return self._original(*args, **kwargs)
        finally:
            self._thread.inside = False
            if window is not None:
                windows.end_window(window)


class _Inside(threading.local):
    """Whether the thread is inside an outermost call that has passed the door."""

    inside = False


# What torch compiles while a window is awaited has in it what these functions do then: to call
# torch's own. They have no closures, for those would be looked at before each compiled call.
_call_module: Any = torch.nn.Module._call_impl
_run_backward: Any = torch.autograd.backward


def _module_called(*args: Any, **kwargs: Any) -> Any:
    if torch.compiler.is_compiling():
        return _call_module(*args, **kwargs)
    return _MODULES.enter(args, kwargs)


def _backward_called(*args: Any, **kwargs: Any) -> Any:
    if torch.compiler.is_compiling():
        return _run_backward(*args, **kwargs)
    return _BACKWARD.enter(args, kwargs)


_MODULES = Door(torch.nn.Module, "_call_impl", _call_module, _module_called)
_BACKWARD = Door(torch.autograd, "backward", _run_backward, _backward_called)
_DOORS = (_MODULES, _BACKWARD)


class _Starting(threading.local):
    """Whether the thread is just starting a window."""

    now = False


_starting = _Starting()


class _Profiler:
    """torch's profiler, on in this thread from the start; ``results``: what it recorded."""

    def __init__(self) -> None:
        self.results: Any = None
        self.process = os.getpid()
        self.thread = threading.get_ident()
        self._unclaimed = threading.Lock()
        make: Any = profilers.profile
        self._profiler = make(use_kineto=True, use_device="cuda", record_shapes=True)
        _starting.now = True
        try:
            self._profiler.__enter__()
        finally:
            _starting.now = False

    def claim(self) -> bool:
        """Whether it is the caller, the first to ask, that says whether it is stopped."""
        return self._unclaimed.acquire(blocking=False)

    def stop(self) -> None:
        """Wait for the GPU, and end the recording; whatever becomes of the GPU, it ends."""
        with suppress(Exception):  # the application's own error: it meets it at its next call
            in_use: Any = torch._C._cuda_hasPrimaryContext  # type: ignore[attr-defined]
            for device in filter(in_use, range(torch.cuda.device_count())):
                torch.cuda.synchronize(device)
        self._profiler.use_device = None  # or it would wait itself, and stay on if that fails
        self._profiler.__exit__(None, None, None)
        self.results = self._profiler.kineto_results


def schemas(names: set[str]) -> dict[str, list[Any]]:
    """Operator name -> its overloads: [name, [[argument, type], ...]]; unknown ones left out."""
    found = {}
    for name in names:
        overloads = torch._C._jit_get_schemas_for_operator(name) if "::" in name else []
        if overloads:
            found[name] = [
                [each.overload_name, [[a.name, str(a.type)] for a in each.arguments]]
                for each in overloads
            ]
    return found


def _why_not() -> str:
    """Why there can be no windows in this process; empty if there can."""
    version = torch.version.cuda
    if version is None:
        return "this torch has no CUDA"
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_CUDA:
        oldest = ".".join(map(str, OLDEST_CUDA))
        return f"CUDA {version} is not safe to profile beside CUDA graphs; {oldest} is"
    if any(name in os.environ for name in OTHER_PROFILERS):
        return "another profiler watches this process"
    return ""


def _is_busy() -> bool:
    """Whether this is no moment for a window: others profile, capture a graph, or trace."""
    if profilers._is_profiler_enabled or torch._C._autograd._profiler_enabled():
        return True
    if torch._C._get_tracing_state() is not None or torch.cuda._is_in_bad_fork():
        return True
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return True  # ranks that wait for their GPUs at such a moment may wait for each other
    return bool(torch.cuda.is_current_stream_capturing())  # to wait for the GPU would break it


def _runs(code: Any) -> bool:
    """Whether a call of a function further out is running in this thread, by its code."""
    frame: Any = sys._getframe(2)
    while frame is not None:
        if frame.f_code is code:
            return True
        frame = frame.f_back
    return False


def _hide_from_compilers(*functions: Any) -> None:
    """Have torch.compile begin no graph at a frame of these; without importing dynamo."""
    from torch._C._dynamo import eval_frame

    skip = eval_frame._FrameExecStrategy(
        eval_frame._FrameAction.SKIP, eval_frame._FrameAction.DEFAULT
    )
    for function in functions:
        eval_frame.set_code_exec_strategy(function.__code__, skip)


def _write(path: str, text: str) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL
    with open(os.open(path, flags, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
