"""The spelling of platforms, and the ones that are measured by default."""

from __future__ import annotations

import pytest

from aimatrix.errors import InputError
from aimatrix.model.result import Platform
from aimatrix.validation import default_platforms, parse_platform, platforms


@pytest.mark.parametrize(
    ("text", "platform"),
    [
        ("torch", Platform(backend="torch")),
        ("torch:bfloat16", Platform(backend="torch", dtype="bfloat16")),
        ("torch:float32:2", Platform(backend="torch", threads=2)),
        ("onnxruntime::1", Platform(backend="onnxruntime", threads=1)),
        ("torch:float16::cuda:1", Platform(backend="torch", dtype="float16", device="cuda:1")),
    ],
)
def test_parts_may_be_left_out(text: str, platform: Platform) -> None:
    assert parse_platform(text) == platform


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("abacus", "unknown backend 'abacus'; known are torch"),
        ("", "unknown backend ''"),
        ("torch:floaty", "unknown dtype 'floaty'"),
        ("torch:float32:many", "threads is 'many'"),
        ("torch:float32:0", "threads is '0'"),
        ("torch:float32:-1", "threads is '-1'"),
    ],
)
def test_a_mistake_shows_the_spelling(text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        parse_platform(text)
    assert "BACKEND[:DTYPE[:THREADS[:DEVICE]]]" in str(caught.value)


def test_default_platforms_are_those_of_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    def names() -> list[str]:
        return [platform.name for platform in default_platforms()]

    here = platforms.__name__
    monkeypatch.setattr(f"{here}.cores", lambda: 8)
    monkeypatch.setattr(f"{here}.find_spec", lambda name: object())
    monkeypatch.setattr(f"{here}.computes_bfloat16", lambda: True)
    assert names() == [
        "torch, float32, 1 thread",
        "torch, float32, 2 threads",
        "onnxruntime, float32, 1 thread",
        "onnxruntime, float32, 2 threads",
        "torch, bfloat16, 1 thread",
    ]
    monkeypatch.setattr(f"{here}.cores", lambda: 1)
    monkeypatch.setattr(f"{here}.find_spec", lambda name: None)
    monkeypatch.setattr(f"{here}.computes_bfloat16", lambda: False)
    assert names() == ["torch, float32, 1 thread"]
