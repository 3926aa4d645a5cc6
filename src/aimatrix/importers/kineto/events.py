"""The events of a trace that matter: operators and marks, launches, and work on a GPU."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite, prod
from typing import Any

from aimatrix.importers.call_tree import Kind, kind_of_range

WARP_THREADS = 32
#: events, and numbers and texts in different inputs, that are kept at once
MOST_EVENTS = 4_000_000
MOST_VALUES = 10_000_000

#: a range that is an operator: ``aten::conv2d``; others are marks, modules, nodes of autograd
_OPERATOR = re.compile(r"(?!profiler::)[A-Za-z_]\w*::[A-Za-z_]\w*")

#: the range in which autograd adds a parameter's gradient to those before
ACCUMULATED = "torch::autograd::AccumulateGrad"

_RANGES = ("cpu_op", "user_annotation")
_LAUNCHES = ("cuda_runtime", "cuda_driver")
_KERNEL = "kernel"
_DEVICE_WORK = (_KERNEL, "gpu_memcpy", "gpu_memset")


class TooManyEventsError(Exception):
    """The trace holds more than is read at once."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What a trace says of an operator's inputs, one item each: kind, dims (a list's: of each
    tensor), value as text."""

    kinds: tuple[str, ...]
    dims: tuple[Any, ...]
    texts: tuple[str, ...]

    @property
    def has_lists(self) -> bool:
        """Whether the tensors of a list are told: of 30 at most are."""
        columns = zip(self.kinds, self.dims, strict=True)
        return any(kind == "TensorList" and dims for kind, dims in columns)


@dataclass(slots=True, eq=False)
class Range:
    """A cpu_op or annotation: when it ran on which thread, what it gave to a GPU.

    inputs: None where they are not in the trace, or make no sense.
    """

    name: str
    start: float
    end: float
    inputs: Inputs | None
    kind: int
    phase: str = "forward"
    parent: Range | None = None
    own_work: int = 0
    work: int = 0
    own_kernels: int = 0
    kernels: int = 0
    lost_kernels: int = 0
    warps: int = 0

    @property
    def is_operator(self) -> bool:
        """Whether it is an operator, not a mark."""
        return bool(self.kind & Kind.OPERATOR)


@dataclass(frozen=True, slots=True)
class Work:
    """A kernel, copy or fill on a GPU. warps: None for what is no kernel."""

    correlation: int | None
    external: int | None
    warps: int | None


#: what threads do, in the order of time: (begin, minus duration, range or correlation)
Item = tuple[float, float, "Range | int"]


@dataclass(slots=True)
class Events:
    """The events that matter, by kind; ``odd``: those that lack what their kind has.

    Raises TooManyEventsError where they would fill the memory.
    """

    threads: dict[tuple[Any, Any], list[Item]] = field(default_factory=dict)
    by_external: dict[int, Range] = field(default_factory=dict)
    work: list[Work] = field(default_factory=list)
    kernel_launches: set[int] = field(default_factory=set)
    kernels: int = 0
    odd: int = 0
    _inputs: dict[Inputs, Inputs] = field(default_factory=dict)
    _kept: int = 0
    _values: int = 0

    @classmethod
    def of(cls, events: Iterable[Any]) -> Events:
        """Those among all events of a trace."""
        found = cls()
        for event in events:
            try:
                found._add(event)
            except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
                found.odd += 1
            if found._kept > MOST_EVENTS or found._values > MOST_VALUES:
                raise TooManyEventsError
        return found

    def _add(self, event: Any) -> None:
        category = event.get("cat")
        if category in _RANGES:
            self._add_range(event, category)
        elif category in _LAUNCHES:
            correlation = whole(event["args"]["correlation"])
            self._on_thread(event).append((_time(event["ts"]), 0.0, correlation))
            if "LaunchKernel" in event["name"]:
                self.kernel_launches.add(correlation)
        elif category in _DEVICE_WORK:
            args = event["args"]
            warps = _kernel_warps(args) if category == _KERNEL else None
            self.kernels += category == _KERNEL
            self.work.append(
                Work(_number(args, "correlation"), _number(args, "External id"), warps)
            )
            self._kept += 1

    def _add_range(self, event: Any, category: str) -> None:
        name, start, duration = str(event["name"]), _time(event["ts"]), _time(event["dur"])
        args = event.get("args") or {}
        is_call = category == "cpu_op" and _OPERATOR.fullmatch(name) is not None
        kind = _kind_of_call(args) if is_call else kind_of_range(name)
        inputs = self._inputs_of(args) if is_call or name == ACCUMULATED else None
        found = Range(name, start, start + duration, inputs, kind)
        self._on_thread(event).append((start, -duration, found))
        if category == "cpu_op" and "External id" in args:
            self.by_external[whole(args["External id"])] = found

    def _inputs_of(self, args: Mapping[str, Any]) -> Inputs | None:
        """The inputs, one object for all equal ones."""
        try:
            inputs = _read_inputs(args)
            known = self._inputs.setdefault(inputs, inputs)
        except (KeyError, TypeError, ValueError):
            return None
        if known is inputs:
            self._values += 3 * len(inputs.kinds) + sum(map(len, inputs.dims))
        return known

    def _on_thread(self, event: Any) -> list[Item]:
        self._kept += 1
        return self.threads.setdefault((event["pid"], event["tid"]), [])


def _kind_of_call(args: Mapping[str, Any]) -> int:
    # a number in autograd's order is given where gradients are enabled
    return Kind.OPERATOR | (Kind.GRAD if args.get("Sequence number", -1) >= 0 else Kind.RANGE)


def _read_inputs(args: Mapping[str, Any]) -> Inputs:
    kinds = tuple(args["Input type"]) if "Input type" in args else ()
    dims = tuple(map(_frozen, args.get("Input Dims", [])))
    texts = tuple(args.get("Concrete Inputs", [""] * len(kinds)))
    if not len(kinds) == len(dims) == len(texts):
        raise ValueError("columns of different lengths")
    if not all(isinstance(text, str) for text in (*kinds, *texts)):
        raise TypeError("no text")
    return Inputs(kinds, dims, texts)


def _frozen(dims: Any) -> tuple[Any, ...]:
    return tuple(tuple(each) if isinstance(each, list) else each for each in dims)


def _time(value: Any) -> float:
    time = float(value)
    if not isfinite(time):
        raise ValueError(f"no time: {value!r}")
    return time


def whole(value: Any) -> int:
    """The value if it is a whole number; else raises TypeError."""
    if not isinstance(value, int):
        raise TypeError(f"no whole number: {value!r}")
    return value


def _number(args: Mapping[str, Any], name: str) -> int | None:
    return whole(args[name]) if args.get(name) is not None else None


def _kernel_warps(args: Mapping[str, Any]) -> int:
    grid, block = ([whole(side) for side in args[name]] for name in ("grid", "block"))
    if len(grid) != 3 or len(block) != 3 or min(*grid, *block) < 1:
        raise ValueError(f"no grid of blocks: {grid}, {block}")
    return prod(grid) * -(-prod(block) // WARP_THREADS)
