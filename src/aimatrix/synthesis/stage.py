"""Makes a stage of a template and the widths that a search found."""

from __future__ import annotations

from collections.abc import Sequence

from aimatrix import ops
from aimatrix.model.benchmark import Layer, Stage
from aimatrix.synthesis.problem import TERMS, layer_call
from aimatrix.synthesis.template import StageTemplate

#: a fitness error of 0.1 %: a stage this far from its target gets another multiplicity
MISSED = 1e-3


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
    represented = (macs * template.multiplicity, warps * template.multiplicity)
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
        fitness_error=_fitness(*represented, template.target_macs, template.target_warps),
    )


def corrected(stage: Stage) -> Stage:
    """``stage`` with the multiplicity that brings it nearest to its target.

    For what no widths can meet, such as depthwise layers alone. The fitness is linear in the
    multiplicity between those that match MACs and warps, so one of these two is the best.
    """
    choices = (stage.target_macs / stage.macs, stage.target_warps / stage.warps)
    corrections = [(_fitness_at(stage, choice), choice) for choice in choices]
    fitness_error, multiplicity = min(corrections)
    if fitness_error >= stage.fitness_error:
        return stage
    return stage.model_copy(update={"multiplicity": multiplicity, "fitness_error": fitness_error})


def _fitness_at(stage: Stage, multiplicity: float) -> float:
    represented = (stage.macs * multiplicity, stage.warps * multiplicity)
    return _fitness(*represented, stage.target_macs, stage.target_warps)


def _fitness(macs: float, warps: float, target_macs: int, target_warps: int) -> float:
    return (
        TERMS["macs"] * abs(macs - target_macs) / target_macs
        + TERMS["warps"] * abs(warps - target_warps) / target_warps
    )
