"""Reads and writes the JSON artefacts: checked, and whole or not at all."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from pydantic import ValidationError

from aimatrix.errors import InputError
from aimatrix.model.artefact import Artefact, first_mistake

A = TypeVar("A", bound=Artefact)


def save(artefact: Artefact, path: Path) -> None:
    """Write ``artefact`` as indented JSON, under a temporary name first and then renamed."""
    write_text(path, artefact.model_dump_json(indent=2) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file whole or not at all. Raises InputError when the folder refuses it."""
    write_bytes(path, text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole or not at all. Raises InputError when the folder refuses it."""
    if not path.name:
        raise InputError(f"{path}: is a folder; name a file in it")
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):  # what could not be made cannot be removed
            temporary.unlink()
        raise InputError(f"{path}: cannot be written: {error.strerror}") from error


def check_writable(path: str | Path | None) -> None:
    """Raise InputError now for a ``path`` to which a file could not be written after long work."""
    if path is None:
        return
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    probe = Path(path).with_suffix(".probe")
    write_bytes(probe, b"")
    remove(probe)


def remove(path: Path) -> None:
    """Remove a file if it is there. Raises InputError when the folder refuses it."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be replaced: {error.strerror}") from error


def load(kind: type[A], path: Path) -> A:
    """Read and check an artefact of ``kind``.

    Raises InputError that names the file, the field and the mend for anything else than a whole
    artefact of this schema and of a version that this release knows.
    """
    document = _read_json(path)
    found = _schema(document)
    if found != kind.SCHEMA:
        raise InputError(f"{path}: field schema: expected {kind.SCHEMA!r}, found {found!r}")
    version = document.get("schema_version")
    if isinstance(version, int) and version > kind.SCHEMA_VERSION:
        raise InputError(
            f"{path}: field schema_version: {version} is newer than {kind.SCHEMA_VERSION}, the"
            " newest that this release reads; upgrade aimatrix, or write the file again with it"
        )
    try:
        # strict JSON mode: lists become tuples, nothing else is guessed
        return kind.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        mend = "mend the field, or write the file again"
        raise InputError(f"{path}: {first_mistake(error)}; {mend}") from error


def schema(path: Path) -> str | None:
    """The schema that an artefact file states. Raises InputError for a file that is not JSON."""
    return _schema(_read_json(path))


def files(path: Path, kinds: Sequence[type[A]]) -> list[tuple[Path, type[A]]]:
    """The artefact files of ``kinds`` that ``path`` is or, as a folder, holds, and their kinds.

    In a folder, JSON files that are not ours are passed over; a file that is named itself has to
    be an artefact. Raises InputError as `load` does.
    """
    by_schema = {kind.SCHEMA: kind for kind in kinds}
    if path.is_dir():
        found = [file.resolve() for file in sorted(path.rglob("*.json")) if file.is_file()]
        schemas = {file: _schema_of_any(file) for file in found}
        return [(file, by_schema[schemas[file]]) for file in found if schemas[file] in by_schema]
    stated = _schema(_read_json(path))
    if stated not in by_schema:
        raise InputError(
            f"{path}: field schema: expected one of {', '.join(by_schema)}, found {stated!r}"
        )
    return [(path.resolve(), by_schema[stated])]


def _schema_of_any(path: Path) -> Any:
    """The schema that a file states; None for one that is not JSON and does not look like ours."""
    try:
        return _schema(_read_json(path))
    except InputError:
        if b'"aimatrix.' in path.read_bytes():
            raise
        return None


def _schema(document: Any) -> str | None:
    stated = document.get("schema") if isinstance(document, dict) else None
    return stated if isinstance(stated, str) else None


def digest(artefact: Artefact) -> str:
    """SHA-256 of an artefact's content, as hexadecimal text."""
    return hashlib.sha256(artefact.model_dump_json().encode()).hexdigest()


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(f"{path}: no such file") from error
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise InputError(f"{path}: is not JSON ({error}); write it again") from error
