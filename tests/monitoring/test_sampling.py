"""Counting under a budget: exact while it fits, estimates that are marked as such afterwards."""

from __future__ import annotations

import pytest

from aimatrix.monitoring import launcher

pytest.importorskip("torch")

#: tiny operators, some inside of others, in several threads, for some seconds
TINY = """
    import os, threading, torch
    torch.set_num_threads(1)
    cell, x, state = torch.nn.LSTMCell(4, 4), torch.randn(2, 4), torch.randn(8)
    hidden = torch.randn(2, 4), torch.randn(2, 4)
    def work(rounds):
        with torch.no_grad():
            for _ in range(rounds):
                cell(x, hidden)
                for _ in range(4):
                    torch.relu(state)
"""
NAMES = {"aten::lstm_cell": 1, "aten::relu": 4}


def names(outcome) -> set[str]:
    return {count.raw.name for count in outcome.counts}


def test_every_call_counts_while_the_cost_is_within_the_allowance(watch) -> None:
    outcome = watch(TINY + "\n    work(3000)")
    assert outcome.stderr == ""
    assert outcome.calls("aten::relu") == 12_000
    assert not any(count.estimated_calls for count in outcome.counts)


def test_beyond_it_counts_are_estimates_and_say_so(watch, monkeypatch) -> None:
    monkeypatch.setattr(launcher, "ALLOWANCE", 0.0)
    outcome = watch(TINY + "\n    work(60_000)")
    assert outcome.stderr == ""
    for name, calls in NAMES.items():
        found = [count for count in outcome.counts if count.raw.name == name]
        assert sum(count.estimated_calls for count in found) > 0
        # a loaded machine may shift an estimate, but not by this
        assert 0.4 < sum(count.calls for count in found) / (60_000 * calls) < 2.5
    # what an operator calls itself is no call of the application's, also not at a window's edge
    inside = sum(outcome.calls(name) for name in names(outcome) - set(NAMES))
    assert inside < 0.02 * sum(count.calls for count in outcome.counts)


def test_an_application_that_goes_over_to_other_work_is_followed(watch, monkeypatch) -> None:
    monkeypatch.setattr(launcher, "ALLOWANCE", 0.0)
    outcome = watch(
        TINY
        + """
    work(40_000)
    matrix = torch.randn(128, 128)
    for _ in range(40_000): torch.mm(matrix, matrix)
    work(40_000)
    """
    )
    for name, calls in {"aten::mm": 40_000, "aten::relu": 320_000}.items():
        assert 0.6 < outcome.calls(name) / calls < 1.6
    # products cost less than the budget: soon all of them count
    estimated = sum(c.estimated_calls for c in outcome.counts if c.raw.name == "aten::mm")
    assert estimated < 0.6 * outcome.calls("aten::mm")


def test_without_a_budget_every_call_counts_whatever_it_costs(watch, monkeypatch) -> None:
    monkeypatch.setattr(launcher, "ALLOWANCE", 0.0)
    outcome = watch(TINY + "\n    work(20_000)", budget=0.0)
    assert {name: outcome.calls(name) for name in NAMES} == {
        "aten::lstm_cell": 20_000,
        "aten::relu": 80_000,
    }
    assert not any(count.estimated_calls for count in outcome.counts)


def test_threads_and_forks_go_on_while_calls_are_sampled(watch, monkeypatch) -> None:
    monkeypatch.setattr(launcher, "ALLOWANCE", 0.0)
    outcome = watch(
        TINY
        + """
    threads = [threading.Thread(target=work, args=(15_000,)) for _ in range(4)]
    for thread in threads: thread.start()
    for _ in range(3):
        child = os.fork()
        if child == 0:
            work(10_000)
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
    for thread in threads: thread.join()
    print("done")
    """
    )
    assert (outcome.returncode, outcome.stdout, outcome.stderr) == (0, "done\n", "")
    assert set(NAMES) <= names(outcome)
    assert any(count.estimated_calls for count in outcome.counts)
    whole = 90_000 * NAMES["aten::relu"]
    assert 0.25 < outcome.calls("aten::relu") / whole < 4
