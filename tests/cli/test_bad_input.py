"""Wrong use and bad files: one clear sentence, the right exit code, nothing half-written."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_runs import APPLICATION, aimatrix


def rewrite(path: Path, change: Callable[[Any], object]) -> None:
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def files(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


class TestStore:
    def test_one_that_does_not_exist(self, tmp_path: Path) -> None:
        message = aimatrix("analyze", "--store", "absent", folder=tmp_path).refusal()
        assert message.startswith("absent: no such store")
        assert "aimatrix monitor" in message
        assert list(tmp_path.iterdir()) == []

    def test_an_empty_one(self, tmp_path: Path) -> None:
        (tmp_path / "store").mkdir()
        message = aimatrix("analyze", "--store", "store", folder=tmp_path).refusal()
        assert message.startswith("store: ")
        assert "empty" in message

    def test_a_truncated_file_among_good_ones(self, workplace: Path) -> None:
        files = (workplace / "store").rglob("*.parquet")
        good = next(path for path in files if not path.name.startswith("pairs-"))
        torn = good.with_name("part-torn.parquet")
        torn.write_bytes(good.read_bytes()[:-100])
        words = ["--store", "store", "-o", "new.json"]
        message = aimatrix("analyze", *words, folder=workplace).refusal()
        assert "part-torn.parquet" in message
        assert not (workplace / "new.json").exists()
        # the sentence says how to go on without it
        torn.rename(torn.with_suffix(".corrupt"))
        assert aimatrix("analyze", *words, folder=workplace).code == 0

    def test_a_selection_that_holds_nothing(self, finished: Path) -> None:
        for words in (["--app", "other"], ["--until", "2020-01-01"]):
            message = aimatrix("analyze", "--store", "store", *words, folder=finished).refusal()
            assert "store" in message


class TestFiles:
    def test_a_profile_with_a_missing_field(self, workplace: Path) -> None:
        rewrite(workplace / "profile.json", lambda document: document["groups"][1].pop("macs"))
        before = files(workplace)
        words = ["profile.json", "-o", "new"]
        message = aimatrix("synthesize", *words, folder=workplace).refusal()
        assert message.startswith("profile.json: field groups.1.macs: field required")
        assert files(workplace) == before

    def test_a_profile_without_groups(self, workplace: Path) -> None:
        rewrite(workplace / "profile.json", lambda document: document.update(groups=[]))
        message = aimatrix("synthesize", "profile.json", "-o", "new", folder=workplace).refusal()
        assert "no group" in message
        assert not (workplace / "new").exists()

    def test_a_benchmark_of_a_newer_schema(self, workplace: Path) -> None:
        rewrite(
            workplace / "benchmark" / "benchmark.json",
            lambda document: document.update(schema_version=99),
        )
        words = ["benchmark", "--backend", "null", "-o", "new.json"]
        message = aimatrix("run", *words, folder=workplace).refusal()
        assert message.startswith("benchmark/benchmark.json: field schema_version: 99 is newer")
        assert "upgrade" in message
        assert not (workplace / "new.json").exists()

    def test_a_folder_that_holds_no_benchmark(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        message = aimatrix("run", "folder", folder=tmp_path).refusal()
        assert message == "folder/benchmark.json: no such file"

    def test_results_of_two_benchmarks(self, workplace: Path) -> None:
        other = workplace / "results" / "other.json"
        other.write_text((workplace / "results" / "run.json").read_text())
        rewrite(other, lambda document: document.update(benchmark_digest="0" * 64))
        words = ["results/run.json", "results/other.json"]
        message = aimatrix("compare", *words, folder=workplace).refusal()
        assert message.startswith("results/other.json: field benchmark_digest: ")

    def test_a_report_on_nothing(self, tmp_path: Path) -> None:
        (tmp_path / "folder").mkdir()
        assert "folder: " in aimatrix("report", "folder", folder=tmp_path).refusal()
        assert not (tmp_path / "report.html").exists()

    def test_an_output_that_cannot_be_written(self, workplace: Path) -> None:
        (workplace / "file").write_text("mine")
        for words in (
            ["analyze", "--store", "store", "-o", "file/profile.json"],
            ["analyze", "--store", "store", "-o", "."],
            ["synthesize", "profile.json", "-o", "file"],
            ["report", "profile.json", "-o", "file/x.html"],
        ):
            assert aimatrix(*words, folder=workplace).refusal()
        assert (workplace / "file").read_text() == "mine"

    def test_an_unknown_backend_or_search(self, finished: Path, tmp_path: Path) -> None:
        message = aimatrix("run", "benchmark", "--backend", "abacus", folder=finished).refusal()
        assert "unknown backend 'abacus'; known are torch" in message
        words = ["profile.json", "-o", tmp_path / "new", "--search", "magic"]
        message = aimatrix("synthesize", *words, folder=finished).refusal()
        assert "unknown search 'magic'; known are default, poster" in message
        assert not (tmp_path / "new").exists()

    def test_what_a_backend_cannot_do_is_no_wrong_use(self, finished: Path) -> None:
        words = ["benchmark", "--backend", "null", "--dtype", "float16"]
        ended = aimatrix("run", *words, folder=finished)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err.startswith("aimatrix: the backend null")


def test_a_validation_that_compares_nothing_fails(finished: Path, tmp_path: Path) -> None:
    words = ["benchmark", "--suite", "suite.toml", "--platform", "null:float16"]
    ended = aimatrix("validate", *words, "-o", tmp_path / "v.json", "--json", folder=finished)
    assert ended.code == 1
    assert json.loads(ended.out) == json.loads((tmp_path / "v.json").read_text())
    assert ended.err == (
        "aimatrix: nothing was compared on any platform; what was left out says why\n"
    )
    # one platform that can is enough
    words += ["--platform", "null", "--time-limit", "1s"]
    ended = aimatrix("validate", *words, folder=finished)
    assert (ended.code, ended.err) == (0, "")
    assert "left out on null, float16" in ended.out


@pytest.mark.parametrize(
    "words",
    [
        ["frobnicate"],
        ["monitor"],
        ["synthesize", "profile.json", "-o", "x", "--seed", "-1"],
        ["run", "x", "--threads", "0"],
    ],
)
def test_wrong_words_get_a_usage(words: list[str], tmp_path: Path) -> None:
    ended = aimatrix(*words, folder=tmp_path)
    assert (ended.code, ended.out) == (2, "")
    assert "Usage: " in ended.err
    assert list(tmp_path.iterdir()) == []


class TestMonitoredCommand:
    def test_one_that_does_not_exist(self, tmp_path: Path) -> None:
        ended = aimatrix("monitor", "--store", "store", "--", "no-such-program", folder=tmp_path)
        assert ended.refusal() == "no-such-program: command not found"
        assert list(tmp_path.iterdir()) == []

    def test_a_bad_window(self, tmp_path: Path) -> None:
        words = ["monitor", "--window", "soon", "--", sys.executable, "-c", ""]
        assert aimatrix(*words, folder=tmp_path).refusal().startswith("--window: 'soon'")

    def test_a_bad_budget(self, tmp_path: Path) -> None:
        words = ["monitor", "--budget", "0.05", "--", sys.executable, "-c", ""]
        assert aimatrix(*words, folder=tmp_path).refusal().startswith("--budget: '0.05'")
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("window", ["500d", "0.0005s"])
    def test_a_window_that_the_log_cannot_hold(self, tmp_path: Path, window: str) -> None:
        words = ["monitor", "--window", window, "--", sys.executable, "-c", "print('ran')"]
        message = aimatrix(*words, folder=tmp_path).refusal()
        assert "at least 0.001 seconds and at most 366 days" in message
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("store", ["file", "file/store"])
    def test_where_no_spool_can_be_made_the_command_runs_unwatched(
        self, tmp_path: Path, store: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "file").write_text("mine")
        monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
        program = "import sys; print('ran'); sys.exit(7)"
        words = ["monitor", "--store", store, "--", sys.executable, "-c", program]
        ended = aimatrix(*words, folder=tmp_path)
        assert (ended.code, ended.out) == (7, "ran\n")
        [line] = ended.err.splitlines()
        assert line.startswith("aimatrix: ")
        assert line.endswith("; the command runs unwatched")
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_name_that_is_no_text(self, tmp_path: Path) -> None:
        pytest.importorskip("torch")
        program = os.fsdecode(bytes(tmp_path) + b"/l\xe4n.py")
        Path(program).write_text(APPLICATION)
        words = ["monitor", "--store", "store", "--", sys.executable, program]
        ended = aimatrix(*words, folder=tmp_path)
        assert (ended.code, ended.out, ended.err) == (0, "(1, 10)\n", "")
        assert self._convolutions(tmp_path, "l?n") == 5

    def test_what_a_killed_monitor_left_is_told_of_and_comes_in(self, tmp_path: Path) -> None:
        pytest.importorskip("torch")
        (tmp_path / "program.py").write_text(
            f"{APPLICATION}    import os, signal\n    os.kill(os.getppid(), signal.SIGKILL)\n"
        )
        words = ["monitor", "--store", "store", "--app", "program", "--", sys.executable]
        ended = aimatrix(*words, "program.py", folder=tmp_path)
        assert ended.code == -signal.SIGKILL
        message = aimatrix("analyze", "--store", "store", folder=tmp_path).refusal()
        assert message.startswith("store: the store is empty")
        hint = "an earlier run left counts in store/.spool, which `aimatrix collect` brings in"
        assert message.endswith(f"; {hint}")
        ended = aimatrix(*words, "-c", "", folder=tmp_path)
        assert (ended.code, ended.out) == (0, "")
        assert re.fullmatch(
            r"aimatrix: \d+ calls that an earlier run of 'program' had left .*\n", ended.err
        )
        assert self._convolutions(tmp_path) == 5
        [spools] = [path for path in (tmp_path / "store").iterdir() if path.name == ".spool"]
        assert list(spools.iterdir()) == []

    def test_a_crash_is_the_applications_own_and_its_counts_are_kept(self, tmp_path: Path) -> None:
        ended = self._monitor(tmp_path, "raise SystemError('broken')")
        assert ended.code == 1
        assert ended.out == "(1, 10)\n"
        assert "SystemError: broken" in ended.err
        assert self._convolutions(tmp_path) == 5

    def test_an_own_exit_code_passes_through(self, tmp_path: Path) -> None:
        words = ["monitor", "--store", "store", "--", sys.executable, "-c", "raise SystemExit(77)"]
        ended = aimatrix(*words, folder=tmp_path)
        assert (ended.code, ended.out, ended.err) == (77, "", "")

    def test_a_kill_ends_the_command_alike_and_its_counts_are_kept(self, tmp_path: Path) -> None:
        end = "import os, sys; sys.stdout.flush(); os.kill(os.getpid(), 9)"
        ended = self._monitor(tmp_path, end)
        assert ended.code == -signal.SIGKILL
        assert ended.out == "(1, 10)\n"
        assert "Traceback" not in ended.err
        assert self._convolutions(tmp_path) == 5

    @staticmethod
    def _monitor(folder: Path, end: str) -> Any:
        pytest.importorskip("torch")
        program = folder / "program.py"
        program.write_text(f"{APPLICATION}    {end}\n")
        words = ["monitor", "--store", "store", "--", sys.executable, program]
        return aimatrix(*words, folder=folder)

    @staticmethod
    def _convolutions(folder: Path, app: str = "program") -> int:
        words = ["analyze", "--store", "store", "--app", app, "--json"]
        document = aimatrix(*words, folder=folder).document()
        return sum(group["calls"] for group in document["groups"])


def test_a_reader_that_leaves_early_is_no_error(finished: Path) -> None:
    command = f"{sys.executable} -m aimatrix analyze --store store --json | head -c 1"
    with os.popen(f"cd {finished} && ({command}) 2>&1") as pipe:
        assert pipe.read() == "{"
