"""Copies, joins, fills, views, and what does no work at all, as JAX spells them.

As in PyTorch, what only says anew how a tensor lies (reshape, transpose, a slice) is a view, and a
broadcast is one, too: XLA reads through them.
"""

from __future__ import annotations

from aimatrix.dialects.operands import inputs, operand, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Translation, same


def _viewed(_: str, arguments: Arguments) -> Translation:
    return "view", {"inputs": inputs(arguments)[:1] or [()]}


def _copied(_: str, arguments: Arguments) -> Translation:
    """A copy of the size of what comes out."""
    return "copy", {"inputs": [outputs(arguments)[0]]}


def _converted(_: str, arguments: Arguments) -> Translation:
    """A view where only how the dtype came about changes."""
    taken, given = operand(arguments, 0), arguments["outputs"][0]
    if taken is None or taken.dtype == given.dtype:
        return "view", {"inputs": [given.shape]}
    return "copy", {"inputs": [given.shape]}


def _filled(_: str, arguments: Arguments) -> Translation:
    return "fill", {"inputs": [outputs(arguments)[0]]}


def _broadcast(name: str, arguments: Arguments) -> Translation:
    """Of a number: a fill, as PyTorch's ``full``."""
    return (_viewed if inputs(arguments) else _filled)(name, arguments)


def _joined(_: str, arguments: Arguments) -> Translation:
    return "cat", {"inputs": inputs(arguments), "dim": arguments["dimension"]}


def _stacked(_: str, arguments: Arguments) -> Translation:
    return "stack", {"inputs": inputs(arguments), "dim": arguments["axis"]}


def _padded(_: str, arguments: Arguments) -> Translation:
    taken, config = shape(arguments, 0), arguments["padding_config"]
    pads = [size for low, high, _ in reversed(config) for size in (low, high)]
    return "pad", {"inputs": [taken], "pads": pads}


def pads_between(arguments: Arguments) -> bool:
    """Whether a pad puts numbers between the elements, too."""
    config = arguments.get("padding_config")
    sides = config if isinstance(config, tuple) else ()
    return any(isinstance(side, tuple) and side[2:] > (0,) for side in sides)


def _spread(_: str, arguments: Arguments) -> Translation:
    """The gradient of a slice with steps, in most cases."""
    return "slice_backward", {
        "inputs": [shape(arguments, 0)],
        "outputs": outputs(arguments),
        "indices": 0,
    }


_VIEW = Rule("movement", _viewed)
_COPY = Rule("movement", _copied)
_FILL = Rule("movement", _filled, dtype_of="outputs")

#: of a pad between elements, which is no movement
PAD_BETWEEN = Rule("indexing", _spread)

RULES: dict[str, Rule] = {
    "concatenate": Rule("movement", _joined),
    "stack": Rule("movement", _stacked),
    "pad": Rule("movement", _padded),
    "convert_element_type": Rule("movement", _converted),
    "broadcast_in_dim": Rule("movement", _broadcast),
    **same(_COPY, "rev copy copy_p tile get swap"),
    **same(_FILL, "iota iota_2x32_shape random_bits rng_bit_generator rng_uniform zeros_like"),
    **same(
        _VIEW,
        "reshape squeeze expand_dims transpose slice split unstack broadcast_to"
        " bitcast_convert_type real imag stop_gradient random_wrap random_unwrap random_clone"
        " to_edtype from_edtype empty empty2 empty_ref new_ref free_ref freeze",
    ),
    # where an array is, or what may not be moved
    **same(
        _VIEW,
        "device_put name optimization_barrier sharding_constraint layout_constraint reshard"
        " mesh_cast with_memory_space_constraint pvary pcast preduced reduced_vary_cast_p"
        " vary_unreduced_cast_p dce_sink tie pin unpin",
    ),
    # questions, marks and messages
    **same(
        _VIEW,
        "axis_index platform_index dimension_size dim_as_value shape_assertion check unreachable"
        " debug_callback debug_print inspect_sharding after_all create_token",
    ),
}
