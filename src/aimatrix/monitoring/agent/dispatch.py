"""Captures operators with a torch dispatch mode: Python only, works with every build of torch.

A mode sees what autograd hands on: ``linear`` arrives as ``t`` and ``addmm``, a convolution as
``aten::convolution``; under ``torch.inference_mode`` the outermost spelling arrives instead. It
belongs to a thread: see `threads`. What it costs is in `docs/monitoring.md`; the main thread holds
it under a budget where one is given: see `dispatch_sampling`.
"""

from __future__ import annotations

import threading
import time
from _thread import get_ident
from collections.abc import Callable, Hashable, Mapping, Sequence
from types import CodeType, FunctionType
from typing import Any

import torch
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.utils import _python_dispatch as modes

from . import (
    alarm,
    dispatch_sampling,
    mode_stack,
    objects,
    own_time,
    pairs,
    pending_call,
    windows,
)
from .capture import NO_WORK, Description, EstimatingTally, Tally
from .dispatch_sampling import Budget, Sampler
from .failures import is_ours
from .notice import notice
from .pairs import Pairs
from .signature import Plan, describe, describe_by_name, key, numbers_as_tensors
from .threads import ThreadFollower
from .tracing import TracingGuard

_in_backward = torch._C._current_graph_task_id
_is_grad_enabled = torch.is_grad_enabled
_plain = torch._C._disabled_torch_dispatch_impl
# how many modes wait below ours, which torch takes off the stack while it runs
_other_modes = torch._C._len_torch_dispatch_stack

#: from torch's error for an argument of the wrong type: the operator has not run
_WANTS_TENSOR = "Expected a value of type 'Tensor'"


class DispatchCapture:
    """The dispatch mode as a capture: on this thread, and on those that start later.

    budgeted: the budget, and the tally that estimates go to; without it every call counts.
    pairs: looks at calls for who consumes whose output; without it none is looked at.
    """

    name = "dispatch"

    def __init__(
        self,
        attributes: Mapping[str, Sequence[str]],
        tally: Tally,
        budgeted: tuple[Budget, EstimatingTally] | None = None,
        pairs: Pairs | None = None,
    ) -> None:
        if not hasattr(modes.TorchDispatchMode, "ignore_compile_internals"):
            # without it a mode would turn compiled models into eager ones
            raise RuntimeError(f"torch {torch.__version__} is too old to be watched from Python")
        self._phases = _Phases()
        self._pairs = pairs
        self._mode = CountingMode(attributes, tally, self._phases, pairs)
        self._sampler: Sampler | None = None
        if budgeted is not None:
            self._sampler = Sampler(*budgeted)
            self._sampled_mode = SampledMode(attributes, self._sampler, self._phases, pairs)
        self._follower = ThreadFollower(self._enter, self._leave)
        self._guard = TracingGuard(self._enter, self._leave)

    def start(self) -> None:
        """Begin to see calls."""
        objects.forget_all()  # others may have taken their addresses while no one looked
        _keep_dynamo_out()
        self._phases.start()
        self._guard.start()
        if self._sampler is not None:
            self._sampler.start(self._sampled_mode)
        self._enter()
        self._follower.start()

    def stop(self) -> None:
        """See no more calls of this thread and of new ones."""
        self._follower.stop()
        if self._sampler is not None:
            self._sampler.stop()
        self._leave()
        self._guard.stop()
        self._phases.stop()

    def reset_after_fork(self) -> None:
        """See calls again where sampling had the mode off the stack of the thread that forked."""
        if self._pairs is not None:
            self._pairs.reset()
        if self._sampler is not None:
            self._sampler.reset_after_fork()

    def _mode_here(self) -> CountingMode:
        """This thread's mode: threads that cannot be sampled count every call."""
        if self._sampler is not None and get_ident() == self._sampler.thread:
            return self._sampled_mode
        return self._mode

    def _enter(self) -> None:
        # pushed without ``with``: that also sets flags of the whole process, which threads that
        # come and go would leave in disorder, and which other parts of torch look at
        try:
            modes._push_mode(self._mode_here())
        except Exception as error:
            notice(f"a thread is not watched: {error!r}")

    def _leave(self) -> bool:
        """Take the mode off, if it is on top of this thread's; whether it was."""
        try:
            if modes._get_current_dispatch_mode() is self._mode_here():
                modes._pop_mode()
                return True
        except Exception as error:
            notice(f"a thread is watched longer than it should be: {error!r}")
        return False


class CountingMode(modes.TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts each operator call in a tally, and runs it unchanged.

    After a failure of its own it says so once and only hands calls on.
    """

    # operators that take functions (cond, flex_attention) refuse to run under a mode without this
    supports_higher_order_operators = True
    _is_told = False

    def __init__(
        self,
        attributes: Mapping[str, Sequence[str]],
        tally: Tally,
        phases: _Phases,
        pairs: Pairs | None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._attributes = attributes
        self._tally = tally
        self._slots = tally.slots
        self._add: Callable[[int], object] = tally.add
        self._phases = phases
        self._pairs = pairs
        self._plans: dict[int, Plan] = {}
        self._failed = False

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        # True would import torch._dynamo, more than a second, at the first operator
        return False

    @classmethod
    def ignore_compile_internals(cls) -> bool:
        """Compiled models stay compiled; seen are the operators that compiled code calls."""
        return True

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run ``func`` and count it."""
        if kwargs is None:
            kwargs = {}
        if types and _any_subclass(types):
            if _other_modes() and _is_traced():
                return func(*args, **kwargs)  # torch's own mode for these tensors runs next
            # a tensor subclass (distributed, quantised): its own handler runs next, and we see
            # what that does with plain tensors
            return NotImplemented
        slot = self._slot(func, args, kwargs)
        try:
            result = func(*args, **kwargs)
        except RuntimeError as error:
            tensors = numbers_as_tensors(func, args) if _WANTS_TENSOR in str(error) else None
            if tensors is None:
                raise
            result = func(*tensors, **kwargs)
        if slot >= 0:
            _until_here = self._add(slot)  # what a sampler gives has to end with this frame
            pairs = self._pairs
            if pairs is not None:
                pairs.calls += 1
                if pairs.calls > pairs.begin:
                    self._look(pairs, func, slot, args, kwargs, result)
        return result

    def _look(
        self,
        pairs: Pairs,
        func: Any,
        slot: int,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        result: Any,
    ) -> None:
        try:
            pairs.look(self._plans[id(func)], slot, args, kwargs, result)
        except Exception as error:
            if not is_ours(error):
                raise
            self._pairs = None
            notice(f"this process's calls are not paired any more: {error!r}")

    def _slot(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        if self._failed or (_other_modes() and _is_fake()):
            return NO_WORK
        try:
            plan = self._plans.get(id(func))
            if plan is None:
                plan = self._plans[id(func)] = Plan(func, self._attributes)
            phase = self._phases.current()
            try:
                signature = key(plan, phase, args, kwargs)
            except RuntimeError as error:  # a nested tensor: it has no shape
                if not is_ours(error):
                    raise
                return self._open((plan.ident, phase), lambda: describe_by_name(plan, phase))
            slot = self._slots().get(signature)
            if slot is None:
                return self._open(signature, lambda: describe(plan, phase, args, kwargs))
            return slot
        except Exception as error:
            if not is_ours(error):
                raise
            self._failed = True
            self._tell(error)
            return NO_WORK

    @staticmethod
    def _tell(error: Exception) -> None:
        if not CountingMode._is_told:  # threads may have modes of their own
            CountingMode._is_told = True
            notice(f"this process is watched no more: {error!r}")

    def _open(self, signature: Hashable, description: Callable[[], Description | None]) -> int:
        slots = self._slots()
        if signature not in slots:
            slot = self._tally.open(description)
            if slot == 0:
                return slot  # calls beyond the capacity would fill the memory with their keys
            slots[signature] = slot
        return slots[signature]


class SampledMode(CountingMode):  # type: ignore[no-untyped-call]
    """Counts for a sampler, and has its meter know of calls in the watched thread."""

    def __init__(
        self,
        attributes: Mapping[str, Sequence[str]],
        sampler: Sampler,
        phases: _Phases,
        pairs: Pairs | None,
    ) -> None:
        super().__init__(attributes, sampler.tally, phases, pairs)
        self._add = sampler.count
        self._sampler = sampler
        self._meter = sampler.meter

    def _slot(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> int:
        meter = self._meter
        if get_ident() == self._sampler.thread:
            meter.calls += 1
            if meter.calls >= meter.next_timed:
                begin = time.perf_counter_ns()
                slot = CountingMode._slot(self, func, args, kwargs)
                meter.note(time.perf_counter_ns() - begin)
                return slot
        return CountingMode._slot(self, func, args, kwargs)

    def _look(self, pairs: Pairs, *call: Any) -> None:
        if self._sampler.is_exact:
            CountingMode._look(self, pairs, *call)
        else:
            pairs.forget()  # in gaps, storages change hands unseen


def _is_traced() -> bool:
    """Whether a mode of torch's own, for tracing, is active: those are always below all others."""
    keys = torch._C._TorchDispatchModeKey
    return _is_fake() or any(
        torch._C._get_dispatch_mode(mode) is not None for mode in (keys.FUNCTIONAL, keys.PROXY)
    )


def _is_fake() -> bool:
    """Whether operators compute shapes alone at the moment: no work."""
    return torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE) is not None


def _any_subclass(types: Any) -> bool:
    # torch names its own Tensor and Parameter here when it detaches a result
    for kind in types:  # noqa: SIM110 - a generator would be one more frame at each operator
        if kind.__torch_dispatch__ is not _plain:
            return True
    return False


class _Phases(threading.local):
    """Which phase of training the calling thread is in."""

    def __init__(self) -> None:
        self.stepping = False

    def current(self) -> str:
        """forward, backward or optimizer."""
        if _in_backward() != -1:
            return "backward"
        # a closure that an optimizer calls for new gradients runs with gradients enabled
        if self.stepping and not _is_grad_enabled():
            return "optimizer"
        return "forward"

    def start(self) -> None:
        self._handles = [
            register_optimizer_step_pre_hook(self._before_step),
            register_optimizer_step_post_hook(self._after_step),
        ]

    def stop(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _before_step(self, *_: Any) -> None:
        # a compiled step traces this hook: nothing in it may stop the tracing
        if not torch.compiler.is_compiling():
            self.stepping = True

    def _after_step(self, *_: Any) -> None:
        if not torch.compiler.is_compiling():
            self.stepping = False


def _keep_dynamo_out() -> None:
    """Tell torch.compile to leave our functions alone; without importing torch._dynamo."""
    from torch._C._dynamo import eval_frame

    skip = eval_frame._FrameExecStrategy(
        eval_frame._FrameAction.SKIP, eval_frame._FrameAction.DEFAULT
    )
    for code in _codes():
        eval_frame.set_code_exec_strategy(code, skip)


def _codes() -> list[CodeType]:
    functions: list[Any] = [
        CountingMode.__torch_dispatch__,
        CountingMode._slot,
        CountingMode._open,
        CountingMode._look,
        SampledMode._slot,
        SampledMode._look,
        _Phases.current,
        _any_subclass,
        _is_traced,
        _is_fake,
        key,
    ]
    # those that sample may be called at any step of the application's code
    sampling = (alarm, dispatch_sampling, mode_stack, own_time, pending_call, windows)
    for module in (objects, pairs, *sampling):
        own = [p for p in vars(module).values() if getattr(p, "__module__", "") == module.__name__]
        for part in (module, *own):
            functions += [each for each in vars(part).values() if isinstance(each, FunctionType)]
    return [function.__code__ for function in functions]
