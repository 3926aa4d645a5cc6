"""Reads a trace of torch.profiler (Kineto's Chrome JSON): operators and the warps they launched.

Warps of a kernel are those of its grid: blocks x ceil(threads of a block / 32). An operator's are
those of all kernels that it or anything below it launched; copies and fills by the driver are no
kernels. What the format has and lacks, and how kernels are joined to operators, is in
`docs/monitoring.md`, "Measured warps".
"""

from __future__ import annotations

import gzip
import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import Any

from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError

WARP_THREADS = 32

#: a range that is an operator: ``aten::conv2d``; others are marks, modules, nodes of autograd
_OPERATOR = re.compile(r"(?!profiler::)[A-Za-z_]\w*::[A-Za-z_]\w*")
_BACKWARD = "autograd::engine::evaluate_function"
_OPTIMIZER = "Optimizer.step#"

_RANGES = ("cpu_op", "user_annotation")
_LAUNCHES = ("cuda_runtime", "cuda_driver")
_KERNEL = "kernel"
_DEVICE_WORK = (_KERNEL, "gpu_memcpy", "gpu_memset")

#: C++ names that differ from torch's
_DTYPES = {
    "float": "float32",
    "double": "float64",
    "Half": "float16",
    "unsigned char": "uint8",
    "signed char": "int8",
    "short": "int16",
    "short int": "int16",
    "int": "int32",
    "long": "int64",
    "long int": "int64",
    "long long": "int64",
    "complex<Half>": "complex32",
    "complex<float>": "complex64",
    "complex<double>": "complex128",
}
_NO_TENSOR = ("", "Scalar", "ScalarList", "TensorList", "GenericList")


@dataclass(frozen=True, slots=True)
class Schema:
    """One overload of an operator: its arguments' names and types, as torch spells them."""

    overload: str
    names: tuple[str, ...]
    types: tuple[str, ...]


#: operator name (``aten::add``) -> its overloads; none for an operator that is not known
SchemaLookup = Callable[[str], Sequence[Schema]]


@dataclass(frozen=True, slots=True)
class TracedCall:
    """Equal calls of a trace that launched equally many warps.

    warps: of one call; None where it launched no kernel, or one that is not in the trace (the
    recording ended before it did). outermost: not called by another
    operator; what others call is there only where it launched kernels.
    """

    raw: RawCall
    calls: int
    warps: int | None
    outermost: bool


@dataclass(frozen=True, slots=True)
class Trace:
    """What a trace tells of operators.

    kernels: all of them. unplaced_kernels: launched by no operator (CUDA graphs, libraries).
    odd_events: passed over, since they lack what their kind has. unread: outermost calls of which
    only the name could be read.
    """

    calls: list[TracedCall]
    kernels: int
    unplaced_kernels: int
    odd_events: int
    unread: int


def read(
    path: Path, schemas: SchemaLookup, attributes: Mapping[str, Sequence[str]], device: str = "cuda"
) -> Trace:
    """Read a trace file, gzipped or not.

    attributes: operator name -> arguments besides tensors to keep. device: what the tensors of an
    operator that gave a GPU work are on; those of others count as on the CPU, for a trace does
    not tell. Raises InputError for a file that is no whole trace.
    """
    return read_events(_load(path), schemas, attributes, device)


def read_events(
    events: Sequence[Any],
    schemas: SchemaLookup,
    attributes: Mapping[str, Sequence[str]],
    device: str = "cuda",
) -> Trace:
    """As `read`, of the list of events in such a file."""
    sorted_events = _Events(events)
    ranges, launched_by = _nest(sorted_events)
    unplaced = _place_work(sorted_events, ranges, launched_by)
    _add_up(ranges)
    arguments = _Arguments(schemas, attributes, _most_frequent_dtype(ranges))
    calls, unread = _calls(ranges, arguments, device)
    return Trace(calls, sorted_events.kernels, unplaced, sorted_events.odd, unread)


def stored_schemas(path: Path) -> SchemaLookup:
    """The lookup of a file that the agent wrote beside a trace. Raises InputError for another."""
    try:
        stored = {
            name: [Schema(overload, *_columns(arguments)) for overload, arguments in overloads]
            for name, overloads in json.loads(path.read_text(encoding="utf-8")).items()
        }
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path}: holds no schemas of operators") from error
    return lambda name: stored.get(name, ())


def installed_schemas(name: str) -> Sequence[Schema]:
    """The overloads that the torch installed here knows for an operator; needs torch."""
    import torch

    return [
        Schema(schema.overload_name, *_columns([(a.name, str(a.type)) for a in schema.arguments]))
        for schema in torch._C._jit_get_schemas_for_operator(name)
    ]


def _columns(arguments: Sequence[Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    return tuple(str(name) for name, _ in arguments), tuple(str(kind) for _, kind in arguments)


def _load(path: Path) -> list[Any]:
    try:
        content = path.read_bytes()
        if content[:2] == b"\x1f\x8b":
            content = gzip.decompress(content)
        document = json.loads(content.decode(errors="replace"), strict=False)
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (ValueError, EOFError, RecursionError) as error:
        raise InputError(
            f"{path}: is not a whole torch.profiler trace; record it again with export_chrome_trace"
        ) from error
    events = document.get("traceEvents") if isinstance(document, dict) else document
    if not isinstance(events, list):
        raise InputError(
            f"{path}: has no traceEvents; record a trace with torch.profiler and"
            " export_chrome_trace"
        )
    return events


@dataclass(slots=True, eq=False)
class _Range:
    """A cpu_op or annotation: when it ran on which thread, what it gave to a GPU."""

    name: str
    start: float
    end: float
    args: Mapping[str, Any]
    is_operator: bool
    phase: str = "forward"
    parent: _Range | None = None
    own_work: int = 0
    work: int = 0
    own_kernels: int = 0
    kernels: int = 0
    lost_kernels: int = 0
    warps: int = 0
    signature: _Signature | None = None


@dataclass(frozen=True, slots=True)
class _Work:
    """A kernel, copy or fill on a GPU. warps: None for what is no kernel."""

    correlation: int | None
    external: int | None
    warps: int | None


#: what threads do, in the order of time: (begin, minus duration, range or correlation)
_Item = tuple[float, float, "_Range | int"]


@dataclass(slots=True)
class _Events:
    """The events that matter, by kind; ``odd``: those that lack what their kind has."""

    events: Sequence[Any]
    threads: dict[tuple[Any, Any], list[_Item]] = field(default_factory=dict)
    by_external: dict[int, _Range] = field(default_factory=dict)
    work: list[_Work] = field(default_factory=list)
    kernel_launches: set[int] = field(default_factory=set)
    kernels: int = 0
    odd: int = 0

    def __post_init__(self) -> None:
        for event in self.events:
            try:
                self._add(event)
            except (KeyError, TypeError, ValueError, AttributeError):
                self.odd += 1

    def _add(self, event: Any) -> None:
        category = event.get("cat")
        if category in _RANGES:
            self._add_range(event, category)
        elif category in _LAUNCHES:
            correlation = _whole(event["args"]["correlation"])
            self._on_thread(event).append((_time(event["ts"]), 0.0, correlation))
            if "LaunchKernel" in event["name"]:
                self.kernel_launches.add(correlation)
        elif category in _DEVICE_WORK:
            args = event["args"]
            warps = _kernel_warps(args) if category == _KERNEL else None
            self.kernels += category == _KERNEL
            self.work.append(_Work(args.get("correlation"), args.get("External id"), warps))

    def _add_range(self, event: Any, category: str) -> None:
        name, start, duration = event["name"], _time(event["ts"]), _time(event["dur"])
        args = event.get("args") or {}
        is_operator = category == "cpu_op" and _OPERATOR.fullmatch(name) is not None
        found = _Range(name, start, start + duration, args, is_operator)
        self._on_thread(event).append((start, -duration, found))
        if category == "cpu_op" and "External id" in args:
            self.by_external[_whole(args["External id"])] = found

    def _on_thread(self, event: Any) -> list[_Item]:
        return self.threads.setdefault((event["pid"], event["tid"]), [])


def _time(value: Any) -> float:
    return float(value)


def _whole(value: Any) -> int:
    if not isinstance(value, int):
        raise TypeError(f"no whole number: {value!r}")
    return value


def _kernel_warps(args: Mapping[str, Any]) -> int:
    grid, block = ([_whole(side) for side in args[name]] for name in ("grid", "block"))
    if len(grid) != 3 or len(block) != 3 or min(*grid, *block) < 1:
        raise ValueError(f"no grid of blocks: {grid}, {block}")
    return prod(grid) * -(-prod(block) // WARP_THREADS)


def _nest(events: _Events) -> tuple[list[_Range], dict[int, _Range]]:
    """All ranges with their parents, parents first; correlation -> the innermost that launched."""
    ranges: list[_Range] = []
    launched_by: dict[int, _Range] = {}
    for items in events.threads.values():
        # of ranges that begin at once the longer one is outside; a launch is inside both
        items.sort(key=lambda item: item[:2])
        running: list[_Range] = []
        for start, _, item in items:
            while running and running[-1].end <= start:
                running.pop()
            if isinstance(item, _Range):
                _begin(item, running[-1] if running else None)
                ranges.append(item)
                running.append(item)
            elif running:
                launched_by[item] = running[-1]
    return ranges, launched_by


def _begin(found: _Range, parent: _Range | None) -> None:
    found.parent = parent
    if found.name.startswith(_BACKWARD):
        found.phase = "backward"
    elif found.name.startswith(_OPTIMIZER):
        found.phase = "optimizer"
    elif parent is not None:
        found.phase = parent.phase


def _place_work(events: _Events, ranges: list[_Range], launched_by: Mapping[int, _Range]) -> int:
    """Give each piece of GPU work to the range that launched it; how many kernels have none."""
    # before Kineto linked them, an External id only repeated the correlation
    linked = any(work.external != work.correlation for work in events.work)
    unplaced = 0
    for work in events.work:
        owner = events.by_external.get(work.external) if linked and work.external else None
        if owner is None and work.correlation is not None:
            owner = launched_by.get(work.correlation)
        if owner is None or _operator_above(owner) is None:
            unplaced += work.warps is not None
            continue
        owner.own_work += 1
        if work.warps is not None:
            owner.own_kernels += 1
            owner.warps += work.warps
    recorded = {work.correlation for work in events.work}
    for correlation in events.kernel_launches - recorded:
        if correlation in launched_by:
            launched_by[correlation].lost_kernels += 1
    return unplaced


def _operator_above(found: _Range | None) -> _Range | None:
    """The range itself or the nearest around it that is an operator."""
    while found is not None and not found.is_operator:
        found = found.parent
    return found


def _add_up(ranges: list[_Range]) -> None:
    for found in ranges:
        found.work, found.kernels = found.own_work, found.own_kernels
    for found in reversed(ranges):  # children before their parents
        if found.parent is not None:
            found.parent.work += found.work
            found.parent.kernels += found.kernels
            found.parent.warps += found.warps
            found.parent.lost_kernels += found.lost_kernels


def _calls(
    ranges: list[_Range], arguments: _Arguments, device: str
) -> tuple[list[TracedCall], int]:
    """The calls added up, and how many outermost ones are known by name alone."""
    for found in ranges:
        if found.is_operator:
            found.signature = arguments.of(found)
    counted: Counter[tuple[Any, ...]] = Counter()
    unread = 0
    for found, outermost in _operators(ranges):
        overload, items = found.signature or ("", ())
        unread += found.signature is None
        on = device if found.work else "cpu"
        placed = tuple((name, _on_device(value, on)) for name, value in items)
        warps = found.warps if found.kernels and not found.lost_kernels else None
        counted[found.name, overload, found.phase, placed, warps, outermost] += 1
    return [
        TracedCall(RawCall(name, dict(items), overload, phase), calls, warps, outermost)
        for (name, overload, phase, items, warps, outermost), calls in counted.items()
    ], unread


def _operators(ranges: list[_Range]) -> Iterator[tuple[_Range, bool]]:
    """The operators that count, and whether each is an outermost one.

    What cannot be read is seen through, to the operators that it calls; with none of those it
    counts by its name.
    """
    readable_below: set[_Range] = set()
    for found in reversed(ranges):
        if found.parent is not None and (found.signature or found in readable_below):
            readable_below.add(found.parent)
    covered: set[_Range] = set()  # counted, or inside what is
    for found in ranges:
        inside = found.parent in covered
        counts = found.is_operator and (found.signature or found not in readable_below)
        if inside or counts:
            covered.add(found)
        if counts and not inside:
            yield found, True
        elif found.signature and found.kernels:
            yield found, False


#: an operator's overload, and its arguments by name
_Signature = tuple[str, tuple[tuple[str, Any], ...]]


@dataclass(frozen=True, slots=True)
class _Arguments:
    """Reads what a trace says of an operator's inputs.

    list_dtype: that of tensors in a list, of which a trace tells the shapes alone, where no other
    tensor of the same call tells it.
    """

    schemas: SchemaLookup
    attributes: Mapping[str, Sequence[str]]
    list_dtype: str

    def of(self, found: _Range) -> _Signature | None:
        """The signature; None where an argument that determines the work cannot be told."""
        try:
            kinds = found.args.get("Input type", [])
            texts = found.args.get("Concrete Inputs", [""] * len(kinds))
            inputs = list(zip(kinds, found.args.get("Input Dims", []), texts, strict=True))
            schema = _fitting(self.schemas(found.name), kinds)
            if schema is None:
                return None
            return schema.overload, tuple(self._named(found.name, schema, inputs))
        except (KeyError, TypeError, ValueError):
            return None

    def _named(
        self, operator: str, schema: Schema, inputs: list[tuple[str, Any, str]]
    ) -> Iterator[tuple[str, Any]]:
        kept = self.attributes.get(operator, ())
        own = (_dtype(kind) for kind, _, _ in inputs if kind not in _NO_TENSOR)
        list_dtype = next(own, self.list_dtype)
        for name, wanted, (kind, dims, text) in zip(
            schema.names, schema.types, inputs, strict=True
        ):
            if "Tensor" in wanted:
                yield name, _tensors(kind, dims, list_dtype)
            elif name in kept:
                yield name, _constant(text, optional=wanted.startswith("Optional"))


def _fitting(overloads: Sequence[Schema], kinds: list[str]) -> Schema | None:
    """The overload whose arguments are most like the inputs; a trace does not name it."""
    candidates = [schema for schema in overloads if len(schema.types) == len(kinds)]
    return min(
        candidates,
        key=lambda schema: sum(map(_mismatch, schema.types, kinds)),
        default=None,
    )


def _mismatch(wanted: str, kind: str) -> int:
    """0: such an input is written so; 1: only one that cannot be told; 2: never."""
    if kind == "":
        return int(not wanted.startswith(("Optional", "str", "Device")))
    if "Tensor" in wanted:
        given = "TensorList" if "List[" in wanted else "Tensor"
        return 0 if given == (kind if kind in _NO_TENSOR else "Tensor") else 2
    if kind not in ("Scalar", "ScalarList"):
        return 2
    return 0 if ("List[" in wanted) == (kind == "ScalarList") else 2


def _tensors(kind: str, dims: Any, list_dtype: str) -> Any:
    if kind == "TensorList":
        if not dims:
            raise ValueError("a list too long to be in the trace")
        return tuple(TensorArg(_shape(each), list_dtype) for each in dims)
    if kind in _NO_TENSOR:
        return None  # not given, or a number in a tensor's place
    return TensorArg(_shape(dims), _dtype(kind))


def _shape(dims: Any) -> tuple[int, ...]:
    shape = tuple(_whole(size) for size in dims)
    if min(shape, default=0) < 0:
        raise ValueError(f"a shape holds {min(shape)}")
    return shape


def _dtype(kind: str) -> str:
    name = kind.removeprefix("c10::")
    return _DTYPES.get(name, name.lower())


def _most_frequent_dtype(ranges: list[_Range]) -> str:
    kinds = Counter(
        kind
        for found in ranges
        for kind in found.args.get("Input type") or ()
        if isinstance(kind, str) and kind not in _NO_TENSOR
    )
    return _dtype(kinds.most_common(1)[0][0]) if kinds else "float32"


def _constant(text: str, *, optional: bool) -> Any:
    """A number, flag or list of a trace (``[1, 1]``); text is in no trace."""
    if text == "":
        if optional:
            return None
        raise ValueError("not in the trace")
    if text.startswith("["):
        items = text.removeprefix("[").removesuffix("]").split(",")
        return tuple(_constant(item.strip(), optional=False) for item in items if item.strip())
    if text in ("True", "False"):
        return text == "True"
    return int(text)


def _on_device(value: Any, device: str) -> Any:
    if isinstance(value, TensorArg):
        return replace(value, device=device)
    return tuple(_on_device(item, device) for item in value) if isinstance(value, tuple) else value
