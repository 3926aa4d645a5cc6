"""What is timed with and without a monitor: one pass of each, some milliseconds or more."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from .bert import bert_base
from .gpt2 import Gpt2
from .mixture import Mixture
from .resnet50 import resnet50

Work = Callable[[], object]


def resnet50_inference() -> Work:
    model, inputs = resnet50()
    return _inference(model, *inputs)


def resnet50_training() -> Work:
    model, (images,) = resnet50()
    return _training(model, images)


def bert_inference() -> Work:
    model, inputs = bert_base()
    return _inference(model, *inputs)


def gpt2_generation() -> Work:
    """Five tokens after eight, with the cache of keys and values."""
    model = Gpt2().eval()
    return _without_gradients(lambda: model.generate(torch.arange(8)[None], 5))


def mixture() -> Work:
    return _inference(Mixture(), torch.arange(64))


def lstm() -> Work:
    return _inference(nn.LSTM(64, 128, 2), torch.randn(50, 1, 64))


def lstm_cells() -> Work:
    """A hundred steps in a loop."""
    cell, steps = nn.LSTMCell(64, 64), torch.randn(100, 1, 64)

    def loop() -> None:
        state = None
        for step in steps:
            state = cell(step, state)

    return _without_gradients(loop)


def tiny_operators() -> Work:
    """600 of them, on 8 elements."""
    x, y = torch.randn(8), torch.randn(8)

    def loop() -> None:
        for _ in range(200):
            torch.relu(x)
            torch.add(x, y)
            torch.mul(x, y)

    return loop


def tiny_perceptron() -> Work:
    """Ten inferences."""
    inference = _inference(_perceptron(), torch.randn(8, 64))

    def loop() -> None:
        for _ in range(10):
            inference()

    return loop


def tiny_perceptron_training() -> Work:
    return _training(_perceptron(), torch.randn(8, 64))


def _perceptron() -> nn.Module:
    return nn.Sequential(
        nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 64)
    )


def _inference(model: nn.Module, *inputs: torch.Tensor) -> Work:
    model.eval()
    return _without_gradients(lambda: model(*inputs))


def _without_gradients(work: Work) -> Work:
    return torch.no_grad()(work)


def _training(model: nn.Module, x: torch.Tensor) -> Work:
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-6, momentum=0.9)

    def step() -> None:
        optimizer.zero_grad()
        model(x).square().mean().backward()
        optimizer.step()

    return step


#: name -> its maker
WORKLOADS: dict[str, Callable[[], Work]] = {
    "600 tiny operators": tiny_operators,
    "LSTMCell loop": lstm_cells,
    "tiny MLP": tiny_perceptron,
    "tiny MLP training step": tiny_perceptron_training,
    "LSTM": lstm,
    "small MoE": mixture,
    "GPT-2 generate": gpt2_generation,
    "BERT-base": bert_inference,
    "ResNet-50 inference": resnet50_inference,
    "ResNet-50 training step": resnet50_training,
}
