"""The torch modules do what the specification states: MACs, and the written rules of the layout."""

from __future__ import annotations

import numpy as np
import pytest

from aimatrix.model.benchmark import Benchmark

torch = pytest.importorskip("torch")


def test_does_exactly_the_macs_of_the_specification(small_benchmark: Benchmark) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    from aimatrix.backends.torch_layers import Model, example_input

    model, x = Model(small_benchmark), example_input(small_benchmark)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(x)
    macs = sum(layer.macs for stage in small_benchmark.stages for layer in stage.layers)
    assert counter.get_total_flops() == 2 * macs


def test_every_branch_and_chain_ends_in_the_head(small_benchmark: Benchmark) -> None:
    from aimatrix.backends.torch_layers import Model, example_input

    with torch.no_grad():
        output = Model(small_benchmark)(example_input(small_benchmark)).numpy()
    # branches and ends of the chains: 16 + 12, 20, 8 + 10 + 9, 32
    assert output.shape == (1, 107)
    assert np.count_nonzero(output) > 100


def test_weights_follow_the_page(small_benchmark: Benchmark) -> None:
    from aimatrix.backends.torch_layers import build_stages, example_input

    numbers, state = [], 1
    for _ in range(8191):
        state = (state * 1103515245 + 12345) % 2**31
        numbers.append(np.float32(state / 2**30 - 1))
    stages = build_stages(small_benchmark)

    # layer 3 of the model is the first of the second stage: 1x7, 28 -> 40, 7840 numbers
    third = stages[1].main[0]
    flat = third.weight.numpy().ravel()
    scale = np.float32(np.sqrt(6 / (28 * 7)))
    assert third.weight.shape == (40, 28, 1, 7)
    assert flat[0] == numbers[3 * 97] * scale
    assert flat[7839] == numbers[3 * 97 + 7839] * scale
    assert third.bias.numpy()[39] == numbers[3 * 97 + 39] * np.float32(0.01)

    # 20 x 64 x ... the last one is longer than the vector, so that it goes round it
    last = stages[3].main[0].weight.numpy().ravel()
    assert last[8191] == last[0] == numbers[7 * 97] * np.float32(np.sqrt(6 / (64 * 25)))
    assert example_input(small_benchmark).numpy().ravel()[1] == numbers[1]


def test_stages_meet_by_pooling_and_by_growing() -> None:
    from aimatrix.benchmark.layout import transition

    shrinking = transition((33, 32), (14, 16))
    assert (shrinking.kernel_size, shrinking.stride) == ((7, 2), (2, 2))
    growing = transition((14, 16), (7, 18))
    assert (growing.kernel_size, growing.stride, growing.grow) == ((2, 1), (2, 1), (0, 2))
    same = transition((7, 7), (7, 7))
    assert not same.pools
    assert not same.grows
