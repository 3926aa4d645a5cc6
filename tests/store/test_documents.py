"""Artefact files: written whole, and refused with a sentence that names file and field."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aimatrix.errors import InputError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.profile import Coverage, Filter, Group, Profile
from aimatrix.model.result import RunResult
from aimatrix.store import documents


@pytest.fixture
def profile() -> Profile:
    moment = datetime(2026, 3, 1, tzinfo=UTC)
    group = Group(
        name="conv2d-56",
        center=56,
        input_size=(56, 56),
        batch=1.0,
        calls=2,
        filters=(Filter(kernel_size=(1, 7), stride=1, padding=(0, 3), count=2),),
        macs=1000,
        bytes=2000,
        parameters=30,
        warps=8,
    )
    return Profile.create(
        since=moment,
        until=moment,
        applications=1,
        hosts=1,
        calls=2,
        dtype="float32",
        split_groups=False,
        groups=(group,),
        other=(),
        unknown=(),
        coverage=Coverage(calls=1.0, macs=1.0, bytes=1.0, calls_without_macs=0),
    )


@pytest.fixture
def refused(
    profile: Profile, tmp_path: Path
) -> Callable[[Callable[[Any], Any] | str | bytes], str]:
    """Changes a good file, or writes another, and returns what is said of it."""

    def load(change: Callable[[Any], Any] | str | bytes) -> str:
        path = tmp_path / "profile.json"
        if callable(change):
            document = json.loads(profile.model_dump_json())
            change(document)
            change = json.dumps(document)
        path.write_bytes(change.encode() if isinstance(change, str) else change)
        with pytest.raises(InputError) as caught:
            documents.load(Profile, path)
        message = str(caught.value)
        assert message.startswith(f"{path}: ")
        assert "\n" not in message
        return message.removeprefix(f"{path}: ")

    return load


def test_what_is_saved_is_what_is_loaded(
    profile: Profile, small_benchmark: Benchmark, tmp_path: Path
) -> None:
    for artefact in (profile, small_benchmark):
        documents.save(artefact, tmp_path / "new" / "folder" / "file.json")
        loaded = documents.load(type(artefact), tmp_path / "new" / "folder" / "file.json")
        assert loaded == artefact
        assert documents.digest(loaded) == documents.digest(artefact)


def set_field(*path: str | int, to: Any) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        for step in path[:-1]:
            document = document[step]
        document[path[-1]] = to

    return change


class TestRefusals:
    def test_a_missing_field(self, refused: Callable[..., str]) -> None:
        assert refused(lambda document: document.pop("groups")).startswith("field groups: ")
        message = refused(lambda document: document["groups"][0].pop("macs"))
        assert message.startswith("field groups.0.macs: field required")
        assert "write the file again" in message

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("groups",), "none"),
            (("groups", 0, "macs"), "many"),
            (("groups", 0, "macs"), 1.5),
            (("groups", 0, "macs"), -1),
            (("groups", 0, "macs"), 10**40),
            (("groups", 0, "macs"), 10**400),
            (("groups", 0, "center"), 10**12),
            (("groups", 0, "batch"), 1e300),
            (("groups", 0, "filters"), []),
            (("groups", 0, "input_size"), [56]),
            (("groups", 0, "input_size"), [56, 0]),
            (("groups", 0, "filters", 0, "kernel_size"), [3, 3, 3]),
            (("groups", 0, "filters", 0, "kernel_size"), 0),
            (("groups", 0, "filters", 0, "stride"), -1),
            (("groups", 0, "filters", 0, "padding"), [0, -1]),
            (("groups", 0, "filters", 0, "count"), True),
            (("groups", 0, "name"), 7),
            (("since",), "yesterday"),
            (("schema_version",), "1"),
            (("schema_version",), None),
        ],
    )
    def test_a_wrong_value(
        self, refused: Callable[..., str], path: tuple[str | int, ...], value: Any
    ) -> None:
        field = ".".join(map(str, path))
        assert refused(set_field(*path, to=value)).startswith(f"field {field}")

    def test_numbers_that_json_does_not_have(self, refused: Callable[..., str]) -> None:
        change = set_field("groups", 0, "batch", to=float("nan"))
        assert refused(change).startswith("field groups.0.batch: ")

    def test_an_unknown_field(self, refused: Callable[..., str]) -> None:
        assert refused(set_field("extra", to=1)).startswith("field extra: ")
        assert "field groups.0.nonsense: " in refused(set_field("groups", 0, "nonsense", to=1))

    def test_a_newer_version(self, refused: Callable[..., str]) -> None:
        message = refused(set_field("schema_version", to=2))
        assert message.startswith("field schema_version: 2 is newer than 1")
        assert "upgrade aimatrix" in message

    def test_a_version_that_never_was(self, refused: Callable[..., str]) -> None:
        assert refused(set_field("schema_version", to=0)).startswith("field schema_version: ")

    @pytest.mark.parametrize("schema", ["aimatrix.benchmark", None, 7, ["aimatrix.profile"], {}])
    def test_another_schema(self, refused: Callable[..., str], schema: Any) -> None:
        message = refused(set_field("schema", to=schema))
        assert message.startswith("field schema: expected 'aimatrix.profile', found ")

    @pytest.mark.parametrize(
        "text", ["", "{", "not json", "{} {}", b"\xff\xfe{}", b"\x00", "{'a': 1}"]
    )
    def test_what_is_not_json(self, refused: Callable[..., str], text: str | bytes) -> None:
        assert refused(text).startswith("is not JSON")

    @pytest.mark.parametrize("text", ["[]", "3", '"text"', "null"])
    def test_what_is_no_object(self, refused: Callable[..., str], text: str) -> None:
        assert refused(text).startswith("field schema: ")

    @pytest.mark.parametrize("depth", [100, 400, 900, 990, 100_000])
    def test_deep_nesting(self, refused: Callable[..., str], depth: int) -> None:
        head = '{"schema": "aimatrix.profile", "schema_version": 1, "groups": '
        assert refused(head + "[" * depth + "]" * depth + "}")

    def test_a_number_of_many_digits(self, refused: Callable[..., str]) -> None:
        assert refused('{"schema": "aimatrix.profile", "calls": ' + "9" * 10_000 + "}")

    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"absent.json: no such file"):
            documents.load(Profile, tmp_path / "absent.json")

    def test_a_folder_in_place_of_a_file(self, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be read: Is a directory"):
            documents.load(Profile, tmp_path)

    @pytest.mark.parametrize(
        ("path", "value"),
        [
            (("batch",), 10**11),
            (("stages", 0, "center"), 10**11),
            (("stages", 0, "input_size"), [10**11, 1]),
            (("stages", 0, "in_channels"), 10**11),
            (("stages", 0, "multiplicity"), 1e300),
            (("stages", 0, "multiplicity"), 1e-300),
            (("stages", 0, "target_macs"), 10**40),
            (("stages", 0, "layers", 0, "out_channels"), 10**11),
            (("stages", 0, "layers", 0, "kernel_size"), [10**11, 1]),
            (("stages", 0, "layers", 0, "stride"), [1, 10**11]),
            (("stages", 0, "layers", 0, "padding"), [10**11, 0]),
            (("stages", 0, "layers", 0, "padding"), [-1, 0]),
            (("stages", 0, "layers", 0, "groups"), 10**11),
            (("stages", 0, "layers", 0, "macs"), 10**40),
        ],
    )
    def test_sizes_that_no_machine_has(
        self,
        small_benchmark: Benchmark,
        tmp_path: Path,
        path: tuple[str | int, ...],
        value: Any,
    ) -> None:
        document = json.loads(small_benchmark.model_dump_json())
        set_field(*path, to=value)(document)
        (tmp_path / "benchmark.json").write_text(json.dumps(document))
        field = re.escape(".".join(map(str, path)))
        with pytest.raises(InputError, match=f"benchmark.json: field {field}"):
            documents.load(Benchmark, tmp_path / "benchmark.json")

    def test_an_inconsistent_benchmark_names_its_layer(
        self, small_benchmark: Benchmark, tmp_path: Path
    ) -> None:
        document = json.loads(small_benchmark.model_dump_json())
        document["stages"][1]["layers"][1]["in_channels"] = 41
        (tmp_path / "benchmark.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match="layer 2 of group 2 takes 41 channels where 40 arriv"):
            documents.load(Benchmark, tmp_path / "benchmark.json")


class TestWriting:
    def test_a_failed_write_keeps_what_was_there(
        self, profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = tmp_path / "profile.json"
        documents.save(profile, path)
        before = path.read_bytes()

        def full(*_: Any) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(InputError, match=r"profile.json: cannot be written: No space left"):
            documents.write_text(path, "something else")
        assert path.read_bytes() == before
        assert list(tmp_path.iterdir()) == [path]

    def test_a_good_write_leaves_no_other_file(self, profile: Profile, tmp_path: Path) -> None:
        documents.save(profile, tmp_path / "profile.json")
        documents.save(profile, tmp_path / "profile.json")
        assert [item.name for item in tmp_path.iterdir()] == ["profile.json"]

    def test_a_folder_in_the_way(self, profile: Profile, tmp_path: Path) -> None:
        (tmp_path / "profile.json").mkdir()
        with pytest.raises(InputError, match="cannot be written: Is a directory"):
            documents.save(profile, tmp_path / "profile.json")
        assert [item.name for item in tmp_path.iterdir()] == ["profile.json"]

    def test_a_file_in_the_place_of_the_folder(self, profile: Profile, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("mine")
        with pytest.raises(InputError, match="cannot be written: "):
            documents.save(profile, tmp_path / "file" / "profile.json")
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_folder_that_lets_nobody_write(self, profile: Profile) -> None:
        # whoever runs the tests, and root too, has no place there
        with pytest.raises(InputError, match=r"profile.json: cannot be written: "):
            documents.save(profile, Path("/proc/self/profile.json"))

    def test_a_name_that_is_too_long_or_no_name(self, profile: Profile, tmp_path: Path) -> None:
        with pytest.raises(InputError, match="cannot be written: File name too long"):
            documents.save(profile, tmp_path / ("x" * 300))
        with pytest.raises(InputError, match="is a folder"):
            documents.save(profile, Path())


class TestFolders:
    def test_artefacts_are_found_by_their_schema_in_order(
        self, profile: Profile, small_benchmark: Benchmark, tmp_path: Path
    ) -> None:
        documents.save(small_benchmark, tmp_path / "b" / "benchmark.json")
        documents.save(profile, tmp_path / "a.json")
        (tmp_path / "tsconfig.json").write_text('{"schema": ["of", "another"]}')
        (tmp_path / "list.json").write_text("[1]")
        (tmp_path / "notes.txt").write_text("not read")
        (tmp_path / "commented.json").write_text("{} // not JSON, and not ours")
        found = documents.files(tmp_path, [Profile, Benchmark, RunResult])
        assert [documents.load(kind, file) for file, kind in found] == [profile, small_benchmark]
        assert documents.files(tmp_path, [Benchmark]) == [
            ((tmp_path / "b" / "benchmark.json").resolve(), Benchmark)
        ]

    def test_a_file_that_is_named_has_to_be_an_artefact(self, tmp_path: Path) -> None:
        (tmp_path / "other.json").write_text('{"schema": "something"}')
        with pytest.raises(InputError, match=r"other.json: field schema: expected one of"):
            documents.files(tmp_path / "other.json", [Profile])
        with pytest.raises(InputError, match="no such file"):
            documents.files(tmp_path / "absent", [Profile])

    def test_a_broken_artefact_among_good_ones_is_named(
        self, profile: Profile, tmp_path: Path
    ) -> None:
        documents.save(profile, tmp_path / "good.json")
        (tmp_path / "torn.json").write_bytes((tmp_path / "good.json").read_bytes()[:-40])
        with pytest.raises(InputError, match=r"torn.json: is not JSON"):
            documents.files(tmp_path, [Profile])


class TestNames:
    @pytest.mark.parametrize("name", ["x|\n\n<script>", "", "../up", "a\x1b[31m", "x" * 65])
    def test_a_group_with_a_name_that_is_not_ours(
        self, profile: Profile, tmp_path: Path, name: str
    ) -> None:
        document = json.loads(profile.model_dump_json())
        document["groups"][0]["name"] = name
        (tmp_path / "profile.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"profile.json: field groups\.0\.name"):
            documents.load(Profile, tmp_path / "profile.json")

    def test_two_groups_of_one_name(self, profile: Profile, tmp_path: Path) -> None:
        document = json.loads(profile.model_dump_json())
        document["groups"].append(document["groups"][0])
        (tmp_path / "profile.json").write_text(json.dumps(document))
        with pytest.raises(InputError, match=r"profile.json: field groups: .*same name"):
            documents.load(Profile, tmp_path / "profile.json")
