"""Fourier transforms as PyTorch spells them."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

from aimatrix.dialects.aten.rule import Arguments, Rule, Shape, Translation, axes, same


def _transform(name: str, arguments: Arguments) -> Translation:
    """``fft_fft`` and its like: along one axis, the last two, or those that are given."""
    tensor = arguments["self"]
    given = arguments.get("n") if name[-1] not in "2n" else arguments.get("s")
    lengths = axes(given)
    along = axes(arguments.get("dim"))
    if not along:
        along = _default_axes(name, len(lengths), len(tensor.shape))
    kind = name.removeprefix("fft_").rstrip("2n")
    to_real = kind in ("irfft", "hfft")
    points = [tensor.shape[axis] for axis in along]
    if to_real:
        points[-1] = 2 * (points[-1] - 1)
    for index, length in enumerate(lengths):
        points[index] = points[index] if length == -1 else length
    output = list(tensor.shape)
    for axis, length in zip(along, points, strict=True):
        output[axis] = length
    if kind in ("rfft", "ihfft"):  # half of the spectrum is the other half's mirror image
        output[along[-1]] = points[-1] // 2 + 1
    from_real = not tensor.dtype.startswith("complex")
    kind = "c2r" if to_real else "r2c" if from_real else "c2c"
    return kind, _attributes(points, along, tensor.shape, output)


def _default_axes(name: str, lengths: int, rank: int) -> tuple[int, ...]:
    if name.endswith("n"):
        return tuple(range(-(lengths or rank), 0))
    return (-2, -1) if name.endswith("2") else (-1,)


def _below(name: str, arguments: Arguments) -> Translation:
    """``_fft_c2c`` and its like: lengths are those of the input, padded or cut before."""
    shape, along = arguments["self"].shape, axes(arguments["dim"])
    points, output = [shape[axis] for axis in along], list(shape)
    kind = name.removeprefix("_fft_")
    if kind == "c2r":
        points[-1] = output[along[-1]] = arguments["last_dim_size"]
    elif kind == "r2c" and arguments["onesided"]:
        output[along[-1]] = points[-1] // 2 + 1
    return kind, _attributes(points, along, shape, output)


def _short_time(_: str, arguments: Arguments) -> Translation:
    tensor, points = arguments["self"], arguments["n_fft"]
    *batch, length = tensor.shape
    if arguments.get("center"):
        length += 2 * (points // 2)
    frames = 1 + (length - points) // (arguments.get("hop_length") or points // 4)
    from_real = not tensor.dtype.startswith("complex")
    onesided = arguments.get("onesided")
    half = from_real if onesided is None else onesided
    output = (*batch, points // 2 + 1 if half else points, frames)
    return "r2c" if from_real else "c2c", {
        "points": [points],
        "transforms": prod(batch) * frames,
        "input": tensor.shape,
        "output": output,
    }


def _back_from_short_time(_: str, arguments: Arguments) -> Translation:
    *batch, bins, frames = arguments["self"].shape
    points = arguments["n_fft"]
    length = arguments.get("length")
    if length is None:
        length = (arguments.get("hop_length") or points // 4) * (frames - 1)
        length += 0 if arguments.get("center", True) else points
    return "c2c" if arguments.get("return_complex") else "c2r", {
        "points": [points],
        "transforms": prod(batch) * frames,
        "input": (*batch, bins, frames),
        "output": (*batch, length),
    }


def _attributes(
    points: Sequence[int], along: Sequence[int], shape: Shape, output: Sequence[int]
) -> dict[str, Any]:
    transformed = {axis % len(shape) for axis in along}
    others = (size for axis, size in enumerate(output) if axis not in transformed)
    return {"points": points, "transforms": prod(others), "input": shape, "output": output}


RULES: dict[str, Rule] = {
    **same(
        Rule("fourier", _transform, ("n", "s", "dim")),
        "fft_fft fft_ifft fft_rfft fft_irfft fft_hfft fft_ihfft fft_fft2 fft_ifft2 fft_rfft2"
        " fft_irfft2 fft_fftn fft_ifftn fft_rfftn fft_irfftn",
    ),
    **same(Rule("fourier", _below, ("dim", "last_dim_size", "onesided")), "_fft_c2c _fft_r2c"),
    "_fft_c2r": Rule("fourier", _below, ("dim", "last_dim_size", "onesided")),
    "stft": Rule("fourier", _short_time, ("n_fft", "hop_length", "onesided", "center")),
    "istft": Rule(
        "fourier",
        _back_from_short_time,
        ("n_fft", "hop_length", "center", "length", "return_complex"),
    ),
}
