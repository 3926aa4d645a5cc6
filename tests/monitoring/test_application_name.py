"""What an application is called when its user gives it no name."""

from __future__ import annotations

import pytest

from aimatrix.monitoring.application_name import application_name


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python train.py --epochs 3", "train"),
        ("/usr/bin/python3.11 -u jobs/train.py", "train"),
        ("python -W ignore -X dev train.py", "train"),
        ("python -Wignore train.py", "train"),
        ("python --check-hash-based-pycs never train.py", "train"),
        ("python -m pkg.train -c x", "pkg.train"),
        ("python -Im pkg.train", "pkg.train"),
        ("python -mpkg.train", "pkg.train"),
        ("python -c secret=1", "python"),
        ("python -Bc secret=1", "python"),
        ("python - x", "python"),
        ("python", "python"),
        ("python3 -m", "python3"),
        ("./train.py", "train"),
        ("torchrun --nproc 2 train.py", "torchrun"),
        ("pythonic-tool run.py", "pythonic-tool"),
        ("", ""),
    ],
)
def test_names(command: str, name: str) -> None:
    assert application_name(command.split()) == name
