"""Which operators are alike: of one kind, and of sizes that matter to that kind's time.

`kind_of` is what has to be equal; `sizes` are what may differ by a factor, in octaves (log2).
Documented, family by family, in docs/mix.md.
"""

from __future__ import annotations

from math import log2, prod

from aimatrix import ops
from aimatrix.model.block import Block
from aimatrix.model.calls import OpCall
from aimatrix.ops import convolution, matmul

#: elementwise kinds that take many instructions an element; the others are limited by memory
TRANSCENDENTAL = frozenset(
    {"gelu", "silu", "sigmoid", "tanh", "exp", "erf", "sin", "cos", "log", "pow", "mish", "elu"}
)
#: bytes below which no operator's time depends on its size
FLOOR_BYTES = 4096

#: families whose time is that of their traffic
_TRAFFIC = frozenset({"elementwise", "normalization", "reduction", "movement", "pooling"})
#: instructions for a point of a resampled image
_POINTS = {"linear": 50, "bilinear": 100, "bicubic": 400, "trilinear": 200}
#: kinds that cost a launch and nothing else
_NO_TRAFFIC = frozenset({"view", "dropout", "fill"})

Key = tuple[object, ...]


def kind_of(call: OpCall) -> Key:
    """What like operators share."""
    return (call.family, call.phase, call.dtype, *_KINDS.get(call.family, _own_kind)(call))


def sizes(call: OpCall) -> tuple[float, ...]:
    """The sizes that matter, in octaves: as many for all calls of one `kind_of`."""
    return tuple(log2(max(1, size)) for size in _SIZES.get(call.family, _traffic)(call))


def kind_of_block(block: Block) -> Key:
    """What like blocks share: the kinds of their operators, and who takes from whom.

    How many weights a recurrent layer at the front takes is a matter of its size.
    """
    of_first = () if block.calls[0].family == "recurrent" else block.sources[0]
    return (*map(kind_of, block.calls), of_first, block.sources[1:])


def leader_of(block: Block) -> Key:
    """What blocks share that may stand for each other, though other operators follow.

    What is limited by memory, whatever its kind, may stand for others of that sort.
    """
    first = block.calls[0]
    if first.family not in _TRAFFIC or first.kind in _NO_TRAFFIC:
        return kind_of(first)
    slow = first.kind if first.kind in TRANSCENDENTAL else ""
    return ("traffic", first.phase, first.dtype, slow)


def sizes_of_block(block: Block) -> tuple[float, ...]:
    """The sizes of all its operators, in octaves: as many for all blocks of one kind."""
    return tuple(size for call in block.calls for size in sizes(call))


def apart(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """How far apart two of one kind are by their sizes: the largest factor, in octaves."""
    return max((abs(a - b) for a, b in zip(one, other, strict=True)), default=0.0)


def products(call: OpCall) -> tuple[int, int, int]:
    """(m, n, k) of the matrix products that a call comes down to; (1, 1, 1) where to none.

    A convolution is an implicit product of its output's positions, its output channels of a group
    and what one of them is a sum of (Chetlur et al. 2014, arXiv:1410.0759).
    """
    if call.family == "matmul":
        return (call["m"], call["n"], call["k"])
    if call.family == "convolution" and not convolution.is_depthwise(call):
        groups = call["groups"]
        positions = call["batch"] * prod(convolution.output_size(call))
        fan_in = call["in_channels"] // groups * prod(call["kernel_size"])
        return (positions, call["out_channels"] // groups, fan_in)
    if call.family == "attention":
        return (call["query_len"], call["key_len"], call["head_dim"])
    if call.family == "recurrent":
        return (call["batch"], call["hidden_size"], call["hidden_size"])
    return (1, 1, 1)


def instructions(call: OpCall) -> int:
    """Instructions of a call that are no multiply-adds of a product; of most kinds too few to tell.

    In round numbers: a polynomial for each value of a function, a few for each point that is
    interpolated between others.
    """
    if call.family == "elementwise" and call.kind in TRANSCENDENTAL:
        return 10 * max((prod(shape) for shape in call["inputs"]), default=0)
    if call.family == "resampling" and call["outputs"]:
        points: int = prod(call["outputs"][0])
        return _POINTS.get(call.kind.split("_")[-1].rstrip("123d"), 1) * points
    if call.kind in ("softmax", "log_softmax"):
        elements: int = prod(call["input"])
        return 10 * elements
    return 0


def launches(call: OpCall) -> float:
    """Operators that a call launches one after another.

    A recurrent layer has one for each step, a gradient one for each thing that it is of. What has
    no traffic only asks and answers.
    """
    if call.kind in _NO_TRAFFIC:
        return 0.1
    if call.family == "convolution" and convolution.is_backward(call):
        return float(max(1, call["input_gradient"] + call["weight_gradient"]))
    if call.family != "recurrent":
        return 1
    directions = 2 if call["bidirectional"] else 1
    return int(max(1, call["steps"] * call["layers"] * directions))


def _own_kind(call: OpCall) -> Key:
    return (call.kind,)


def _kind_of_convolution(call: OpCall) -> Key:
    attributes = dict(call.attributes)
    gradients = (attributes.get("input_gradient"), attributes.get("weight_gradient"))
    grouped = call["groups"] > 1
    sides = (call["kernel_size"], call["stride"], call["dilation"])
    return (call.kind, *sides, grouped, convolution.is_depthwise(call), *gradients)


def _kind_of_matmul(call: OpCall) -> Key:
    # a matrix times a vector is limited by memory whatever its size, as in decoding
    is_vector = min(call["m"], call["n"]) == 1
    if matmul.is_batched(call):
        return ("bmm", is_vector)
    return ("linear" if call.kind == "linear" else "mm", is_vector)


def _kind_of_attention(call: OpCall) -> Key:
    grouped = call["heads"] != call["kv_heads"]
    decodes = call["query_len"] == 1 < call["key_len"]
    own = call["query_len"] == call["key_len"]
    return (call.kind, call["head_dim"], grouped, decodes, own, call["mask"] is not None)


def _kind_of_recurrent(call: OpCall) -> Key:
    return (call.kind, call["bidirectional"])


def _kind_of_elementwise(call: OpCall) -> Key:
    count = min(4, len(call["inputs"]))
    slow = call.kind if call.kind in TRANSCENDENTAL else ""
    return (slow, count, "outputs" in dict(call.attributes), _broadcasts(call))


def _broadcasts(call: OpCall) -> bool:
    return len({prod(shape) for shape in call["inputs"]}) > 1


_KINDS = {
    "convolution": _kind_of_convolution,
    "matmul": _kind_of_matmul,
    "attention": _kind_of_attention,
    "recurrent": _kind_of_recurrent,
    "elementwise": _kind_of_elementwise,
}


def _traffic(call: OpCall) -> tuple[int, ...]:
    return (max(FLOOR_BYTES, ops.cost(call).bytes),)


def _sizes_of_convolution(call: OpCall) -> tuple[int, ...]:
    positions = call["batch"] * prod(call["input_size"])
    if convolution.is_depthwise(call):
        return (positions, call["in_channels"], call["in_channels"])
    groups = call["groups"]
    return (positions, call["in_channels"] // groups, call["out_channels"] // groups)


def _sizes_of_matmul(call: OpCall) -> tuple[int, ...]:
    return (call["m"], call["n"], call["k"], call["batch"])


def _sizes_of_attention(call: OpCall) -> tuple[int, ...]:
    return (call["batch"] * call["heads"], call["query_len"], call["key_len"])


def _sizes_of_recurrent(call: OpCall) -> tuple[int, ...]:
    features = (call["input_size"], call["hidden_size"])
    return (call["batch"], call["steps"], *features, call["layers"])


def _sizes_of_embedding(call: OpCall) -> tuple[int, ...]:
    return (call["indices"], call["width"], call["rows"])


_SIZES = {
    "convolution": _sizes_of_convolution,
    "matmul": _sizes_of_matmul,
    "attention": _sizes_of_attention,
    "recurrent": _sizes_of_recurrent,
    "embedding": _sizes_of_embedding,
}
