"""Lists the work of a jaxpr: its equations, those of nested jaxprs in their place, equal ones once.

What is written of an equation are shapes, dtypes and the numbers that a dialect reads, never data
and never a name of the application's. An equation whose work its parameters do not tell (a loop
that data end, branches that differ, a kernel of the application's) is listed under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from .capture import Description

#: primitives that do what one jaxpr of theirs does, once
INLINED = {
    "pjit",
    "jit",
    "closed_call",
    "core_call",
    "core_closed_call",
    "xla_call",
    "named_call",
    "call",
    "composite",
    "custom_jvp_call",
    "custom_vjp_call",
    "custom_vjp_call_jaxpr",
    "custom_vmap_call",
    "custom_lin",
    "custom_transpose_call",
    "linear_call",
    "custom_partitioning",
    "run_state",
    "remat",
    "remat2",
    "checkpoint",
}
#: how they call it
BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call", "callee")
#: parameters that are kept where they are whole numbers, flags, or nested tuples of these
KEPT = (
    "dimension_numbers",
    "window_strides",
    "padding",
    "lhs_dilation",
    "rhs_dilation",
    "feature_group_count",
    "batch_group_count",
    "window_dimensions",
    "base_dilation",
    "window_dilation",
    "padding_config",
    "axes",
    "axis",
    "dimension",
    "fft_lengths",
    "layout",
    "compute_uv",
    "full_matrices",
)
#: characters that one parameter may take
LONGEST = 1024
#: jaxprs inside each other; those below are listed by the name of what calls them
DEEPEST = 60
#: platform -> device type
DEVICES = {"gpu": "cuda", "rocm": "cuda"}
#: dtypes of values without data
NO_DATA = ("float0",)
#: calls that no part makes (`aimatrix.dialects.raw`)
MOST = 2**53

#: description in JSON -> how often
Parts = dict[str, int]


class Place(NamedTuple):
    """Where an equation stands: in which phase, under which named axes (with sizes), how deep."""

    backward: bool
    axes: tuple[tuple[Any, int], ...]
    depth: int


def list_work(jaxpr: Any, device: str) -> list[Description]:
    """The parts of a call of ``jaxpr`` on devices of a type: descriptions with ``times``.

    Raises what a jaxpr raises that is not like those we know.
    """
    parts = _Listing(device).parts(jaxpr, Place(False, (), 0))
    if any(times >= MOST for times in parts.values()):
        raise OverflowError("an operator is called more often than can be counted")
    return [{"times": times, **json.loads(text)} for text, times in parts.items()]


class _Listing:
    """Lists a jaxpr for a device type; what several equations call is listed once."""

    def __init__(self, device: str) -> None:
        self._device = device
        # the jaxpr is kept so that its id stays its own
        self._known: dict[tuple[int, Place], tuple[Any, Parts]] = {}

    def parts(self, jaxpr: Any, place: Place) -> Parts:
        """Of one run of a jaxpr."""
        key = id(jaxpr), place
        if key not in self._known:
            parts: Parts = {}
            for equation in _opened(jaxpr).eqns:
                here = place._replace(backward=place.backward or _is_transposed(equation))
                inner = None if here.depth >= DEEPEST else self._inner(equation, here)
                if inner is None:
                    inner = {_spelled(equation, here, self._device): 1}, 1
                _add(parts, *inner)
            self._known[key] = jaxpr, parts
        return self._known[key][1]

    def _inner(self, equation: Any, place: Place) -> tuple[Parts, int] | None:
        """(what the jaxpr of an equation does, how often); None where there is none, or no sure
        one.
        """
        name, params = equation.primitive.name, equation.params
        deeper = place._replace(depth=place.depth + 1)
        if name in INLINED:
            body = next((params[each] for each in BODIES if _is_jaxpr(params.get(each))), None)
            return None if body is None else (self.parts(body, deeper), 1)
        if name == "scan":
            return self.parts(params["jaxpr"], deeper), params["length"]
        if name == "while":
            trips = _trips(equation)
            return None if trips is None else (self.parts(params["body_jaxpr"], deeper), trips)
        if name == "cond":
            lists = [self.parts(each, deeper) for each in _branches(params, self._device)]
            return (lists[0], 1) if all(each == lists[0] for each in lists) else None
        if name == "custom_linear_solve":
            solve = getattr(params["jaxprs"], "solve", None)
            return (self.parts(solve, deeper), 1) if _is_jaxpr(solve) else None
        if name == "shard_map":
            return self._mapped(params, deeper)
        return None

    def _mapped(self, params: Mapping[str, Any], place: Place) -> tuple[Parts, int]:
        """What is done on each device, as often as there are devices."""
        mesh = params["mesh"].shape  # axis name -> size
        manual = params.get("manual_axes", params.get("axis_names"))
        if manual is None:
            manual = set(mesh) - set(params.get("auto", ()))
        sizes = tuple((axis, mesh[axis]) for axis in sorted(manual, key=str))
        times = 1
        for _, size in sizes:
            times *= size
        return self.parts(params["jaxpr"], place._replace(axes=place.axes + sizes)), times


def _add(parts: Parts, more: Parts, times: int) -> None:
    if times:
        for text, each in more.items():
            parts[text] = parts.get(text, 0) + each * times


def _is_jaxpr(value: Any) -> bool:
    return hasattr(_opened(value), "eqns")


def _branches(params: Mapping[str, Any], device: str) -> Any:
    """Those that may be taken: where the platform decides, the one for this device."""
    branches, platforms = params["branches"], params.get("branches_platforms")
    if platforms is None:
        return branches
    return [
        branch
        for branch, names in zip(branches, platforms)  # noqa: B905 (new in Python 3.10)
        if names is None or device in map(device_type, names)
    ][:1]


def _trips(equation: Any) -> int | None:
    """How often the body of a loop runs that counts up from a number, by a number, to a number."""
    params = equation.params
    condition, body = _opened(params["cond_jaxpr"]), _opened(params["body_jaxpr"])
    if len(condition.eqns) != 1 or condition.eqns[0].primitive.name not in ("lt", "le"):
        return None
    (test,) = condition.eqns
    counter, last = test.invars
    if test.outvars[0] is not condition.outvars[0] or not hasattr(last, "val"):
        return None
    carried = list(condition.invars[params["cond_nconsts"] :])
    if counter not in carried:
        return None
    index = carried.index(counter)
    first = equation.invars[params["cond_nconsts"] + params["body_nconsts"] + index]
    step = _step(body, body.invars[params["body_nconsts"] + index], body.outvars[index])
    if not hasattr(first, "val") or step is None:
        return None
    room: int = int(last.val) - int(first.val) + (test.primitive.name == "le")
    return max(0, -(-room // step))


def _step(body: Any, before: Any, after: Any) -> int | None:
    """What is added to a counter each time; None if it is no whole number above zero."""
    for equation in body.eqns:
        if equation.outvars[0] is after and equation.primitive.name == "add":
            numbers = [each for each in equation.invars if hasattr(each, "val")]
            if len(numbers) == 1 and any(each is before for each in equation.invars):
                step = numbers[0].val
                whole = getattr(numbers[0].aval.dtype, "kind", "") in "iu"
                return int(step) if whole and step > 0 else None
    return None


def _spelled(equation: Any, place: Place, device: str) -> str:
    inputs = [
        None if hasattr(each, "val") else _tensor(each.aval, device) for each in equation.invars
    ]
    outputs = [_tensor(each.aval, device) for each in equation.outvars]
    arguments: Description = {
        "inputs": inputs,
        "outputs": [each for each in outputs if each is not None],
    }
    for name in KEPT:
        value = _numbers(equation.params.get(name))
        if value is not None:
            arguments[name] = value
    size = _group_size(equation.params, dict(place.axes))
    if size is not None:
        arguments["group_size"] = size
    return json.dumps(
        {
            "name": f"jax::{equation.primitive.name}",
            "overload": "",
            "phase": "backward" if place.backward else "forward",
            "dialect": "jax",
            "arguments": arguments,
        }
    )


def _group_size(params: Mapping[str, Any], sizes: Mapping[Any, int]) -> int | None:
    """How many devices take part, where the named axes of an equation are known."""
    named = params.get("axis_name", params.get("axes"))
    axes = named if isinstance(named, (tuple, list)) else (named,)
    if params.get("axis_index_groups") is not None:
        return len(params["axis_index_groups"][0])
    size = 1
    known = [sizes[axis] for axis in axes if isinstance(axis, str) and axis in sizes]
    for each in known:
        size *= each
    return size if known else None


def tensor(value: Any, device: str) -> Description | None:
    """A value that a function took, or None if it is no array."""
    aval = getattr(value, "aval", value)
    return _tensor(aval, device)


def _tensor(aval: Any, device: str) -> Description | None:
    shape, dtype = getattr(aval, "shape", None), getattr(aval, "dtype", None)
    if shape is None or dtype is None or str(dtype) in NO_DATA:
        return None
    sizes, name = [int(size) for size in shape], str(dtype)
    if name.startswith("key<"):  # keys of random numbers, each of which is a row of words
        sizes += getattr(getattr(dtype, "_impl", None), "key_shape", (2,))
        name = "uint32"
    return {"shape": sizes, "dtype": name, "device": device}


def device_type(platform: str) -> str:
    """How a log calls the devices of one of JAX's platforms."""
    return DEVICES.get(platform, platform)


def _numbers(value: Any) -> Any:
    """``value`` as JSON if it is whole numbers in tuples, and not too many; else None."""
    try:
        spelled = _nested(value)
    except (TypeError, ValueError):
        return None
    return spelled if len(json.dumps(spelled)) <= LONGEST else None


def _nested(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, (tuple, list)):
        return [_nested(each) for each in value]
    if hasattr(value, "__index__"):  # a whole number of NumPy's
        return int(value)
    if hasattr(value, "__dataclass_fields__"):
        return [_nested(getattr(value, name)) for name in value.__dataclass_fields__]
    raise TypeError(f"no whole number: {type(value).__name__}")


def _opened(jaxpr: Any) -> Any:
    """A jaxpr without its constants."""
    return getattr(jaxpr, "jaxpr", jaxpr)


def _is_transposed(equation: Any) -> bool:
    """Whether a gradient's backward pass made it: JAX notes so, apart from the user's own names."""
    stack = getattr(equation.source_info.name_stack, "stack", ())
    return any(
        type(each).__name__ == "Transform" and getattr(each, "name", "") == "transpose"
        for each in stack
    )
