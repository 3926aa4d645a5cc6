"""The verbs as Python functions: plain values in, artefacts out, a user's files untouched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import aimatrix
from aimatrix.analysis.profile import build_profile
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.workload import WorkloadRecord
from aimatrix.ops.convolution import conv2d
from aimatrix.store import documents
from aimatrix.store.workload import WorkloadStore
from benchmark_builders import make_benchmark, make_layer, make_stage


@pytest.fixture
def store(tmp_path: Path) -> str:
    """A store of one application with two convolutions, as the text of its path."""
    from datetime import UTC, datetime

    calls = [
        conv2d(
            batch=1,
            in_channels=channels,
            out_channels=32,
            input_size=(28, 28),
            kernel_size=(3, 3),
            stride=(1, 1),
            padding=(1, 1),
            groups=1,
        )
        for channels in (16, 32)
    ]
    start = datetime(2026, 3, 1, tzinfo=UTC)
    records = [
        WorkloadRecord(call, "aten::convolution", "app", "host", start, 60.0, 1) for call in calls
    ]
    WorkloadStore(tmp_path / "store").append(records)
    assert build_profile(records).groups
    return str(tmp_path / "store")


def test_the_verbs_take_paths_as_text(store: str, tmp_path: Path) -> None:
    profile, folder, result = (str(tmp_path / name) for name in ("p.json", "bench", "r.json"))
    aimatrix.analyze(store, output=profile)
    aimatrix.synthesize(profile, folder)
    aimatrix.run(folder, backend="null", output=result)
    assert aimatrix.compare([result, result])[1].ratio == 1
    page = aimatrix.report([profile, folder, result], str(tmp_path / "report.html"))
    assert page.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_file_named_twice_is_reported_once(store: str, tmp_path: Path) -> None:
    aimatrix.analyze(store, output=tmp_path / "p.json")
    aimatrix.synthesize(tmp_path / "p.json", tmp_path / "bench")
    paths = [tmp_path / "bench", tmp_path / "bench" / "benchmark.json"]
    assert aimatrix.report(paths, tmp_path / "report.html").is_file()


def test_synthesize_leaves_a_foreign_folder_as_it_is(store: str, tmp_path: Path) -> None:
    aimatrix.analyze(store, output=tmp_path / "p.json")
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "README.md").write_text("my own")
    with pytest.raises(InputError, match="mine: holds files that are no benchmark"):
        aimatrix.synthesize(tmp_path / "p.json", mine)
    assert [file.name for file in mine.iterdir()] == ["README.md"]
    assert (mine / "README.md").read_text() == "my own"


def test_synthesize_replaces_an_earlier_benchmark(store: str, tmp_path: Path) -> None:
    aimatrix.analyze(store, output=tmp_path / "p.json")
    aimatrix.synthesize(tmp_path / "p.json", tmp_path / "bench")
    again = aimatrix.synthesize(tmp_path / "p.json", tmp_path / "bench", seed=5)
    stated = json.loads((tmp_path / "bench" / "benchmark.json").read_text())
    assert stated["synthesis"]["seed"] == again.benchmark.synthesis.seed == 5


def test_a_place_that_cannot_be_written_is_found_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder; name a file in it"):
        aimatrix.run(tmp_path / "no benchmark", output=tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        aimatrix.validate(tmp_path, tmp_path / "s.toml", output=tmp_path / "file" / "v.json")
    assert [item.name for item in tmp_path.iterdir()] == ["file"]


def test_a_specification_that_states_other_work_than_it_does_is_refused(tmp_path: Path) -> None:
    layer = make_layer("main", 3, 8, (3, 3), (16, 16))
    benchmark = make_benchmark(make_stage("one", (16, 16), 3, layer))
    documents.save(benchmark, tmp_path / "benchmark.json")
    text = (tmp_path / "benchmark.json").read_text()
    (tmp_path / "benchmark.json").write_text(text.replace(f'"macs": {layer.macs}', '"macs": 7', 1))
    with pytest.raises(InputError, match=r"field stages\.0\.layers\.0\.macs: states 7 where"):
        aimatrix.run(tmp_path, backend="null")


def test_where_convolutions_do_little_the_benchmark_is_of_all_operators(
    store: str, tmp_path: Path
) -> None:
    from datetime import UTC, datetime

    attributes = {"batch": 1, "m": 512, "n": 1024, "k": 1024, "bias": True}
    call = OpCall.create("matmul", "linear", attributes)
    start = datetime(2026, 3, 1, tzinfo=UTC)
    few = [WorkloadRecord(call, "aten::linear", "app", "host", start, 60.0, 100)]
    WorkloadStore(Path(store)).append(few)
    aimatrix.analyze(store, output=tmp_path / "p.json")
    made = aimatrix.synthesize(tmp_path / "p.json", tmp_path / "bench").benchmark
    assert isinstance(made, MixBenchmark)
    assert {stage.calls[0].family for stage in made.stages} >= {"matmul"}
