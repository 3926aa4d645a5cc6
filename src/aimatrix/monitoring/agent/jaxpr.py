"""Lists the work of a jaxpr: its equations, those of nested jaxprs in their place, equal ones once.

What is written of an equation are shapes, dtypes and the numbers that a dialect reads, never data
and never a name of the application's. An equation whose work its parameters do not tell (a loop
that data end, branches that differ, a kernel of the application's) is listed under its own name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from .capture import Description

#: primitives that do what one jaxpr of theirs does, once
INLINED = frozenset(
    "pjit jit closed_call core_call xla_call named_call core_closed_call custom_jvp_call"
    " custom_vjp_call custom_vjp_call_jaxpr remat remat2 checkpoint custom_lin"
    " composite custom_vmap_call custom_partitioning run_state custom_transpose_call linear_call"
    " call".split()
)
#: how they call it
BODIES = ("jaxpr", "call_jaxpr", "fun_jaxpr", "call", "callee")
#: parameters that are kept where they are whole numbers, flags, or nested tuples of these
KEPT = (
    "dimension_numbers window_strides padding lhs_dilation rhs_dilation feature_group_count"
    " batch_group_count axes dimensions axis dimension padding_config"
    " window_dimensions base_dilation window_dilation"
    " fft_lengths layout"
).split()
#: numbers that one parameter may have
LONGEST = 128
#: jaxprs inside each other; those below are listed by the name of what calls them
DEEPEST = 60
#: platform -> device type
DEVICES = {"gpu": "cuda", "rocm": "cuda"}
#: dtypes of values without data
NO_DATA = ("float0",)

Parts = dict[str, int]


class Place(NamedTuple):
    """Where an equation stands: how often it runs, in which phase, under which named axes."""

    times: int
    backward: bool
    axes: Mapping[Any, int]
    depth: int


def list_work(jaxpr: Any, device: str) -> list[Description]:
    """The parts of a call of ``jaxpr`` on devices of a type: descriptions with ``times``.

    Raises what a jaxpr raises that is not like those we know.
    """
    parts: Parts = {}
    for text, times in _equations(_opened(jaxpr), Place(1, False, {}, 0), device):
        parts[text] = parts.get(text, 0) + times
    return [{"times": times, **json.loads(text)} for text, times in parts.items()]


def _equations(jaxpr: Any, place: Place, device: str) -> Iterator[tuple[str, int]]:
    """(description in JSON, times) of each equation, those of nested jaxprs in their place."""
    for equation in jaxpr.eqns:
        here = place._replace(backward=place.backward or _is_transposed(equation))
        inner = None if here.depth >= DEEPEST else _inner(equation, here, device)
        if inner is not None:
            yield from inner
        else:
            yield _spelled(equation, here, device), here.times


def _inner(equation: Any, place: Place, device: str) -> Iterator[tuple[str, int]] | None:
    """What the jaxprs of an equation do; None for one that has none, or does not tell."""
    name, params = equation.primitive.name, equation.params
    deeper = place._replace(depth=place.depth + 1)
    if name in INLINED:
        body = next((params[each] for each in BODIES if hasattr(params.get(each), "eqns")), None)
        return None if body is None else _equations(_opened(body), deeper, device)
    if name == "scan":
        deeper = deeper._replace(times=place.times * params["length"])
        return (
            _equations(_opened(params["jaxpr"]), deeper, device) if params["length"] else iter(())
        )
    if name == "while":
        return _while(equation, deeper, device)
    if name == "cond":
        return _alike(_branches(params, device), deeper, device)
    if name in ("shard_map", "xla_pmap"):
        return _mapped(equation, deeper, device)
    return None


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


def _alike(branches: Any, place: Place, device: str) -> Iterator[tuple[str, int]] | None:
    """What each branch does, where all do the same."""
    once = place._replace(times=1)
    lists = []
    for branch in branches:
        parts: Parts = {}
        for text, times in _equations(_opened(branch), once, device):
            parts[text] = parts.get(text, 0) + times
        lists.append(parts)
    if any(parts != lists[0] for parts in lists):
        return None
    return ((text, times * place.times) for text, times in lists[0].items())


def _mapped(equation: Any, place: Place, device: str) -> Iterator[tuple[str, int]]:
    """What is done on each device, as often as there are devices."""
    params = equation.params
    if equation.primitive.name == "xla_pmap":
        sizes = {params["axis_name"]: params["global_axis_size"]}
        body = params["call_jaxpr"]
    else:
        mesh = params["mesh"].shape  # axis name -> size
        manual = params.get("manual_axes", params.get("axis_names"))
        if manual is None:
            manual = set(mesh) - set(params.get("auto", ()))
        sizes = {axis: mesh[axis] for axis in manual}
        body = params["jaxpr"]
    times = place.times
    for size in sizes.values():
        times *= size
    return _equations(
        _opened(body), place._replace(times=times, axes={**place.axes, **sizes}), device
    )


def _while(equation: Any, place: Place, device: str) -> Iterator[tuple[str, int]] | None:
    """The body as often as it runs, where the loop counts from one number to another."""
    trips = _trips(equation)
    if trips is None:
        return None
    return _repeated(equation, place, device, trips)


def _repeated(equation: Any, place: Place, device: str, trips: int) -> Iterator[tuple[str, int]]:
    body = _opened(equation.params["body_jaxpr"])
    if trips:
        yield from _equations(body, place._replace(times=place.times * trips), device)


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
    room = int(last.val) - int(first.val) + (test.primitive.name == "le")
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
    size = _group_size(equation.params, place.axes)
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
    return spelled if len(json.dumps(spelled)) <= 8 * LONGEST else None


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
