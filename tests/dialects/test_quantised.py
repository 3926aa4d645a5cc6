"""Quantised operators have the kind and shapes of those that they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.model.calls import OpCall
from aimatrix.monitoring.in_process import record_application

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

pytestmark = pytest.mark.filterwarnings("ignore")  # torch warns that it will give these up


def the_call(function: Callable[..., Any], *inputs: Any) -> OpCall:
    calls = [translate(raw) for raw in record_application(function, inputs, ATTRIBUTES).calls]
    [found] = [call for call in calls if ops.cost(call).bytes]
    return found


X = torch.rand(2, 4, 6, 6)
SCALE = (0.1, 0)
CHANNELS, SIDES = torch.rand(4), torch.rand(6)
Q = torch.ops.quantized

#: name -> (the quantised one, the one that it stands for)
PAIRS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "batch_norm": (
        lambda x: Q.batch_norm2d(x, CHANNELS, CHANNELS, CHANNELS, CHANNELS, 1e-5, *SCALE),
        lambda x: F.batch_norm(x, CHANNELS, CHANNELS, CHANNELS, CHANNELS),
    ),
    "layer_norm": (
        lambda x: Q.layer_norm(x, [6], SIDES, SIDES, 1e-5, *SCALE),
        lambda x: F.layer_norm(x, [6], SIDES, SIDES),
    ),
    "group_norm": (
        lambda x: Q.group_norm(x, 2, CHANNELS, CHANNELS, 1e-5, *SCALE),
        lambda x: F.group_norm(x, 2, CHANNELS, CHANNELS),
    ),
    "softmax": (lambda x: Q.softmax(x, 1, *SCALE), lambda x: F.softmax(x, 1)),
    "max_pool": (
        lambda x: Q.max_pool2d(x, [2, 2], [2, 2], [0, 0], [1, 1], False),
        lambda x: F.max_pool2d(x, 2),
    ),
    "matmul": (lambda x: Q.matmul(x, x, *SCALE), lambda x: x @ x),
    "cat": (lambda x: Q.cat([x, x], 1, *SCALE), lambda x: torch.cat([x, x], 1)),
    "add": (lambda x: Q.add(x, x, *SCALE), lambda x: x + x),
    "sigmoid": (lambda x: Q.sigmoid(x, *SCALE), lambda x: x.sigmoid()),
}


@pytest.mark.parametrize("name", PAIRS)
def test_a_quantised_operator_is_what_it_stands_for_in_fewer_bytes(name: str) -> None:
    quantised, plain = PAIRS[name]
    few = the_call(quantised, torch.quantize_per_tensor(X, *SCALE, torch.quint8))
    many = the_call(plain, X)
    assert few.family == many.family
    assert few.attributes == many.attributes
    assert ops.cost(few).macs == ops.cost(many).macs
    assert 4 * ops.cost(few).bytes == ops.cost(many).bytes


def test_quantised_tables_are_looked_up() -> None:
    table = torch.ao.nn.quantized.EmbeddingBag(10, 8)
    call = the_call(table, torch.arange(6), torch.tensor([0, 3]))
    assert (call.family, call.kind) == ("embedding", "embedding_bag")
    assert (call["rows"], call["width"], call["indices"], call["outputs"]) == (10, 8, 6, 2)


CELLS = [nn.LSTMCell, nn.GRUCell, nn.RNNCell]


@pytest.mark.parametrize("cell", CELLS)
def test_quantised_cells_and_layers_do_the_same_multiply_adds(cell: Any) -> None:
    plain = nn.Sequential(cell(8, 16))
    quantised = torch.ao.quantization.quantize_dynamic(plain, {cell})
    assert macs(quantised, torch.rand(3, 8)) == macs(plain, torch.rand(3, 8)) > 0


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_quantised_convolutions_of_each_rank(rank: int) -> None:
    layers = (nn.Conv1d, nn.Conv2d, nn.Conv3d), torch.ao.nn.quantized.dynamic
    plain = layers[0][rank - 1](4, 6, 3, padding=1, stride=2, groups=2)
    quantised = getattr(layers[1], f"Conv{rank}d")(4, 6, 3, padding=1, stride=2, groups=2)
    x = torch.rand(2, 4, *[9] * rank)
    assert the_call(quantised, x).attributes == the_call(plain, x).attributes


def test_layers_packed_between_two_watches_are_not_taken_for_others() -> None:
    for size in range(4, 44):  # one that is gone leaves its address to the next
        layer = torch.ao.nn.quantized.dynamic.Linear(size, 8)
        assert macs(layer, torch.rand(2, size)) == 2 * size * 8
        del layer


def macs(function: Callable[..., Any], *inputs: Any) -> int:
    calls = [translate(raw) for raw in record_application(function, inputs, ATTRIBUTES).calls]
    return sum(ops.cost(call).macs or 0 for call in calls)
