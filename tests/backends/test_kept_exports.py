"""Exports of applications: removed after use, or kept whole for the next who asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from aimatrix.backends.onnx_export import exported, keeping
from aimatrix.errors import UnsupportedError

pytest.importorskip("onnxscript")
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")

X = (torch.rand(2, 4),)


class Branching(torch.nn.Module):
    """What no exporter can follow: it depends on the numbers."""

    def forward(self, x: Tensor) -> Tensor:
        return x if float(x.sum()) > 1 else -x


def exports(module: Any, folder: Path | None) -> tuple[Path, bytes]:
    with keeping(folder), exported(module, X) as (path, arrays):
        assert [array.shape for array in arrays] == [(2, 4)]
        return path, path.read_bytes()


def test_it_is_removed_after_use() -> None:
    path, content = exports(torch.nn.Linear(4, 8), None)
    assert content
    assert not path.parent.exists()


def test_what_is_kept_is_taken_again(tmp_path: Path) -> None:
    folder = tmp_path / "all" / "one"
    first, content = exports(torch.nn.Linear(4, 8), folder)
    again = exports(torch.nn.Linear(4, 16), folder)
    assert again == (first, content)


def test_each_folder_is_of_one_application(tmp_path: Path) -> None:
    _, one = exports(torch.nn.Linear(4, 8), tmp_path / "one")
    _, other = exports(torch.nn.Linear(4, 16), tmp_path / "other")
    assert one != other


def test_of_an_export_that_fails_nothing_is_kept(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedError, match="torch cannot export it"):
        exports(Branching(), tmp_path / "all" / "one")
    assert list((tmp_path / "all").iterdir()) == []


def test_nothing_is_kept_afterwards(tmp_path: Path) -> None:
    exports(torch.nn.Linear(4, 8), tmp_path / "one")
    path, _ = exports(torch.nn.Linear(4, 8), None)
    assert not path.exists()
