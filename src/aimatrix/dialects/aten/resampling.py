"""Changes of resolution, sampling at places, and patches as columns, as PyTorch spells them."""

from __future__ import annotations

from math import floor, prod
from typing import Any

from aimatrix.dialects.aten.rule import Arguments, Rule, Shape, Translation, per_side, same, shapes


def _upsample(name: str, arguments: Arguments) -> Translation:
    """To a size, or by factors; the size is the factor times the input's, rounded down."""
    kind = name.removeprefix("_")
    if name.endswith("_backward"):
        return kind, _moved(shapes(arguments, "grad_output"), [arguments["input_size"]])
    shape = shapes(arguments, "self", "input")[0]
    sizes = arguments.get("output_size")
    if sizes is None:
        factors = arguments["scale_factors"]
        sizes = tuple(floor(s * f) for s, f in zip(shape[2:], factors, strict=True))
    return kind, _moved([shape], [(*shape[:2], *sizes)])


def _sampled(name: str, arguments: Arguments) -> Translation:
    shape, grid = arguments["input"].shape, arguments["grid"].shape
    output = (*shape[:2], *grid[1:-1])
    if name.endswith("_backward"):
        return "grid_sampler_backward", _moved([output, shape, grid], [shape, grid])
    return "grid_sampler", _moved([shape, grid], [output])


def _columns(_: str, arguments: Arguments) -> Translation:
    shape = arguments["self"].shape
    *batch, channels, height, width = shape
    kernel, dilation = (per_side(arguments[of], 2, 1) for of in ("kernel_size", "dilation"))
    padding, stride = per_side(arguments["padding"], 2, 0), per_side(arguments["stride"], 2, 1)
    places = prod(
        (size + 2 * p - d * (k - 1) - 1) // s + 1
        for size, k, d, p, s in zip((height, width), kernel, dilation, padding, stride, strict=True)
    )
    return "im2col", _moved([shape], [(*batch, channels * prod(kernel), places)])


def _from_columns(_: str, arguments: Arguments) -> Translation:
    *batch, rows, _places = arguments["self"].shape
    channels = rows // prod(per_side(arguments["kernel_size"], 2, 1))
    output = (*batch, channels, *arguments["output_size"])
    return "col2im", _moved([arguments["self"].shape], [output])


def _unpooled(name: str, arguments: Arguments) -> Translation:
    shape, sizes = arguments["self"].shape, arguments["output_size"]
    output = (*shape[: len(shape) - len(sizes)], *sizes)
    return name, {"inputs": [shape], "outputs": [output], "indices": prod(shape)}


def _padding_backward(name: str, arguments: Arguments) -> Translation:
    return name, _moved(shapes(arguments, "grad_output"), shapes(arguments, "self"))


def _moved(inputs: list[Shape], outputs: list[Any]) -> dict[str, Any]:
    return {"inputs": inputs, "outputs": outputs, "indices": 0}


_UPSAMPLE = Rule("resampling", _upsample, ("output_size", "scale_factors", "input_size"))
_METHODS = (
    "upsample_nearest1d upsample_nearest2d upsample_nearest3d upsample_linear1d"
    " upsample_bilinear2d upsample_trilinear3d upsample_bicubic2d"
    " _upsample_nearest_exact1d _upsample_nearest_exact2d _upsample_nearest_exact3d"
    " _upsample_bilinear2d_aa _upsample_bicubic2d_aa"
)

RULES: dict[str, Rule] = {
    **same(_UPSAMPLE, _METHODS),
    **{f"{method}_backward": _UPSAMPLE for method in _METHODS.split()},
    **same(
        Rule("resampling", _sampled),
        "grid_sampler grid_sampler_2d grid_sampler_3d _grid_sampler_2d_cpu_fallback"
        " cudnn_grid_sampler grid_sampler_2d_backward grid_sampler_3d_backward",
    ),
    "im2col": Rule("resampling", _columns, ("kernel_size", "dilation", "padding", "stride")),
    "col2im": Rule("resampling", _from_columns, ("kernel_size", "output_size")),
    **same(Rule("resampling", _unpooled, ("output_size",)), "max_unpool2d max_unpool3d"),
    **same(
        Rule("resampling", _padding_backward),
        "reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward"
        " replication_pad1d_backward replication_pad2d_backward replication_pad3d_backward",
    ),
}
