"""Changes of resolution, sampling at places, and columns as patches, as ONNX spells them."""

from __future__ import annotations

from math import prod

from aimatrix.dialects.operands import inputs, operand, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Translation, same

#: mode -> what torch calls it, by the number of sides
_LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}


def _resized(_: str, arguments: Arguments) -> Translation:
    """To what comes out, whether its size is told or a factor."""
    taken = shape(arguments, 0)
    sides = max(len(taken) - 2, 1)
    mode = str(arguments.get("mode", "nearest")).lower()
    if "linear" in mode:
        mode = _LINEAR.get(sides, "linear")
    elif "cubic" in mode:
        mode = "bicubic"
    smooth = "_aa" if arguments.get("antialias") else ""
    kind = f"upsample_{mode}{sides}d{smooth}"
    return kind, {"inputs": [taken], "outputs": outputs(arguments)[:1], "indices": 0}


def _sampled(_: str, arguments: Arguments) -> Translation:
    return "grid_sampler", {
        "inputs": inputs(arguments),
        "outputs": outputs(arguments),
        "indices": 0,
    }


def _regions(kind: str) -> Rule:
    """Regions of images, each given by its corners and, apart from them, its image."""

    def translation(_: str, arguments: Arguments) -> Translation:
        images = operand(arguments, 2)
        return kind, {
            "inputs": inputs(arguments)[:2],
            "outputs": outputs(arguments),
            "indices": prod(images.shape) if images else 0,
        }

    return Rule("resampling", translation)


def _from_columns(_: str, arguments: Arguments) -> Translation:
    return "col2im", {
        "inputs": [shape(arguments, 0)],
        "outputs": outputs(arguments),
        "indices": 0,
    }


def _unpooled(_: str, arguments: Arguments) -> Translation:
    taken = shape(arguments, 0)
    return f"max_unpool{len(taken) - 2}d", {
        "inputs": [taken],
        "outputs": outputs(arguments),
        "indices": prod(taken),
    }


RULES: dict[str, Rule] = {
    **same(Rule("resampling", _resized), "Resize Upsample com.ms.internal.nhwc::Resize"),
    "com.microsoft.nchwc::Upsample": Rule("resampling", _resized),
    **same(
        Rule("resampling", _sampled),
        "GridSample com.microsoft::GridSample com.ms.internal.nhwc::GridSample",
    ),
    "RoiAlign": _regions("roi_align"),
    "MaxRoiPool": _regions("roi_pool"),
    "com.microsoft::CropAndResize": _regions("roi_align"),
    "Col2Im": Rule("resampling", _from_columns),
    **same(Rule("resampling", _unpooled), "MaxUnpool com.ms.internal.nhwc::MaxUnpool"),
}
