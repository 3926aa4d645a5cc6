"""The search problem of one stage: widths in, MACs and warps and fitness out, vectorised.

A candidate is a row of genes: the stage's input width first (`in_channels`, free), then the number
of filters of each layer that has its own; a depthwise layer has the width of what it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from operator import mul

import numpy as np
from numpy.typing import NDArray

from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.ops import launch
from aimatrix.ops.convolution import conv2d, output_size
from aimatrix.synthesis.template import LayerTemplate, StageTemplate

Population = NDArray[np.int64]
Vector = NDArray[np.float64]

#: the largest width that a search may propose
MAX_WIDTH = 4095
#: fitness = sum of weight * |term - target| / target; the poster's two terms and weights
TERMS = {"macs": 0.5, "warps": 0.5}


@dataclass(frozen=True, slots=True)
class Problem:
    """Genes of one stage and what they cost.

    reads, writes: per layer, the gene of its input and of its output width (equal when
    depthwise). outputs: output positions of one filter (batch x height x width). kernel: kernel
    positions. targets are those of one execution of the stage.
    """

    genes: int
    reads: NDArray[np.int64]
    writes: NDArray[np.int64]
    outputs: NDArray[np.int64]
    kernel: NDArray[np.int64]
    depthwise: NDArray[np.bool_]
    target_macs: float
    target_warps: float

    def macs(self, population: Population) -> Population:
        """MACs of each candidate: outputs x kernel x output width (x input width if dense)."""
        written = population[:, self.writes]
        read = np.where(self.depthwise, 1, population[:, self.reads])
        total: Population = (written * read * (self.outputs * self.kernel)).sum(axis=1)
        return total

    def warps(self, population: Population) -> Population:
        """Warps of each candidate by `aimatrix.ops.launch`."""
        elements = population[:, self.writes] * self.outputs
        # one channel alone is a plain convolution, to torch as to `aimatrix.ops`
        depthwise = self.depthwise & (population[:, self.writes] > 1)
        tile = np.where(depthwise, launch.SCALAR_TILE_OUTPUTS, launch.GEMM_TILE_OUTPUTS)
        total: Population = (-(-elements // tile)).sum(axis=1) * launch.WARPS_PER_BLOCK
        return total

    def fitness(self, population: Population) -> Vector:
        """The poster's fitness of each candidate; 0 is a perfect match."""
        macs = np.abs(self.macs(population) - self.target_macs) / self.target_macs
        warps = np.abs(self.warps(population) - self.target_warps) / self.target_warps
        fitness: Vector = TERMS["macs"] * macs + TERMS["warps"] * warps
        return fitness

    @property
    def least_fitness(self) -> float:
        """A fitness that no candidate can go below: warps come in whole blocks, targets need not.

        The target of a stage is a share of its group's, and may lie between two blocks.
        """
        blocks = max(1, round(self.target_warps / launch.WARPS_PER_BLOCK))
        miss = abs(blocks * launch.WARPS_PER_BLOCK - self.target_warps) / self.target_warps
        return TERMS["warps"] * miss

    def solve_gene(self, population: Population, gene: NDArray[np.int64], limit: int) -> Population:
        """The candidates with one gene set to where their MACs come nearest to the target.

        MACs are linear in every single gene, so two evaluations give the line; ``gene`` holds
        the number of the gene for each row, results are kept in 1..``limit``.
        """
        rows, solved = np.arange(len(population)), population.copy()
        solved[rows, gene] = 0
        at_zero = self.macs(solved)
        solved[rows, gene] = 1
        slope = np.maximum(self.macs(solved) - at_zero, 1)
        wanted = np.rint((self.target_macs - at_zero) / slope)
        solved[rows, gene] = np.clip(wanted, 1, limit).astype(np.int64)
        return solved


def make_problem(template: StageTemplate) -> Problem:
    """The problem of a stage: which gene feeds which layer, and the sizes of its outputs.

    Raises InputError where a candidate's MACs could leave 64 bits.
    """
    reads, writes, width, genes = [], [], 0, 1
    for layer in template.layers:
        source = width if layer.main else 0
        reads.append(source)
        if layer.depthwise:
            writes.append(source)
        else:
            writes.append(genes)
            genes += 1
        if layer.main:
            width = writes[-1]
    outputs = [_positions(template, layer) for layer in template.layers]
    kernel = [prod(layer.kernel_size) for layer in template.layers]
    if sum(map(mul, outputs, kernel)) * MAX_WIDTH**2 >= 2**63:
        raise InputError(
            f"group {template.name}: its input_size, batch or kernel_size is too large for a search"
        )
    return Problem(
        genes=genes,
        reads=np.array(reads),
        writes=np.array(writes),
        outputs=np.array(outputs),
        kernel=np.array(kernel),
        depthwise=np.array([layer.depthwise for layer in template.layers]),
        target_macs=template.target_macs / template.multiplicity,
        target_warps=template.target_warps / template.multiplicity,
    )


def layer_call(
    template: StageTemplate, layer: LayerTemplate, in_channels: int, out_channels: int
) -> OpCall:
    """A layer of a stage as the operator call that it will be."""
    return conv2d(
        batch=template.batch,
        in_channels=in_channels,
        out_channels=out_channels,
        input_size=template.input_size,
        kernel_size=layer.kernel_size,
        stride=layer.stride,
        padding=layer.padding,
        groups=in_channels if layer.depthwise else 1,
    )


def _positions(template: StageTemplate, layer: LayerTemplate) -> int:
    return template.batch * prod(output_size(layer_call(template, layer, 1, 1)))
