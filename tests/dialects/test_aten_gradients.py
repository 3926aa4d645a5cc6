"""Gradients and optimizer steps, run by torch: their multiply-adds and what they write."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.model.calls import OpCall
from aimatrix.monitoring import record_calls

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

# torch warns of sparse gradients, of tiny kernels, of layers that it has no faster form of
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def leaf(*shape: int) -> Any:
    return torch.rand(shape, requires_grad=True)


def captured(run: Callable[[], Any]) -> list[OpCall]:
    return [translate(raw) for raw in record_calls(run, ATTRIBUTES)]


def backward(run: Callable[[], Any]) -> list[OpCall]:
    """The calls of the gradient of the sum of what ``run`` gives."""
    output = run()
    return [call for call in captured(lambda: output.sum().backward()) if call.phase == "backward"]


def macs(calls: list[OpCall]) -> int:
    return sum(ops.cost(call).macs or 0 for call in calls)


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Any, Any]:
    """A convolution of one group, as torch's counter is wrong about several, and its input."""
    rank = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{rank}d")
    inside, outside = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    kernel = draw(st.integers(1, 3))
    module = kind(inside, outside, kernel, stride=draw(st.integers(1, 2)), bias=draw(st.booleans()))
    sides = draw(st.lists(st.integers(4, 6), min_size=rank, max_size=rank))
    x = torch.rand(draw(st.integers(1, 2)), inside, *sides, requires_grad=draw(st.booleans()))
    return module, x


@settings(max_examples=60, deadline=None)
@given(convolutions())
def test_gradients_of_convolutions_are_torchs(drawn: tuple[Any, Any]) -> None:
    from torch.utils.flop_counter import FlopCounterMode

    module, x = drawn
    seen = backward(lambda: module(x))
    output = module(x).sum()
    with FlopCounterMode(display=False) as counter:
        output.backward()
    assert macs(seen) == counter.get_total_flops() // 2
    [convolution] = [call for call in seen if call.family == "convolution"]
    assert ops.output_shape(convolution) == tuple(x.shape)


@pytest.mark.parametrize("groups", [1, 2, 4])
def test_each_gradient_of_a_convolution_is_as_many_macs_as_it(groups: int) -> None:
    module, x = nn.Conv2d(4, 8, 3, groups=groups), leaf(2, 4, 9, 9)
    forward = macs(captured(lambda: module(x)))
    assert macs(backward(lambda: module(x))) == 2 * forward
    assert macs(backward(lambda: module(x.detach()))) == forward
    module.weight.requires_grad_(False)
    assert macs(backward(lambda: module(x))) == forward


def test_gradients_of_attention_are_five_products() -> None:
    q, k = leaf(2, 8, 5, 16), leaf(2, 2, 7, 16)
    calls = backward(lambda: F.scaled_dot_product_attention(q, q, q))
    [seen] = [call for call in calls if call.family == "attention"]
    assert ops.cost(seen).macs == 5 * 2 * 8 * 5 * 5 * 16
    assert ops.cost(seen).bytes_written == 4 * 3 * q.numel()
    calls = backward(lambda: F.scaled_dot_product_attention(q, k, k, enable_gqa=True))
    assert [call.kind for call in calls if call.family == "unknown"] == []


def test_gradients_of_a_recurrent_layer_are_twice_its_macs() -> None:
    module, x = nn.LSTM(5, 7, 2), leaf(4, 3, 5)
    calls = backward(lambda: module(x)[0])
    assert macs(calls) == 2 * 4 * 3 * 4 * 7 * (5 + 7 + 7 + 7)


@pytest.mark.parametrize(
    ("name", "mask", "expected"),
    [
        ("linear_backward", (True, True, True), 2 * 24),
        ("linear_backward", (True, False, False), 24),
        ("mkldnn_linear_backward", (False, True, False), 24),
        ("mkldnn_linear_backward_input", None, 24),
    ],
)
def test_gradients_of_linear_layers(
    name: str, mask: tuple[bool, ...] | None, expected: int
) -> None:
    shapes = {"self": (2, 3), "grad_output": (2, 4), "weight": (4, 3)}
    arguments: dict[str, Any] = {of: TensorArg(shape) for of, shape in shapes.items()}
    seen = translate(RawCall(f"aten::{name}", {**arguments, "output_mask": mask}))
    assert ops.cost(seen).macs == expected


TABLE = nn.Embedding(9, 4)
#: name -> (what is run, the kind of its gradient, elements that the gradient writes)
GRADIENTS: dict[str, tuple[Callable[[], Any], str, int]] = {
    "max pool": (lambda: F.max_pool2d(leaf(2, 3, 8, 8), 2), "max_pool2d_backward", 384),
    "avg pool": (lambda: F.avg_pool2d(leaf(2, 3, 8, 8), 2), "avg_pool2d_backward", 384),
    "adaptive pool": (
        lambda: F.adaptive_avg_pool2d(leaf(2, 3, 8, 8), 3),
        "adaptive_avg_pool2d_backward",
        384,
    ),
    "batch norm": (
        lambda: nn.BatchNorm2d(3)(leaf(2, 3, 8, 8)),
        "batch_norm_backward",
        384 + 6,
    ),
    "layer norm": (lambda: nn.LayerNorm(8)(leaf(2, 8)), "layer_norm_backward", 16 + 16),
    "layer norm without scale": (lambda: F.layer_norm(leaf(2, 8), (8,)), "layer_norm_backward", 16),
    "group norm": (lambda: nn.GroupNorm(2, 4)(leaf(2, 4, 5)), "group_norm_backward", 40 + 8),
    "softmax": (lambda: leaf(2, 5).softmax(1), "_softmax_backward_data", 10),
    "log softmax": (lambda: leaf(2, 5).log_softmax(1), "_log_softmax_backward_data", 10),
    "glu": (lambda: F.glu(leaf(2, 6)), "glu_backward", 12),
    "mse": (lambda: F.mse_loss(leaf(2, 5), torch.rand(2, 5)), "mse_loss_backward", 10),
    "nll": (
        lambda: F.nll_loss(leaf(2, 5), torch.tensor([0, 4])),
        "nll_loss_backward",
        10,
    ),
    "ctc": (
        lambda: F.ctc_loss(
            leaf(8, 2, 6).log_softmax(2),
            torch.ones(2, 3, dtype=torch.long),
            torch.tensor([8, 8]),
            torch.tensor([3, 3]),
        ),
        "ctc_loss_backward",
        96,
    ),
    "embedding": (lambda: TABLE(torch.tensor([1, 1, 2])), "embedding_backward", 36),
    "bags": (
        lambda: F.embedding_bag(torch.tensor([1, 1, 2]), TABLE.weight, torch.tensor([0, 2])),
        "embedding_bag_backward",
        36,
    ),
    "upsampled": (
        lambda: F.interpolate(leaf(1, 2, 4, 4), scale_factor=2),
        "upsample_nearest2d_backward",
        32,
    ),
    "sampled": (
        lambda: F.grid_sample(leaf(1, 2, 4, 4), torch.rand(1, 3, 3, 2), align_corners=False),
        "grid_sampler_backward",
        32 + 18,
    ),
    "padded": (
        lambda: F.pad(leaf(1, 4, 4), (1, 1), mode="reflect"),
        "reflection_pad1d_backward",
        16,
    ),
    "chosen": (lambda: leaf(4, 6).select(0, 1), "select_backward", 24),
    "sliced": (lambda: leaf(4, 6)[1:3], "slice_backward", 24),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_gradients_write_what_they_are_of(name: str) -> None:
    run, kind, elements = GRADIENTS[name]
    calls = backward(run)
    assert [call.kind for call in calls if call.family == "unknown"] == []
    [seen] = [call for call in calls if call.kind == kind]
    assert ops.cost(seen).bytes_written == 4 * elements
    assert ops.cost(seen).macs == 0


#: name -> (its options, elements read and written for each parameter by one fused step)
FUSED = {
    "Adam": ({}, 4, 3),
    "AdamW": ({"amsgrad": True}, 5, 4),
    "SGD": ({"momentum": 0.9}, 3, 2),
    "Adagrad": ({}, 3, 2),
}


@pytest.mark.parametrize("name", FUSED)
def test_a_fused_step_reads_and_writes_each_state_once(name: str) -> None:
    options, read, written = FUSED[name]
    module = nn.Linear(6, 5)
    parameters = sum(item.numel() for item in module.parameters())
    step = getattr(torch.optim, name)(module.parameters(), lr=0.1, fused=True, **options)
    module(torch.rand(2, 6)).sum().backward()
    step.step()  # the first one makes the states
    calls = [call for call in captured(step.step) if call.kind == f"_fused_{name.lower()}"]
    assert {call.phase for call in calls} == {"optimizer"}
    assert sum(ops.cost(call).bytes_read for call in calls) == 4 * read * parameters
    assert sum(ops.cost(call).bytes_written for call in calls) == 4 * written * parameters


OPTIMIZERS = "SGD Adam AdamW RMSprop Adagrad Adadelta NAdam RAdam Adamax ASGD Rprop Adafactor"


@pytest.mark.parametrize("foreach", [False, True])
@pytest.mark.parametrize("name", OPTIMIZERS.split())
def test_steps_of_optimizers_are_known(name: str, foreach: bool) -> None:
    module = nn.Sequential(nn.Linear(6, 5), nn.LayerNorm(5))
    step = getattr(torch.optim, name)(module.parameters(), lr=0.1, foreach=foreach)
    module(torch.rand(2, 6)).sum().backward()
    calls = captured(step.step)
    assert [call.kind for call in calls if call.family == "unknown"] == []
    moved = sum(ops.cost(call).bytes for call in calls if call.family == "elementwise")
    assert moved >= 3 * 4 * sum(item.numel() for item in module.parameters())


def test_a_step_over_many_tensors_is_one_call_on_all_their_elements() -> None:
    shapes = [(3, 4), (5,), ()]
    tensors = tuple(TensorArg(shape) for shape in shapes)
    elements = sum(prod(shape) for shape in shapes)
    seen = translate(RawCall("aten::_foreach_add_", {"self": tensors, "other": tensors}))
    assert ops.cost(seen).bytes_read == 4 * 2 * elements
    assert ops.cost(seen).bytes_written == 4 * elements
    seen = translate(RawCall("aten::_foreach_norm", {"self": tensors}))
    assert ops.cost(seen).bytes_written == 4 * 3
    seen = translate(RawCall("aten::_foreach_zero_", {"self": tensors}))
    assert (ops.cost(seen).bytes_read, ops.cost(seen).bytes_written) == (0, 4 * elements)
