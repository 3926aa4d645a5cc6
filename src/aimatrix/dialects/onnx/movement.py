"""Copies, joins, fills, and what does no work at all, as ONNX spells them.

A tensor of ONNX lies in memory in the order of its axes, without gaps: what is a view elsewhere
(of a part, of axes in another order) is a copy here. Another shape for the same numbers is none.
"""

from __future__ import annotations

from collections.abc import Sequence

from aimatrix.dialects.operands import inputs, operand, outputs, shape
from aimatrix.dialects.raw import TensorArg
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _seen(_: str, arguments: Arguments) -> Translation:
    return "view", {"inputs": inputs(arguments)[:1] or [()]}


def _copied(_: str, arguments: Arguments) -> Translation:
    """All of the first input."""
    return "copy", {"inputs": [shape(arguments, 0)]}


def _written(_: str, arguments: Arguments) -> Translation:
    """As much as comes out: a part of the input, or several times the whole of it."""
    return "copy", {"inputs": outputs(arguments)[:1]}


def _filled(_: str, arguments: Arguments) -> Translation:
    return "fill", {"inputs": outputs(arguments)[:1]}


def _converted(_: str, arguments: Arguments) -> Translation:
    """A copy, unless the tensor is so already."""
    tensor, given = operand(arguments, 0), arguments["outputs"][0]
    changed = isinstance(tensor, TensorArg) and tensor.dtype != given.dtype
    return "copy" if changed else "view", {"inputs": [shape(arguments, 0)]}


def _joined(_: str, arguments: Arguments) -> Translation:
    return "cat", {"inputs": inputs(arguments), "dim": arguments.get("axis", 1)}


def _quantised_joined(_: str, arguments: Arguments) -> Translation:
    """After its own scale and zero, each input is followed by its scale and zero."""
    return "cat", {"inputs": inputs(arguments)[2::3], "dim": arguments["axis"]}


def _features_joined(_: str, arguments: Arguments) -> Translation:
    return "cat", {"inputs": inputs(arguments), "dim": -1}


def _padded(_: str, arguments: Arguments) -> Translation:
    """Pads are those before every axis, then those behind; of some axes alone if these are told.

    They are spelled as torch spells them: the last axis first, and none of axes left as they are.
    Pads that are not told are what the output has more, behind.
    """
    taken, given = shape(arguments, 0), outputs(arguments)[0]
    pads = arguments.get("pads", arguments.get("paddings"))
    if pads is None:
        before, behind = [0] * len(taken), [o - t for o, t in zip(given, taken, strict=True)]
    else:
        before, behind = _all_axes(pads, arguments.get("axes"), taken)
    spelled: list[int] = []
    for pair in zip(reversed(before), reversed(behind), strict=True):
        spelled += pair
    while spelled[-2:] == [0, 0]:
        del spelled[-2:]
    return "pad", {"inputs": [taken], "pads": spelled}


def _all_axes(
    pads: Sequence[int], axes: Sequence[int] | None, taken: Shape
) -> tuple[list[int], list[int]]:
    """(before, behind) of every axis."""
    padded = range(len(taken)) if axes is None else axes
    before, behind = [0] * len(taken), [0] * len(taken)
    for place, axis in enumerate(padded):
        before[axis], behind[axis] = pads[place], pads[place + len(padded)]
    return before, behind


_VIEW = Rule("movement", _seen)
_COPY = Rule("movement", _copied)
_WRITTEN = Rule("movement", _written)
_FILL = Rule("movement", _filled, dtype_of="outputs")
_PAD = Rule("movement", _padded, ("pads", "axes"))

RULES: dict[str, Rule] = {
    **same(
        _VIEW,
        "Reshape Flatten Squeeze Unsqueeze Identity Shape Size BitCast Constant"
        " OptionalHasElement com.microsoft::ExpandDims",
    ),
    **same(
        _COPY,
        "Transpose Split DepthToSpace SpaceToDepth Trilu ReverseSequence com.microsoft::Trilu"
        " com.microsoft.nchwc::ReorderInput com.microsoft.nchwc::ReorderOutput"
        " com.ms.internal.nhwc::DepthToSpace com.ms.internal.nhwc::SpaceToDepth"
        " com.microsoft::RemovePadding",
    ),
    **same(
        _WRITTEN,
        "Slice DynamicSlice Crop Tile Expand CenterCropPad com.microsoft::UnfoldTensor"
        " com.microsoft::RestorePadding",
    ),
    **same(Rule("movement", _converted), "Cast CastLike"),
    "Concat": Rule("movement", _joined),
    "com.microsoft::QLinearConcat": Rule("movement", _quantised_joined, dtype_of=2),
    "ai.onnx.ml::FeatureVectorizer": Rule("movement", _features_joined),
    **same(_PAD, "Pad com.microsoft::Pad"),
    **same(
        _FILL,
        "ConstantOfShape ConstantFill GivenTensorFill Range EyeLike OneHot Bernoulli RandomNormal"
        " RandomUniform RandomNormalLike RandomUniformLike HannWindow HammingWindow"
        " BlackmanWindow MelWeightMatrix com.microsoft::Range ai.onnx.ml::OneHotEncoder",
    ),
}
