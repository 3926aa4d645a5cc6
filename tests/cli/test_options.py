"""How the options' little languages are read."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from aimatrix.cli.options import parse_duration, parse_moment, parse_share, parse_sizes
from aimatrix.errors import InputError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("60", 60),
        ("60s", 60),
        ("0.5", 0.5),
        ("5m", 300),
        ("1.5h", 5400),
        ("1d", 86400),
        ("2w", 1209600),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, "--window") == seconds


@pytest.mark.parametrize(
    "text",
    ["", "s", "0", "0s", "-5s", "5 m", "5M", "1h30m", "soon", ".", ".5", "5.", "1e3", "inf", "nan",
     "9" * 400, "99999999999d", "²", "٣s"],
)  # fmt: skip
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(InputError, match=r"^--window: .* is no duration; write one such as 60s"):
        parse_duration(text, "--window")


def test_moments() -> None:
    assert parse_moment(None, "--since") is None
    given = datetime(2026, 1, 31, 12, 30, tzinfo=UTC)
    assert parse_moment("2026-01-31T12:30+00:00", "--since") == given
    assert parse_moment("2026-01-31T14:30+02:00", "--since") == given
    assert parse_moment("2026-01-31T12:30Z", "--since") == given
    local = datetime(2026, 1, 31).astimezone()
    assert parse_moment("2026-01-31", "--since") == local
    ago = parse_moment("2h", "--since")
    assert ago is not None
    assert abs(datetime.now(UTC) - ago - timedelta(hours=2)) < timedelta(minutes=1)


@pytest.mark.parametrize(
    "text", ["", "yesterday", "2026-13-01", "31.1.2026", "0001-01-01T00:00+23:59", "99999999999d"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(InputError, match=r"^--since: "):
        parse_moment(text, "--since")


def test_sizes() -> None:
    assert parse_sizes(None, "--centers") is None
    assert parse_sizes("224, 112,56", "--centers") == [224, 112, 56]


@pytest.mark.parametrize(
    "text", ["", ",", "224,", "224,,112", "0", "-7", "7.5", "7x7", "²", "9" * 10, "9" * 5000]
)
def test_what_are_no_sizes(text: str) -> None:
    with pytest.raises(InputError, match=r"^--centers: .* are no sizes; write them as 224,112,56"):
        parse_sizes(text, "--centers")


@pytest.mark.parametrize(
    ("text", "share"), [("5%", 0.05), ("0.5%", 0.005), ("100%", 1.0), ("none", 0.0)]
)
def test_shares(text: str, share: float) -> None:
    assert parse_share(text, "--budget") == share


@pytest.mark.parametrize(
    "text", ["", "%", "0%", "5", "0.05", "-5%", "101%", "5 %", "1e1%", "None", "nan%", "²%"]
)
def test_what_is_no_share(text: str) -> None:
    with pytest.raises(InputError, match=r"^--budget: .* is no share; write one such as 5%"):
        parse_share(text, "--budget")
