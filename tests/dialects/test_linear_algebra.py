"""Linear algebra in each dialect: counts of LAPACK's against loops, and what frameworks spell."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from aimatrix import ops
from aimatrix.dialects import translate
from aimatrix.dialects.aten import ATTRIBUTES
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.model.calls import OpCall
from aimatrix.monitoring.in_process import record_calls

torch = pytest.importorskip("torch")
linalg = torch.linalg


def macs(kind: str, m: int, n: int, rhs: int = 0) -> int:
    sizes = {"batch": 1, "m": m, "n": n, "rhs": rhs}
    return ops.cost(OpCall.create("linear_algebra", kind, sizes)).macs or 0


def eliminated(m: int, n: int) -> int:
    """Operations of Gaussian elimination, one by one; LAPACK takes a reciprocal at each step."""
    flops = 0
    for step in range(min(m, n)):
        rows, columns = m - step - 1, n - step - 1
        flops += 1 + rows + 2 * rows * columns  # multipliers, and a multiply-add a place
    return flops


def root_of_a_matrix(n: int) -> int:
    """Operations of Cholesky's factors, one by one; a root is one."""
    flops = 0
    for row in range(n):
        for column in range(row + 1):
            flops += 2 * column + 1
    return flops


def substituted(n: int, rhs: int) -> int:
    """Operations of solving by substitution, one by one."""
    return rhs * sum(2 * done + 1 for done in range(n))


@pytest.mark.parametrize(("m", "n"), [(1, 1), (7, 7), (12, 5), (5, 12), (40, 40)])
def test_factors_have_the_operations_of_their_loops(m: int, n: int) -> None:
    assert abs(2 * macs("lu", m, n) - eliminated(m, n)) <= 1  # rounded to whole multiply-adds
    assert abs(2 * macs("cholesky", n, n) - root_of_a_matrix(n)) <= 1
    assert abs(2 * macs("triangular_solve", n, n, m) - substituted(n, m)) <= 1


def square(n: int = 6, *batch: int) -> Any:
    matrix = torch.rand(*batch, n, n)
    return matrix @ matrix.mT + torch.eye(n)


A, B, TALL = square(), torch.rand(6, 3), torch.rand(9, 4)
SQUARE = {"batch": 1, "m": 6, "n": 6, "rhs": 0}
SYSTEM = {**SQUARE, "rhs": 3}

#: what torch runs -> (kind, attributes)
SPELLED: dict[str, tuple[Callable[[], Any], str, dict[str, int]]] = {
    "cholesky": (lambda: linalg.cholesky(A), "cholesky", SQUARE),
    "of a batch": (lambda: linalg.inv(square(6, 4, 5)), "inverse", {**SQUARE, "batch": 20}),
    "lu": (lambda: linalg.lu_factor(TALL), "lu", {"batch": 1, "m": 9, "n": 4, "rhs": 0}),
    "qr": (lambda: linalg.qr(TALL), "qr", {"batch": 1, "m": 9, "n": 4, "rhs": 0}),
    "r alone": (lambda: linalg.qr(A, mode="r"), "geqrf", SQUARE),
    "solve": (lambda: linalg.solve(A, B), "solve", SYSTEM),
    "of a vector": (lambda: linalg.solve(A, B[:, 0]), "solve", {**SQUARE, "rhs": 1}),
    "from the right": (lambda: linalg.solve(A, B.mT, left=False), "solve", SYSTEM),
    "broadcast": (
        lambda: linalg.solve_triangular(square(6, 5), B, upper=True),
        "triangular_solve",
        {**SYSTEM, "batch": 5},
    ),
    "cholesky_solve": (lambda: torch.cholesky_solve(B, A), "cholesky_solve", SYSTEM),
    "det": (lambda: linalg.det(A), "det", SQUARE),
    "slogdet": (lambda: linalg.slogdet(A), "det", SQUARE),
    "eigh": (lambda: linalg.eigh(A), "eigh", SQUARE),
    "eigvalsh": (lambda: linalg.eigvalsh(A), "eigvalsh", SQUARE),
    "eig": (lambda: linalg.eig(A), "eig", SQUARE),
    "svd": (
        lambda: linalg.svd(TALL, full_matrices=False),
        "svd",
        {"batch": 1, "m": 9, "n": 4, "rhs": 0},
    ),
    "svdvals": (lambda: linalg.svdvals(A), "svdvals", SQUARE),
    "lstsq": (
        lambda: linalg.lstsq(TALL, torch.rand(9, 2)),
        "lstsq",
        {"batch": 1, "m": 9, "n": 4, "rhs": 2},
    ),
}


#: below autograd, torch computes vectors too while a mode watches
WITH_VECTORS = {"eigvalsh": "eigh", "svdvals": "svd"}


def known(calls: list[RawCall]) -> list[tuple[str, str, dict[str, Any]]]:
    found = [call for call in map(translate, calls) if call.family in ("linear_algebra", "unknown")]
    return [(call.family, call.kind, dict(call.attributes)) for call in found]


@pytest.mark.parametrize("name", SPELLED)
def test_what_torch_spells(name: str) -> None:
    run, kind, attributes = SPELLED[name]
    with torch.inference_mode():
        outermost = known(record_calls(run, ATTRIBUTES))
    assert outermost == [("linear_algebra", kind, attributes)]
    below = known(record_calls(run, ATTRIBUTES))
    assert below == [("linear_algebra", WITH_VECTORS.get(kind, kind), attributes)]


def test_onnx_and_jax() -> None:
    matrix, sides = TensorArg((2, 6, 6)), TensorArg((2, 6, 3))
    det = RawCall("onnx::Det", {"inputs": (matrix,), "outputs": ()}, dialect="onnx")
    assert translate(det).kind == "det"
    solve = RawCall("jax::triangular_solve", {"inputs": (matrix, sides)}, dialect="jax")
    assert dict(translate(solve).attributes) == {**SYSTEM, "batch": 2}
    values = RawCall("jax::svd", {"inputs": (matrix,), "compute_uv": False}, dialect="jax")
    assert translate(values).kind == "svdvals"


def test_matrices_that_do_not_fit_are_unknown() -> None:
    oblong = {"self": TensorArg((3, 5))}
    assert translate(RawCall("aten::linalg_cholesky", oblong)).family == "unknown"
    odd = {"A": TensorArg((3, 3)), "B": TensorArg((4, 2))}
    assert translate(RawCall("aten::linalg_solve", odd)).family == "unknown"
