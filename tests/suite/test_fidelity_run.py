"""`make fidelity` in little: all of it runs, and writes a document of the form that it promises."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parents[2] / "benchmarks" / "fidelity.py"


@pytest.fixture(scope="module")
def output(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where a quick run, on two platforms and one that there is not, wrote what it found."""
    pytest.importorskip("transformers")
    path = tmp_path_factory.mktemp("fidelity") / "fidelity.json"
    platforms = ["--platforms", "torch::1", "torch::2", "abacus::1"]
    ended = subprocess.run(
        [sys.executable, PROGRAM, "--quick", *platforms, "-o", path],
        capture_output=True,
        text=True,
        check=False,
    )
    # the platform that failed, and nothing else, is told of at the end
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.startswith("failed on abacus::1: platform 'abacus::1': unknown backend")
    assert ended.stderr.count("\n") == 1
    assert "error against reduction" in ended.stdout
    return path


def test_the_document_has_the_figures_of_the_suite(output: Path) -> None:
    document = json.loads(output.read_text(encoding="utf-8"))
    names = ["torch, float32, 1 thread", "torch, float32, 2 threads"]
    assert [item["name"] for item in document["platforms"]] == names
    assert [item["name"] for item in document["failed"]] == ["abacus::1"]
    for platform in document["platforms"]:
        assert set(platform["classes"]) == {"cnn", "recurrent", "recommendation"}
        assert len(platform["applications"]) == 3
        assert platform["repetitions"] >= 5
        assert platform["spread"] >= 0
        real, predicted = (
            sum(application[side] for application in platform["applications"])
            for side in ("real_seconds", "predicted_seconds")
        )
        assert platform["error"] == pytest.approx(predicted / real - 1)
    assert document["reduction"] > 1
    [ratio] = document["ratios"]
    assert [ratio["first"], ratio["second"]] == names
    assert ratio["error"] == pytest.approx(ratio["predicted"] / ratio["real"] - 1)
    assert document["same_bits"] is True


def test_the_curve_has_a_point_for_each_reduction(output: Path) -> None:
    curve = json.loads(output.read_text(encoding="utf-8"))["curve"]
    assert sorted(point["asked"] for point in curve) == [5.0, 18.0]
    assert curve == sorted(curve, key=lambda point: point["reduction"])
    for point in curve:
        errors = [abs(platform["error"]) for platform in point["platforms"]]
        assert point["error"] == max(errors)
        assert len(errors) == 2


def test_what_others_do_stands_beside_it(output: Path) -> None:
    document = json.loads(output.read_text(encoding="utf-8"))
    assert {proxy["application"] for proxy in document["proxies"]} == {
        "mobilenet_v2",
        "lstm_lm",
        "dlrm",
    }
    assert len(document["hot_loop"]) == len(document["poster"]) == 2
    for platform in document["hot_loop"]:
        assert len(platform["applications"]) == 3
        assert platform["error"] > -1
        assert platform["not_run"] == 0
    # no convolution of the poster's form is missing on either side
    assert all(item["convolutions_error"] is not None for item in document["poster"])
    replay = document["replay"]["platforms"][0]
    assert {item["name"] for item in replay["applications"]} == {"int8_lstm", "dlrm_inference"}


def test_the_page_shows_the_curve(output: Path) -> None:
    page = output.with_suffix(".html").read_text(encoding="utf-8")
    assert "Error against reduction" in page
    assert "Benchmarks of single applications" in page
