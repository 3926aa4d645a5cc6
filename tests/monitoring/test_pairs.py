"""Who consumes whose output in a monitored program: the same in both captures, and scaled."""

from __future__ import annotations

import itertools
import signal
from collections import Counter
from collections.abc import Callable, Collection, Hashable
from functools import partial
from pathlib import Path

import pytest

from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.monitoring import Run, to_pair_records
from aimatrix.monitoring.agent.activation import CAPTURES
from aimatrix.monitoring.agent.spool import COUNTS, HEADER, PAIR, SLOT, SpoolTally
from aimatrix.monitoring.spool_reader import SpoolReader

torch = pytest.importorskip("torch")

Kinds = dict[tuple[str, str], int]


@pytest.fixture(params=sorted(CAPTURES))
def seen(request: pytest.FixtureRequest, watch: Callable[..., object]) -> Callable[..., object]:
    """Run a program under one of the captures."""
    return partial(watch, capture=request.param, attributes=ATTRIBUTES)


def kinds(outcome) -> Kinds:
    """The pairs by kind. What fills tensors is left out: what of it is seen is torch's affair."""
    pairs: Counter[tuple[str, str]] = Counter()
    for record in to_pair_records(outcome.counts, translate, Run("program", "h", 3600.0)):
        if record.producer.kind != "fill":
            pairs[record.producer.kind, record.consumer.kind] += record.calls
    return dict(pairs)


CNN = """
    import torch
    from torch import nn
    F = nn.functional
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
            self.second = nn.Conv2d(8, 8, 1)
        def forward(self, x):
            y = F.relu(self.norm(self.first(x)), inplace=True)
            return F.max_pool2d(F.relu(self.second(y) + y), 2).flatten(1).exp()
    model = Residual().eval()
    with torch.inference_mode():
        for _ in range(7):
            model(torch.rand(2, 3, 6, 6))
"""
IN_CNN = {
    ("conv2d", "batch_norm"): 7,
    ("batch_norm", "relu"): 7,
    ("relu", "conv2d"): 7,
    ("conv2d", "add"): 7,
    ("relu", "add"): 7,
    ("add", "relu"): 7,
    ("relu", "max_pool2d"): 7,
    ("max_pool2d", "exp"): 7,
}
TRANSFORMER = """
    import torch
    from torch import nn
    F = nn.functional
    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.qkv, self.out = nn.LayerNorm(32), nn.Linear(32, 96), nn.Linear(32, 32)
            self.up, self.down = nn.Linear(32, 64), nn.Linear(64, 32)
        def forward(self, x):
            q, k, v = self.qkv(self.norm(x)).view(2, 5, 3, 4, 8).permute(2, 0, 3, 1, 4)
            y = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).reshape(2, 5, 32)
            x = torch.tanh(self.out(y))
            return x + self.down(F.gelu(self.up(x)))
    model = Block().eval()
    with torch.inference_mode():
        for _ in range(7):
            model(torch.rand(2, 5, 32))
"""
IN_TRANSFORMER = {
    ("layer_norm", "linear"): 7,
    ("linear", "sdpa"): 7,
    ("sdpa", "linear"): 7,
    ("linear", "tanh"): 7,
    ("tanh", "linear"): 7,
    ("linear", "gelu"): 7,
    ("gelu", "linear"): 7,
    ("tanh", "add"): 7,
    ("linear", "add"): 7,
}


@pytest.mark.parametrize(("program", "expected"), [(CNN, IN_CNN), (TRANSFORMER, IN_TRANSFORMER)])
def test_the_first_calls_are_all_looked_at(seen, program: str, expected: Kinds) -> None:
    outcome = seen(program)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert kinds(outcome) == expected


def test_killed_it_has_what_was_seen(seen) -> None:
    outcome = seen(CNN + "    import os, signal\n    os.kill(os.getpid(), signal.SIGKILL)\n")
    assert outcome.returncode == -signal.SIGKILL
    assert kinds(outcome) == IN_CNN


def test_threads_and_forked_children_have_pairs_of_their_own(seen) -> None:
    outcome = seen("""
        import os, threading, torch
        x = torch.ones(3)
        def work(times):
            for _ in range(times):
                torch.tanh(torch.sigmoid(x))
        work(3)
        thread = threading.Thread(target=work, args=(4,))
        thread.start()
        thread.join()
        child = os.fork()
        if child == 0:
            work(5)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    assert kinds(outcome) == {("sigmoid", "tanh"): 12}


def test_parameters_have_no_producer(seen) -> None:
    outcome = seen("""
        import torch
        layer = torch.nn.Conv2d(3, 4, 1)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1)
        for _ in range(3):
            layer(torch.rand(1, 3, 4, 4)).tanh().sum().backward()
            optimizer.step()
            optimizer.zero_grad()
    """)
    assert (outcome.returncode, outcome.stderr) == (0, "")
    pairs = to_pair_records(outcome.counts, translate, Run("program", "h", 3600.0))
    phases = {(pair.producer.phase, pair.consumer.phase) for pair in pairs}
    assert ("backward", "optimizer") in phases
    assert "optimizer" not in {producer for producer, _ in phases}
    assert kinds(outcome)["conv2d", "tanh"] == 3


def test_later_calls_are_looked_at_in_bursts_and_scaled(watch) -> None:
    outcome = watch(
        """
        import torch
        x = torch.ones(3)
        for step in range(100_000):
            y = torch.sigmoid(x)
            torch.tanh(y)
            if step % 10 == 0:
                torch.exp(y)
        """,
        attributes=ATTRIBUTES,
    )
    assert (outcome.returncode, outcome.stderr) == (0, "")
    pairs = kinds(outcome)
    assert set(pairs) == {("sigmoid", "tanh"), ("sigmoid", "exp")}
    # the first call of a burst has no producer that is known
    assert 99_000 < pairs["sigmoid", "tanh"] <= 100_000
    assert 9_500 < pairs["sigmoid", "exp"] <= 10_000


def test_what_compiled_code_writes_has_no_producer(watch) -> None:
    outcome = watch(
        """
        import torch
        @torch.compile(backend="eager")
        def compiled(x):
            return torch.sigmoid(x)
        x = torch.ones(3)
        for _ in range(5):
            torch.tanh(compiled(torch.exp(x)))
        """,
        attributes=ATTRIBUTES,
    )
    assert outcome.returncode == 0
    assert outcome.calls("aten::sigmoid") == 5
    assert not {pair for pair in kinds(outcome) if {"sigmoid", "tanh"} & {*pair}}


# ---- in the spool


def opened(tally: SpoolTally, name: str) -> int:
    document = {"name": name, "overload": "", "phase": "forward", "arguments": {}}
    return tally.open(lambda: document)


def producers(reader: SpoolReader) -> dict[tuple[str, str], float]:
    return {
        (producer.name, delta.raw.name): calls
        for delta in reader.read()
        for producer, calls in delta.producers
    }


def test_what_was_seen_is_scaled_to_the_calls_of_its_window(tmp_path: Path) -> None:
    tally, reader = SpoolTally(str(tmp_path), 8), SpoolReader(tmp_path)
    a, b, c = (opened(tally, name) for name in "abc")
    for _ in range(100):
        tally.add(c)
    for taken in ((a,), (a, b), (), ()):
        tally.look(c, taken)
    assert producers(reader) == {("a", "c"): 50.0, ("b", "c"): 25.0}
    reader.delivered()
    for _ in range(8):  # none of them was looked at: they are as those before
        tally.add(c)
    assert producers(SpoolReader(tmp_path)) == {("a", "c"): 4.0, ("b", "c"): 2.0}
    tally.look(c, (b,))  # and now one was
    assert producers(SpoolReader(tmp_path)) == {("b", "c"): 8.0}


def test_a_pair_that_was_never_seen_is_none(tmp_path: Path) -> None:
    tally, reader = SpoolTally(str(tmp_path), 8), SpoolReader(tmp_path)
    a, b = opened(tally, "a"), opened(tally, "b")
    tally.add(b)
    tally.look(b, ())
    [path] = tmp_path.glob(f"*{COUNTS}")
    with path.open("r+b") as file:  # killed between the two halves of its writing
        file.seek(HEADER.size + 8 * SLOT.size)
        file.write(PAIR.pack(a, b, 0))
    assert producers(reader) == {}


# ---- when the fallback looks


class Looks:
    """A tally that notes which calls were looked at."""

    def __init__(self) -> None:
        self.calls = 0
        self.looked: list[int] = []
        self._slots: dict[Hashable, int] = {}

    def slots(self) -> dict[Hashable, int]:
        return self._slots

    def open(self, describe: Callable[[], object]) -> int:
        return len(self._slots) + 1

    def add(self, slot: int) -> None:
        self.calls += 1

    def look(self, slot: int, producers: Collection[int]) -> None:
        self.looked.append(self.calls)


def test_the_fallback_looks_ever_less_often(monkeypatch: pytest.MonkeyPatch) -> None:
    from aimatrix.monitoring.agent import pairs
    from aimatrix.monitoring.agent.dispatch import DispatchCapture

    for name, value in {"BURST": 2, "GAP": 10, "ENOUGH": 5}.items():
        monkeypatch.setattr(pairs, name, value)
    tally = Looks()
    capture = DispatchCapture({}, tally, pairs=pairs.Pairs(tally, first=3))
    capture.start()
    try:
        x = torch.ones(2)
        for _ in range(100):
            torch.relu(x)
    finally:
        capture.stop()
    bursts = [number for number in tally.looked if number - 1 not in tally.looked]
    assert len(bursts) > 3
    gaps = [later - earlier for earlier, later in itertools.pairwise(bursts)]
    assert tally.looked[:3] == [1, 2, 3]
    assert gaps[0] > 10
    assert gaps[-1] > gaps[1] > gaps[0] or gaps[-1] > 2 * gaps[0]
