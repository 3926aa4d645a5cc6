"""Real modules, captured and translated: the MACs and sizes are those that torch computes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.model.calls import OpCall
from aimatrix.monitoring import record_calls

torch = pytest.importorskip("torch")
nn = torch.nn

# torch says that an uneven padding="same" may copy its input
pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")

MODES: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "with_grad": nullcontext,
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
}
ACTIVATIONS = [
    "ReLU",
    "ReLU6",
    "ELU",
    "SELU",
    "CELU",
    "GELU",
    "SiLU",
    "Mish",
    "Sigmoid",
    "Tanh",
    "Hardtanh",
    "Hardswish",
    "Hardsigmoid",
    "LeakyReLU",
    "LogSigmoid",
    "PReLU",
    "Softplus",
    "Softsign",
    "Hardshrink",
]


class Join(nn.Module):  # type: ignore[name-defined,misc]
    def forward(self, x: Any) -> Any:
        return torch.cat([x, torch.stack([x, x])[0]], 1)


#: name -> (makes the module, the shape of its input)
LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "conv1d same": (lambda: nn.Conv1d(4, 6, 4, padding="same"), (2, 4, 9)),
    "conv2d": (lambda: nn.Conv2d(4, 6, (3, 2), stride=2, groups=2), (2, 4, 15, 16)),
    "conv2d same": (lambda: nn.Conv2d(4, 6, 4, padding="same", dilation=3), (2, 4, 15, 16)),
    "conv2d valid": (lambda: nn.Conv2d(4, 6, 3, padding="valid"), (2, 4, 15, 16)),
    "conv2d circular": (
        lambda: nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
        (2, 4, 9, 9),
    ),
    "conv2d without batch": (lambda: nn.Conv2d(4, 6, 3), (4, 9, 9)),
    "conv3d": (lambda: nn.Conv3d(2, 4, 3, stride=2), (1, 2, 7, 7, 7)),
    "transposed 1d": (lambda: nn.ConvTranspose1d(4, 6, 3, 2, output_padding=1), (2, 4, 7)),
    "transposed 2d": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2), (2, 4, 7, 7)),
    "transposed 3d": (lambda: nn.ConvTranspose3d(4, 6, 3), (1, 4, 5, 5, 5)),
    "linear": (lambda: nn.Linear(8, 5), (3, 7, 8)),
    "linear on a vector": (lambda: nn.Linear(8, 5), (8,)),
    "linear without bias": (lambda: nn.Linear(8, 5, bias=False), (2, 3, 8)),
    "batch norm, training": (lambda: nn.BatchNorm2d(4), (2, 4, 5, 5)),
    "batch norm": (lambda: nn.BatchNorm3d(4).eval(), (2, 4, 3, 3, 3)),
    "group norm": (lambda: nn.GroupNorm(2, 4), (2, 4, 5, 5)),
    "layer norm": (lambda: nn.LayerNorm(5), (2, 4, 5)),
    "instance norm": (lambda: nn.InstanceNorm2d(4), (2, 4, 5, 5)),
    "instance norm, affine": (
        lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True).eval(),
        (2, 4, 5, 5),
    ),
    "max pool 1d": (lambda: nn.MaxPool1d(2), (2, 4, 9)),
    "max pool": (lambda: nn.MaxPool2d(3, 2, ceil_mode=True), (2, 4, 8, 8)),
    "max pool 3d": (lambda: nn.MaxPool3d(2), (1, 4, 8, 8, 8)),
    "avg pool": (lambda: nn.AvgPool2d(2, padding=1), (2, 4, 8, 8)),
    "adaptive avg pool": (lambda: nn.AdaptiveAvgPool2d((3, None)), (2, 4, 8, 8)),
    "adaptive avg pool 3d": (lambda: nn.AdaptiveAvgPool3d(2), (1, 4, 8, 8, 8)),
    "adaptive max pool": (lambda: nn.AdaptiveMaxPool2d(3), (2, 4, 8, 8)),
    "global avg pool": (lambda: nn.AdaptiveAvgPool2d(1), (2, 4, 8, 8)),
    "softmax": (lambda: nn.Softmax(1), (2, 5)),
    "log softmax": (lambda: nn.LogSoftmax(1), (2, 5)),
    "local response norm": (lambda: nn.LocalResponseNorm(3), (2, 5, 6, 6)),
    "dropout": (lambda: nn.Dropout().eval(), (2, 5)),
    "dropout 2d": (lambda: nn.Dropout2d().eval(), (2, 5, 3, 3)),
    "zero pad": (lambda: nn.ZeroPad2d((1, 2, 3, 0)), (2, 5, 3, 3)),
    "reflection pad": (lambda: nn.ReflectionPad2d(2), (2, 5, 3, 3)),
    "cat and stack": (Join, (2, 5, 3, 3)),
    "pixel shuffle": (lambda: nn.PixelShuffle(2), (2, 8, 3, 3)),
    "flatten": (nn.Flatten, (2, 5, 3)),
    **{name: (getattr(nn, name), (2, 4, 5)) for name in ACTIVATIONS},
}


def captured(run: Callable[[], Any]) -> list[OpCall]:
    return [translate(raw) for raw in record_calls(run, ATTRIBUTES)]


def counted_by_torch(run: Callable[[], Any]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter:
        run()
    flops = counter.get_total_flops()
    assert flops % 2 == 0
    return int(flops) // 2


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("layer", LAYERS)
def test_layers_are_known_and_their_macs_are_torchs(layer: str, mode: str) -> None:
    make, shape = LAYERS[layer]
    module, x = make(), torch.rand(shape)

    def run() -> Any:
        with MODES[mode]():
            return module(x)

    calls = captured(run)
    assert [item.kind for item in calls if item.family == "unknown"] == []
    assert sum(ops.cost(item).macs or 0 for item in calls) == counted_by_torch(run)
    sized = [item for item in calls if item.family in ("convolution", "pooling")]
    if sized and layer != "local response norm":
        output = tuple(run().shape)
        batched = output if len(shape) == len(output) and "without batch" not in layer else None
        expected = batched or (1, *output)
        # a 1-D pool is a 2-D one of one row, to torch
        wanted = [size for size in expected if size > 1]
        assert [size for size in ops.output_shape(sized[-1]) or () if size > 1] == wanted


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[Any, tuple[int, ...]]:
    """A convolution module and the shape of an input that it takes."""
    rank = draw(st.integers(1, 3))
    transposed = draw(st.booleans())
    groups = draw(st.integers(1, 3))
    kernel = draw(st.tuples(*[st.integers(1, 4)] * rank))
    stride = draw(st.tuples(*[st.integers(1, 3)] * rank))
    dilation = draw(st.tuples(*[st.integers(1, 2)] * rank))
    padding: Any = draw(st.tuples(*[st.integers(0, 2)] * rank))
    more: dict[str, Any] = {}
    if transposed:
        padding = 0
    elif stride == (1,) * rank:
        padding = draw(st.sampled_from(["same", "valid", padding]))
    channels = [groups * draw(st.integers(1, 3)) for _ in range(2)]
    kind = getattr(nn, f"Conv{'Transpose' if transposed else ''}{rank}d")
    more |= {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    module = kind(*channels, kernel, bias=draw(st.booleans()), **more)
    sides = draw(st.tuples(*[st.integers(7, 11)] * rank))
    return module, (draw(st.integers(1, 2)), channels[0], *sides)


@settings(max_examples=60, deadline=None)
@given(convolutions(), st.sampled_from(sorted(MODES)))
def test_drawn_convolutions(drawn: tuple[Any, tuple[int, ...]], mode: str) -> None:
    module, shape = drawn
    x = torch.rand(shape)

    def run() -> Any:
        with MODES[mode]():
            return module(x)

    [seen] = [item for item in captured(run) if item.family == "convolution"]
    assert ops.output_shape(seen) == tuple(run().shape)
    assert ops.cost(seen).macs == counted_by_torch(run)


def test_phases_and_backward_operators_are_told_apart() -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    x = torch.rand(1, 3, 8, 8)
    calls = captured(lambda: module(x).sum().backward())
    forward = [item.kind for item in calls if item.phase == "forward" and item.family != "movement"]
    assert forward == ["conv2d", "relu", "sum"]
    backward = [item.kind for item in calls if item.phase == "backward"]
    assert "conv2d_backward" in backward
