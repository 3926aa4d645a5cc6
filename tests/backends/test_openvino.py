"""OpenVINO computes in what was asked for, or says that it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aimatrix import backends
from aimatrix.errors import UnsupportedError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.result import Platform

pytest.importorskip("openvino")
BFLOAT16 = Platform(backend="openvino", dtype="bfloat16", threads=1)


def test_bfloat16_is_refused_where_the_processor_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain:
        def get_property(self, device: str, name: str) -> Any:
            return ["FP32", "INT8"]

    backend = backends.get("openvino")
    monkeypatch.setitem(type(backend).check.__globals__, "_core", Plain)
    backend.check(Platform(backend="openvino"))
    with pytest.raises(UnsupportedError, match="no bfloat16"):
        backend.check(BFLOAT16)


def test_bfloat16_is_what_it_computes_in(small_benchmark: Benchmark) -> None:
    backend = backends.get("openvino")
    try:
        backend.check(BFLOAT16)
    except UnsupportedError as error:
        pytest.skip(str(error))
    (rounded,) = backend.prepare(small_benchmark, BFLOAT16).outputs()
    (exact,) = backends.get("torch").prepare(small_benchmark, Platform(backend="torch")).outputs()
    error = np.abs(rounded - exact).max() / np.abs(exact).max()
    # bfloat16 has 8 significant bits, float32 24
    assert 1e-4 < error < 0.1
