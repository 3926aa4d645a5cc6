"""Who consumes whose output in a recorded program: the blocks that compilers fuse."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from aimatrix.model.recording import Recording
from aimatrix.validation import convolutions

torch = pytest.importorskip("torch")
nn, F = torch.nn, torch.nn.functional

X = torch.rand(1, 4, 6, 6)


def kinds(recording: Recording) -> dict[tuple[str, str], int]:
    pairs: Counter[tuple[str, str]] = Counter()
    for (producer, consumer), count in recording.pairs.items():
        pairs[producer.kind, consumer.kind] += count
    return dict(pairs)


def pairs_of(function: Callable[..., Any], *inputs: Any) -> dict[tuple[str, str], int]:
    return kinds(convolutions.record(function, inputs))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.second = nn.Conv2d(4, 4, 1)

    def forward(self, x: Any) -> Any:
        y = F.relu(self.norm(self.first(x)), inplace=True)
        return F.relu(self.second(y) + y)


def test_a_residual_block() -> None:
    assert pairs_of(Residual(), X) == {
        ("conv2d", "batch_norm"): 1,
        ("batch_norm", "relu"): 1,
        ("relu", "conv2d"): 1,
        ("conv2d", "add"): 1,
        ("relu", "add"): 1,  # in place, the activation is who wrote last
        ("add", "relu"): 1,
    }


def test_views_do_not_come_between() -> None:
    class Views(nn.Module):
        def forward(self, x: Any) -> Any:
            y = torch.sigmoid(x)[:, 1:].transpose(2, 3).unsqueeze(0)
            return torch.tanh(y), y.detach().reshape(-1).exp()  # the latter has to copy

    assert pairs_of(Views(), X) == {("sigmoid", "tanh"): 1, ("sigmoid", "exp"): 1}


def test_a_copy_comes_between() -> None:
    class Copies(nn.Module):
        def forward(self, x: Any) -> Any:
            y = torch.sigmoid(x)
            return y.transpose(2, 3).contiguous().exp(), y.contiguous().tanh()  # no copy

    assert pairs_of(Copies(), X) == {
        ("sigmoid", "copy"): 1,
        ("copy", "exp"): 1,
        ("sigmoid", "tanh"): 1,
    }


def test_one_call_counts_once_for_each_producer() -> None:
    def run(x: Any) -> Any:
        a, b = torch.sigmoid(x), torch.sigmoid(x)
        return torch.cat([a, b, torch.tanh(x), a])

    assert pairs_of(run, X) == {("sigmoid", "cat"): 1, ("tanh", "cat"): 1}


def test_what_is_given_has_no_producer() -> None:
    weight = torch.rand(4, 4, 1, 1)
    assert pairs_of(lambda x: F.conv2d(x, weight), X) == {}


def test_an_output_that_is_given_is_written_and_not_read() -> None:
    def run(x: Any) -> Any:
        out = torch.sigmoid(x)
        torch.tanh(x, out=out)
        return out.exp()

    assert pairs_of(run, X) == {("tanh", "exp"): 1}


def test_lists_in_place() -> None:
    def run(x: Any) -> Any:
        parts = [torch.sigmoid(x), torch.sigmoid(x[:, :2])]
        torch._foreach_add_(parts, 1.0)
        return parts[1].exp()

    # two signatures of sigmoid
    assert pairs_of(run, X) == {("sigmoid", "_foreach_add"): 2, ("_foreach_add", "exp"): 1}


def test_parameters_have_no_producer_when_training() -> None:
    model = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def step(*inputs: Any) -> None:
        for _ in range(2):
            optimizer.zero_grad()
            torch.sigmoid(model(*inputs)).sum().backward()
            optimizer.step()

    recording = convolutions.record(step, (torch.rand(2, 4),))
    pairs: Sequence[Any] = list(recording.pairs)
    assert not [pair for pair in pairs if pair[0].phase == "optimizer"]
    assert {pair[0].phase for pair in pairs if pair[1].phase == "optimizer"} == {"backward"}
    assert kinds(recording)["mm", "sigmoid"] == 2
