"""A mix on OpenVINO: all stages in one compiled model, timed by its own counters.

Every compiled model has threads of its own, which sleep while another one runs. An application is
one model, and its threads are awake from operator to operator. With a model for each stage they
would be woken for each, which takes longer than many stages do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

from aimatrix.backends.backend import Pass
from aimatrix.backends.bound import Bound

#: layers that hold what others compute with: two stages may share one
_HELD = ("Const", "Input")
#: layers that stand for what a model puts out
_GIVEN = ("Output", "Result")
#: what is of no stage: the last place in the sums
_NOBODY = -1


class OneModel(Pass):
    """A request of a compiled model with the stages in it, none of which takes what another makes.

    Counters tell of each operator how long it took, the mean over all runs in whole microseconds.
    What a run took beyond them is between operators, and every operator gets as much of it. What
    changes the layout of a stage's inputs and outputs is no stage's: in an application they come
    from operators and go to operators in the layout that these have chosen.
    """

    def __init__(self, model: Bound, request: Any, scopes: Mapping[str, int], count: int) -> None:
        """model: runs the request. scopes: with what names of a stage's nodes begin, its number."""
        self._model, self._request = model, request
        self.missing = frozenset(range(count)) - set(scopes.values())
        self._owners = owners(request.get_compiled_model().get_runtime_model(), scopes)
        self._last = [
            number
            for number, output in enumerate(request.model_outputs)
            if output.get_any_name().startswith(list(scopes)[-1])
        ]
        self._count = count
        # the first run also makes what later ones find
        self._model.run()
        self._first, _ = self._counted()
        self._runs, self._wall = 1, 0.0

    def run(self) -> list[float]:
        """As `Pass.run`; how a run's time is shared out is what all runs so far tell."""
        before = perf_counter()
        self._model.run()
        wall = perf_counter() - before
        self._runs += 1
        self._wall += wall
        mean, operators = self._counted()
        counted = self._runs * mean - self._first
        between = max(self._wall - float(counted.sum()), 0.0)
        shares = counted + between * operators / operators.sum()
        return [float(each) for each in wall * shares[:_NOBODY] / shares.sum()]

    def outputs(self) -> list[np.ndarray]:
        """As `Pass.outputs`, of the last stage."""
        self._model.run()
        tensors = self._request.output_tensors
        return [tensors[number].data.astype(np.float32) for number in self._last]

    def _counted(self) -> tuple[np.ndarray, np.ndarray]:
        """Per stage, seconds of a run, the mean over all so far, and how many operators ran."""
        seconds, operators = np.zeros((2, self._count + 1))
        for counter in self._request.get_profiling_info():
            number = self._owners.get(counter.node_name)
            if number is not None and counter.status == counter.Status.EXECUTED:
                seconds[number] += counter.real_time.total_seconds()
                operators[number] += 1
        return seconds, operators


def owners(model: Any, scopes: Mapping[str, int]) -> dict[str, int]:
    """The stage of each operator of a compiled model; `_NOBODY` of what changes layouts at an end.

    Operators that were joined, or put in to lay out numbers, may have lost their names; but a stage
    is tied together by what its operators make, and some of them have kept theirs.
    """
    operators = model.get_ordered_ops()
    tied = _Tied(operator.friendly_name for operator in operators)
    kinds = {operator.friendly_name: _text(operator, "layerType") for operator in operators}
    ends = set()
    for operator in operators:
        name = operator.friendly_name
        for source in (value.get_node().friendly_name for value in operator.input_values()):
            if kinds[source] not in _HELD:
                tied.tie(source, name)
            ends |= {name} if kinds[source] in _HELD else set()
            ends |= {source} if kinds[name] in _GIVEN else set()
    known: dict[str, int] = {}
    for operator in operators:
        if kinds[operator.friendly_name] not in _HELD:
            names = [operator.friendly_name, *_text(operator, "originalLayersNames").split(",")]
            for name in names:
                scope, _, rest = name.partition("/")
                if rest and f"{scope}/" in scopes:
                    known[tied.root(operator.friendly_name)] = scopes[f"{scope}/"]
    return {
        name: _NOBODY if name in ends and kinds[name] == "Reorder" else known[tied.root(name)]
        for name in kinds
        if tied.root(name) in known
    }


class _Tied:
    """Names, and which of them are tied together."""

    def __init__(self, names: Iterable[str]) -> None:
        self._next = {name: name for name in names}

    def tie(self, one: str, other: str) -> None:
        self._next[self.root(one)] = self.root(other)

    def root(self, name: str) -> str:
        """The one name by which all that are tied to it are known."""
        while self._next[name] != name:
            self._next[name] = self._next[self._next[name]]
            name = self._next[name]
        return name


def _text(operator: Any, key: str) -> str:
    information = operator.get_rt_info()
    return str(information[key].value) if key in information else ""
