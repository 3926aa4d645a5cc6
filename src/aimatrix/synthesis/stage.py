"""Makes a stage of a template and the widths that a search found."""

from __future__ import annotations

from collections.abc import Sequence

from aimatrix import ops
from aimatrix.model.benchmark import Layer, Stage
from aimatrix.synthesis.problem import TERMS, layer_call
from aimatrix.synthesis.template import StageTemplate


def build_stage(template: StageTemplate, genes: Sequence[int]) -> Stage:
    """The stage of ``template`` with widths ``genes`` (`aimatrix.synthesis.problem`).

    MACs and warps are counted anew by `aimatrix.ops`, not taken from the search.
    """
    layers, width, rest = [], genes[0], iter(genes[1:])
    for layer in template.layers:
        in_channels = width if layer.main else genes[0]
        out_channels = in_channels if layer.depthwise else next(rest)
        call = layer_call(template, layer, in_channels, out_channels)
        cost = ops.cost(call)
        layers.append(
            Layer(
                role="main" if layer.main else "branch",
                in_channels=in_channels,
                out_channels=out_channels,
                kernel_size=layer.kernel_size,
                stride=layer.stride,
                padding=layer.padding,
                groups=call["groups"],
                macs=cost.macs or 0,
                warps=cost.warps or 0,
            )
        )
        if layer.main:
            width = out_channels
    macs, warps = sum(item.macs for item in layers), sum(item.warps for item in layers)
    return Stage(
        name=template.name,
        center=template.center,
        input_size=template.input_size,
        in_channels=genes[0],
        multiplicity=template.multiplicity,
        layers=tuple(layers),
        macs=macs,
        warps=warps,
        target_macs=template.target_macs,
        target_warps=template.target_warps,
        fitness_error=_fitness(template, macs, warps),
    )


def _fitness(template: StageTemplate, macs: int, warps: int) -> float:
    represented = {"macs": macs * template.multiplicity, "warps": warps * template.multiplicity}
    targets = {"macs": template.target_macs, "warps": template.target_warps}
    return sum(
        weight * abs(represented[term] - targets[term]) / targets[term]
        for term, weight in TERMS.items()
    )
