"""Running a benchmark: the result's samples, its prediction, and when it stops."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aimatrix import backends
from aimatrix.backends import Pass
from aimatrix.backends.null import Null
from aimatrix.cli.tables import print_run
from aimatrix.errors import InputError, UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.result import Platform, RunResult
from aimatrix.runner import run_benchmark
from aimatrix.store import documents
from benchmark_builders import make_benchmark, make_layer, make_stage
from mix_builders import small_mix

NULL = Platform(backend="null")


class Scripted(Null):
    """Passes that take the given seconds per stage, one after another."""

    def __init__(self, script: Iterator[list[float]]) -> None:
        self.script = script

    def prepare(self, benchmark: Benchmark, platform: Platform) -> Pass:
        script = self.script

        class Prepared(Pass):
            def run(self) -> list[float]:
                return next(script)

            def outputs(self) -> list[np.ndarray]:
                return []

        return Prepared()


def test_predicts_the_mix_from_the_stages(small_benchmark: Benchmark) -> None:
    result = run_benchmark(small_benchmark, backends.get("null"), NULL)
    # the null backend takes a picosecond a MAC
    macs = sum(stage.multiplicity * stage.macs for stage in small_benchmark.stages)
    assert result.predicted_seconds == pytest.approx(macs * 1e-12)
    assert [stage.name for stage in result.stages] == [s.name for s in small_benchmark.stages]
    assert result.total.median == pytest.approx(
        sum(stage.macs for stage in small_benchmark.stages) * 1e-12
    )
    assert result.steady
    assert result.environment["cpu"]


def test_stops_once_the_time_is_steady_and_keeps_every_sample(small_benchmark: Benchmark) -> None:
    warm_up = [[9.0] * 4] * 2
    # restless for five passes, then still: the spread falls below 5 % when enough are still
    script = iter([*warm_up, *([1.0 + n, 1.0, 1.0, 1.0] for n in range(5)), *[[1.0] * 4] * 200])
    result = run_benchmark(small_benchmark, Scripted(script), NULL)
    samples = result.total.samples
    assert samples[:5] == (4.0, 5.0, 6.0, 7.0, 8.0)
    assert len(samples) > 10
    assert len(samples) < 100
    assert result.total.spread < 0.05
    assert result.steady
    assert all(len(stage.timing.samples) == len(samples) for stage in result.stages)
    assert result.predicted_seconds == 2.0 + 1.0 + 0.5 + 1.0


def test_names_the_stages_that_are_not_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def prepare_mix(self: Null, *arguments: Any) -> Pass:
        prepared = prepare(self, *arguments)
        prepared.missing = frozenset({0})
        return prepared

    prepare = Null.prepare_mix
    monkeypatch.setattr(Null, "prepare_mix", prepare_mix)
    result = run_benchmark(small_mix(), Null(), NULL)
    assert result.not_run == ("linear",)
    assert [stage.name for stage in result.stages] == ["gelu"]
    print_run(result)
    assert "does not run: linear" in capsys.readouterr().out


def test_says_when_time_is_up_before_it_is_steady(small_benchmark: Benchmark) -> None:
    script = iter([[float(n % 7 + 1)] * 4 for n in range(2000)])
    shares: list[float] = []
    result = run_benchmark(
        small_benchmark, Scripted(script), NULL, time_limit=0.0, progress=shares.append
    )
    assert len(result.total.samples) == 1
    assert not result.steady
    assert shares == [1.0]


def test_survives_a_file(small_benchmark: Benchmark, tmp_path: Path) -> None:
    result = run_benchmark(small_benchmark, backends.get("null"), NULL)
    documents.save(result, tmp_path / "result.json")
    assert documents.load(RunResult, tmp_path / "result.json") == result
    assert result.benchmark_digest == documents.digest(small_benchmark)


def test_a_prediction_of_no_time_is_no_result(small_benchmark: Benchmark, tmp_path: Path) -> None:
    """Nothing can be compared with it."""
    result = run_benchmark(small_benchmark, backends.get("null"), NULL)
    path = tmp_path / "result.json"
    documents.save(result, path)
    document = json.loads(path.read_text())
    document["predicted_seconds"] = 0
    path.write_text(json.dumps(document))
    with pytest.raises(InputError, match=r"result.json: field predicted_seconds: .*greater than 0"):
        documents.load(RunResult, path)


def test_the_smallest_benchmark_takes_time_on_the_null_backend() -> None:
    layer = make_layer("main", 1, 1, (1, 1), (1, 1))
    benchmark = make_benchmark(make_stage("a", (1, 1), 1, layer, multiplicity=1e-38))
    result = run_benchmark(benchmark, backends.get("null"), NULL)
    assert result.predicted_seconds > 0


def test_passes_on_that_a_platform_cannot_run(small_benchmark: Benchmark) -> None:
    with pytest.raises(UnsupportedError):
        run_benchmark(
            small_benchmark, backends.get("null"), Platform(backend="null", dtype="bfloat16")
        )


def test_runs_on_torch(small_benchmark: Benchmark) -> None:
    pytest.importorskip("torch")
    platform = Platform(backend="torch", threads=1)
    result = run_benchmark(small_benchmark, backends.get("torch"), platform, time_limit=0.5)
    assert result.predicted_seconds > 0
    assert result.environment["threads"] == "1"
