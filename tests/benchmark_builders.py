"""Builders of benchmarks made by hand, for the tests of every package."""

from __future__ import annotations

from typing import Any

from aimatrix.model.benchmark import AddedWork, Benchmark, Layer, Stage, Synthesis


def make_layer(
    role: str,
    in_channels: int,
    out_channels: int,
    kernel: tuple[int, int],
    size: tuple[int, int],
    *,
    stride: tuple[int, int] = (1, 1),
    depthwise: bool = False,
) -> Layer:
    """A layer on an input of ``size``, padded by half its kernel; batch 1."""
    padding = (kernel[0] // 2, kernel[1] // 2)
    groups = in_channels if depthwise else 1
    outputs = out_channels
    for side, k, s, p in zip(size, kernel, stride, padding, strict=True):
        outputs *= (side + 2 * p - k) // s + 1
    return Layer(
        role=role,  # type: ignore[arg-type]
        in_channels=in_channels,
        out_channels=out_channels,
        kernel_size=kernel,
        stride=stride,
        padding=padding,
        groups=groups,
        macs=outputs * (in_channels // groups) * kernel[0] * kernel[1],
        warps=4,
    )


def make_stage(
    name: str,
    size: tuple[int, int],
    in_channels: int,
    *layers: Layer,
    multiplicity: float = 1.0,
) -> Stage:
    """A stage that meets its targets exactly."""
    macs = sum(layer.macs for layer in layers)
    warps = sum(layer.warps for layer in layers)
    return Stage(
        name=name,
        center=max(size),
        input_size=size,
        in_channels=in_channels,
        multiplicity=multiplicity,
        layers=layers,
        macs=macs,
        warps=warps,
        target_macs=max(1, round(macs * multiplicity)),
        target_warps=max(1, round(warps * multiplicity)),
        fitness_error=0.0,
    )


def make_benchmark(*stages: Stage) -> Benchmark:
    """A benchmark of these stages at batch 1."""
    fields: dict[str, Any] = {
        "batch": 1,
        "dtype": "float32",
        "applications": 2,
        "stages": stages,
        "added": AddedWork(operators=0, bytes=0),
        "synthesis": Synthesis(
            search="default", seed=0, terms={"macs": 0.5, "warps": 0.5}, profile_digest="0" * 64
        ),
    }
    return Benchmark.create(**fields)
