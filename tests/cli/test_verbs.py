"""Every verb on good input: its help, what it prints, and its JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cli_runs import aimatrix

import aimatrix as package
from aimatrix.cli.tables import print_profile, print_validation
from aimatrix.model.profile import OtherWork, Profile, UnknownOperator
from aimatrix.model.result import Platform, PlatformFidelity, Validation
from aimatrix.store import documents

VERBS = (
    "monitor",
    "collect",
    "analyze",
    "synthesize",
    "run",
    "validate",
    "compare",
    "report",
    "demo",
    "doctor",
    "install-hook",
)


@pytest.mark.parametrize("verb", VERBS)
def test_help_says_what_a_verb_does(verb: str, tmp_path: Path) -> None:
    ended = aimatrix(verb, "--help", folder=tmp_path)
    assert (ended.code, ended.err) == (0, "")
    assert f"aimatrix {verb} " in ended.out
    assert len(ended.out.splitlines()) > 8
    assert list(tmp_path.iterdir()) == []


def test_the_command_alone_lists_its_verbs(tmp_path: Path) -> None:
    listed = aimatrix("--help", folder=tmp_path).out
    assert all(f"\n  {verb} " in listed for verb in VERBS)
    assert "Exit codes" in listed
    assert aimatrix("--version", folder=tmp_path).out == f"aimatrix {package.__version__}\n"


def test_every_verb_is_a_function_of_the_package() -> None:
    # Python keeps the word of one verb for itself
    functions = {verb.replace("-", "_") for verb in VERBS} - {"import"} | {"import_"}
    assert functions == set(package.__all__)
    assert all(callable(getattr(package, function)) for function in functions)


def test_the_monitored_program_is_left_alone(finished: Path) -> None:
    assert (finished / "monitor.txt").read_text() == "(1, 10)\n"


def test_analyze(finished: Path) -> None:
    document = aimatrix("analyze", "--store", "store", "--json", folder=finished).document()
    assert document == json.loads((finished / "profile.json").read_text())
    groups = {group["center"]: group for group in document["groups"]}
    rows = {
        center: {(f["kernel_size"], f["stride"]): f["count"] for f in group["filters"]}
        for center, group in groups.items()
    }
    assert rows == {64: {(7, 2): 1}, 32: {(3, 1): 2}, 8: {(1, 1): 1, (3, 1): 1}}
    assert groups[32]["macs"] == 32 * 32 * 9 * (16 * 32 + 32 * 32 // 2)
    assert all(group["warps"] > 0 for group in groups.values())
    assert document["applications"] == 1
    assert {row["family"] for row in document["other"]} >= {"matmul", "pooling", "normalization"}
    assert document["unknown"] == []


def test_analyze_splits_groups_and_takes_centers(finished: Path) -> None:
    words = ["--store", "store", "--split-groups", "--centers", "60,9", "--app", "small*"]
    document = aimatrix("analyze", *words, "--since", "2d", "--json", folder=finished).document()
    counts = [sum(f["count"] for f in group["filters"]) for group in document["groups"]]
    assert [group["center"] for group in document["groups"]] == [60, 9]
    assert counts == [4, 2]


def test_analyze_prints_the_table(finished: Path) -> None:
    text = (finished / "analyze.txt").read_text()
    assert "3x3 x 2" in text
    assert "7x7/2 x 1" in text
    assert "64 x 64" in text
    assert "of the known MACs" in text


def test_synthesize(finished: Path, tmp_path: Path) -> None:
    words = ["profile.json", "-o", tmp_path / "made", "--seed", "3", "--json"]
    document = aimatrix("synthesize", *words, folder=finished).document()
    assert document["seconds"] > 0
    assert document["terms"] == {"macs": 0.5, "warps": 0.5}
    keys = {"macs", "warps", "target_macs", "target_warps", "fitness_error_percent", "center"}
    assert all(keys <= set(group) for group in document["groups"])
    profile = json.loads((finished / "profile.json").read_text())
    for group, source in zip(document["groups"], profile["groups"], strict=True):
        assert (group["target_macs"], group["target_warps"]) == (source["macs"], source["warps"])
        assert group["fitness_error_percent"] <= 0.01
    assert sorted(item.name for item in (tmp_path / "made").iterdir()) == [
        "README.md",
        "benchmark.json",
        "model.onnx",
        "model.py",
    ]


def test_the_same_seed_writes_the_same_folder_in_another_process(
    finished: Path, tmp_path: Path
) -> None:
    aimatrix("synthesize", "profile.json", "-o", tmp_path / "again", folder=finished)
    for path in (finished / "benchmark").iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_run(finished: Path, tmp_path: Path) -> None:
    words = ["benchmark", "--backend", "null", "--threads", "2", "--time-limit", "1", "--json"]
    document = aimatrix("run", *words, folder=finished).document()
    assert document["schema"] == "aimatrix.result"
    assert document["platform"]["threads"] == 2
    benchmark = json.loads((finished / "benchmark" / "benchmark.json").read_text())
    # the null backend takes a picosecond a MAC
    predicted = sum(s["multiplicity"] * s["macs"] for s in benchmark["stages"]) * 1e-12
    assert document["predicted_seconds"] == pytest.approx(predicted)
    assert [stage["name"] for stage in document["stages"]] == [
        stage["name"] for stage in benchmark["stages"]
    ]
    assert {"median", "p10", "p90", "spread", "samples"} <= set(document["total"])
    assert {"cpu", "python", "aimatrix"} <= set(document["environment"])


def test_validate(finished: Path) -> None:
    document = json.loads((finished / "results" / "validation.json").read_text())
    [platform] = document["platforms"]
    assert platform["platform"]["backend"] == "null"
    # on the null backend convolutions take their MACs, which are those of the profile
    assert abs(platform["convolutions"]["error"]) < 1e-3
    assert [row["name"] for row in platform["applications"]] == ["small"]
    assert "convolutions, all" in (finished / "validate.txt").read_text()


def test_validate_prints_json(finished: Path) -> None:
    words = [
        "benchmark",
        "--suite",
        "suite.toml",
        "--platform",
        "null",
        "--time-limit",
        "1s",
        "--json",
    ]
    document = aimatrix("validate", *words, folder=finished).document()
    assert document["schema"] == "aimatrix.validation"


def test_compare(finished: Path) -> None:
    words = ["results/run.json", "results/run.json"]
    document = aimatrix("compare", *words, "--json", folder=finished).document()
    assert [row["ratio"] for row in document["platforms"]] == [1.0, 1.0]
    assert document["platforms"][0]["platform"]["backend"] == "null"
    assert document["platforms"][0]["predicted_seconds"] > 0
    assert "null, float32" in aimatrix("compare", *words, folder=finished).out


def test_report(finished: Path, tmp_path: Path) -> None:
    page = (finished / "report.html").read_text()
    assert page.startswith("<!doctype html>") or page.startswith("<!DOCTYPE html>")
    words = ["profile.json", "benchmark", "-o", tmp_path / "page.html", "--json"]
    document: Any = aimatrix("report", *words, folder=finished).document()
    assert document == {"report": str(tmp_path / "page.html")}
    assert (tmp_path / "page.html").stat().st_size > 1000


def test_names_from_files_are_printed_as_they_are_and_obeyed_by_no_terminal(
    capsys: pytest.CaptureFixture[str], finished: Path
) -> None:
    profile = documents.load(Profile, finished / "profile.json")
    name = "[/red] :smile: [bold]x\x1b[31m"
    hostile = profile.model_copy(
        update={
            "unknown": (UnknownOperator(name=name, calls=1, bytes=0),),
            "other": (OtherWork(family=name, kinds=(name,), calls=1, macs=None, bytes=0),),
        }
    )
    print_profile(hostile)
    printed = capsys.readouterr().out
    # its family, its kind, its name by calls and by bytes
    assert printed.count("[/red] :smile: [bold]x\ufffd[31m") == 4
    assert "\x1b" not in printed


@pytest.mark.parametrize(("share", "told"), [(1.0, False), (None, False), (0.5, True)])
def test_a_suite_of_another_amount_of_work_is_told(
    capsys: pytest.CaptureFixture[str], share: float | None, told: bool
) -> None:
    platform = PlatformFidelity(
        platform=Platform(backend="null"),
        environment={},
        groups=(),
        convolutions=None,
        whole=None,
        applications=(),
        suite_share=share,
    )
    print_validation(Validation.create(benchmark_digest="", platforms=(platform,)))
    assert ("do 0.50 times the MACs" in capsys.readouterr().out) is told


def test_a_mix_from_the_log_to_its_errors(finished: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mix"
    arguments = (finished / "profile.json", "-o", folder, "--form", "mix")
    made = aimatrix("synthesize", *arguments, "--reduction", "2", "--json", folder=finished)
    assert made.code == 0, made.err
    document = json.loads(made.out)
    assert document["estimated_reduction"] >= 1
    assert {"name", "multiplicity", "target_macs"} <= set(document["stages"][0])
    assert {path.name for path in folder.iterdir()} == {"benchmark.json", "model.py", "README.md"}
    assert all(row["name"] in (folder / "model.py").read_text() for row in document["stages"])
    printed = aimatrix("run", folder, "--time-limit", "1s", "--threads", "1", folder=finished)
    assert "predicted time of the mix" in printed.out
    suite = finished / "suite.toml"
    validated = aimatrix(
        "validate", folder, "--suite", suite, "--platform", "torch::1",
        "--platform", "onnxruntime::1", "--platform", "torch::2", "--time-limit", "1s",
        "-o", tmp_path / "validation.json", folder=finished,
    )  # fmt: skip
    assert validated.code == 0, validated.err
    assert "times shorter than the suite" in validated.out
    assert "rank agreement (Kendall's tau)" in validated.out
    written = json.loads((tmp_path / "validation.json").read_text())
    assert {(ratio["first"], ratio["second"]) for ratio in written["ratios"]} == {
        ("torch, float32, 1 thread", "onnxruntime, float32, 1 thread"),
        ("torch, float32, 1 thread", "torch, float32, 2 threads"),
        ("onnxruntime, float32, 1 thread", "torch, float32, 2 threads"),
    }
    aimatrix("report", tmp_path / "validation.json", "-o", tmp_path / "mix.html", folder=finished)
    assert "How well the mix tells the time" in (tmp_path / "mix.html").read_text()


@pytest.mark.parametrize(
    ("words", "form"),
    [
        ((), "convolutions"),
        (("--search", "poster"), "convolutions"),
        (("--reduction", "2"), "mix"),
        (("--form", "mix"), "mix"),
    ],
)
def test_the_form_is_what_most_of_the_work_or_a_wish_asks_for(
    finished: Path, tmp_path: Path, words: tuple[str, ...], form: str
) -> None:
    arguments = (finished / "profile.json", "-o", tmp_path / "made", *words, "--json")
    made = aimatrix("synthesize", *arguments, folder=finished)
    assert json.loads(made.out)["form"] == form, made.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--form", "network"), "form is 'network'; it has to be one of convolutions, mix"),
        (("--form", "convolutions", "--reduction", "20"), "reduction is 20; it is of a mix alone"),
        (("--form", "mix", "--reduction", "0.5"), "at least 1 and at most 1000"),
        (("--form", "mix", "--reduction", "nan"), "at least 1 and at most 1000"),
    ],
)
def test_a_form_that_there_is_not(
    finished: Path, tmp_path: Path, words: tuple[str, ...], told: str
) -> None:
    arguments = (finished / "profile.json", "-o", tmp_path / "mix", *words)
    ended = aimatrix("synthesize", *arguments, folder=finished)
    assert ended.code == 2
    assert told in ended.err
    assert not (tmp_path / "mix").exists()
