"""Shared fixtures: small artefacts made by hand."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from aimatrix.model.benchmark import Benchmark
from aimatrix.monitoring.native import ensure
from benchmark_builders import make_benchmark, make_layer, make_stage


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that run JAX come last: it leaves threads behind, and other tests fork."""
    items.sort(key=lambda item: item.path.parent.name == "backends" and "jax" in item.nodeid)


@pytest.fixture(scope="session", autouse=True)
def native_capture() -> None:
    """Have the library built before any test: a monitor that builds it says so on its output."""
    ensure([sys.executable], tell=lambda line: None)


@pytest.fixture
def small_benchmark() -> Benchmark:
    """Four stages with every case of the layout: branches, depthwise and uneven kernels, even
    kernels, more and fewer channels than arrive, pooling in one dimension, growth in the other,
    a stage without a chain."""
    return make_benchmark(
        make_stage(
            "group 1",
            (33, 32),
            3,
            make_layer("branch", 3, 16, (7, 7), (33, 32), stride=(2, 2)),
            make_layer("main", 3, 12, (3, 3), (33, 32)),
            make_layer("main", 12, 12, (3, 3), (33, 32), depthwise=True),
            multiplicity=2.0,
        ),
        make_stage(
            "group 2",
            (14, 16),
            28,
            make_layer("main", 28, 40, (1, 7), (14, 16)),
            make_layer("main", 40, 20, (1, 1), (14, 16)),
        ),
        make_stage(
            "group 3",
            (7, 18),
            9,
            make_layer("branch", 9, 8, (2, 2), (7, 18)),
            make_layer("branch", 9, 10, (3, 3), (7, 18), stride=(2, 1)),
            multiplicity=0.5,
        ),
        make_stage("group 4", (7, 7), 64, make_layer("main", 64, 32, (5, 5), (7, 7))),
    )


@pytest.fixture
def build_benchmark() -> Callable[..., Benchmark]:
    """`make_benchmark`, for tests that need stages of their own."""
    return make_benchmark
