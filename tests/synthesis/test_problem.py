"""The vectorised problem counts as `aimatrix.ops` does, and a benchmark is what was searched."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimatrix.errors import InputError
from aimatrix.synthesis.problem import MAX_WIDTH, make_problem
from aimatrix.synthesis.stage import build_stage
from aimatrix.synthesis.template import LayerTemplate, StageTemplate


@st.composite
def templates(draw: st.DrawFn) -> StageTemplate:
    """Any stage: strided, even and uneven kernels, depthwise, batches, uneven inputs."""
    layers = draw(st.lists(layer_templates(), min_size=1, max_size=6))
    return StageTemplate(
        name="stage",
        center=9,
        input_size=draw(st.tuples(st.integers(1, 60), st.integers(1, 60))),
        batch=draw(st.integers(1, 9)),
        multiplicity=draw(st.sampled_from([0.125, 0.5, 1.0, 3.0, 1000.0])),
        layers=tuple(sorted(layers, key=lambda layer: layer.main)),
        target_macs=draw(st.integers(1, 10**12)),
        target_warps=draw(st.integers(1, 10**8)),
    )


@st.composite
def layer_templates(draw: st.DrawFn) -> LayerTemplate:
    kernel = draw(st.tuples(st.integers(1, 7), st.integers(1, 7)))
    stride = draw(st.sampled_from([(1, 1), (1, 1), (2, 2), (1, 2)]))
    padding = (kernel[0] // 2, kernel[1] // 2)
    return LayerTemplate(kernel, stride, padding, depthwise=draw(st.booleans()))


@st.composite
def candidates(draw: st.DrawFn) -> tuple[StageTemplate, list[int]]:
    template = draw(templates())
    widths = st.one_of(st.integers(1, 3), st.integers(1, MAX_WIDTH))
    genes = make_problem(template).genes
    return template, draw(st.lists(widths, min_size=genes, max_size=genes))


@settings(max_examples=200, deadline=None)
@given(candidates())
def test_macs_warps_and_fitness_are_those_of_the_operators(
    candidate: tuple[StageTemplate, list[int]],
) -> None:
    template, genes = candidate
    problem, row = make_problem(template), np.array([genes])
    stage = build_stage(template, genes)
    assert problem.macs(row)[0] == stage.macs == sum(layer.macs for layer in stage.layers)
    assert problem.warps(row)[0] == stage.warps == sum(layer.warps for layer in stage.layers)
    assert problem.fitness(row)[0] == pytest.approx(stage.fitness_error)


@settings(max_examples=50, deadline=None)
@given(candidates())
def test_layers_are_the_operators_that_they_stand_for(
    candidate: tuple[StageTemplate, list[int]],
) -> None:
    template, genes = candidate
    stage = build_stage(template, genes)
    for layer, wanted in zip(stage.layers, template.layers, strict=True):
        assert (layer.kernel_size, layer.stride) == (wanted.kernel_size, wanted.stride)
        assert layer.role == ("main" if wanted.main else "branch")
        assert layer.groups == (layer.in_channels if wanted.depthwise else 1)
        if layer.role == "main":
            sides = zip(template.input_size, layer.padding, layer.kernel_size, strict=True)
            assert all(side + 2 * pad - kernel + 1 == side for side, pad, kernel in sides)


@settings(max_examples=100, deadline=None)
@given(candidates(), st.randoms(use_true_random=False))
def test_a_solved_gene_is_the_best_one(
    candidate: tuple[StageTemplate, list[int]], random: object
) -> None:
    template, genes = candidate
    problem = make_problem(template)
    gene = random.randrange(problem.genes)  # type: ignore[attr-defined]
    solved = problem.solve_gene(np.array([genes]), np.array([gene]), MAX_WIDTH)[0]
    others = [value for number, value in enumerate(genes) if number != gene]
    assert [value for number, value in enumerate(solved) if number != gene] == others
    assert 1 <= solved[gene] <= MAX_WIDTH

    def miss(value: int) -> float:
        row = np.array([[*genes[:gene], value, *genes[gene + 1 :]]])
        return abs(float(problem.macs(row)[0]) - problem.target_macs)

    near = {max(1, solved[gene] - 1), min(MAX_WIDTH, solved[gene] + 1), 1, MAX_WIDTH}
    assert all(miss(int(solved[gene])) <= miss(int(value)) for value in near)


def test_what_would_not_fit_into_64_bits_is_refused() -> None:
    layer = LayerTemplate((3, 3), (1, 1), (1, 1), depthwise=False)
    template = StageTemplate("g", 9, (2**20, 2**20), 2**10, 1.0, (layer,), 10**9, 10**6)
    with pytest.raises(InputError, match="group g: its input_size"):
        make_problem(template)


def test_a_depthwise_layer_has_no_gene_of_its_own() -> None:
    dense = LayerTemplate((1, 1), (1, 1), (0, 0), depthwise=False)
    depthwise = LayerTemplate((3, 3), (1, 1), (1, 1), depthwise=True)
    template = StageTemplate("g", 9, (14, 14), 1, 1.0, (dense, depthwise, dense), 10**6, 10**3)
    assert make_problem(template).genes == 3
    stage = build_stage(template, [8, 48, 16])
    widths = [(layer.in_channels, layer.out_channels) for layer in stage.layers]
    assert widths == [(8, 48), (48, 48), (48, 16)]
    assert [layer.depthwise for layer in stage.layers] == [False, True, False]
