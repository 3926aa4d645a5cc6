"""Linear algebra beyond products: factors of matrices, systems of equations, eigenvalues."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import Any

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops.elementwise import broadcast
from aimatrix.ops.family import Family, is_size
from aimatrix.ops.formula import Formula

_MOST_ELEMENTS = 2**63

#: floating-point operations of (m, n, right-hand sides), with k the lesser of m and n: those of
#: LAPACK are additions and multiplications of LAPACK Working Note 41, appendix C
_Count = Callable[[int, int, int], float]


def _lu(m: int, n: int, _: int = 0) -> float:
    """GETRF; of a wide matrix the square part, and TRSM with ones on the diagonal for the rest."""
    if m < n:
        return _lu(m, m) + (n - m) * m * (m - 1)
    return m * n**2 - n**3 / 3 - n**2 / 2 + 5 * n / 6


def _cholesky(_: int, n: int, __: int = 0) -> float:
    """POTRF."""
    return n**3 / 3 + n**2 / 2 + n / 6


def _reflectors(m: int, n: int, _: int = 0) -> float:
    """GEQRF."""
    if m >= n:
        return 2 * m * n**2 - 2 * n**3 / 3 + m * n + n**2 + 14 * n / 3
    return 2 * n * m**2 - 2 * m**3 / 3 + 3 * n * m - m**2 + 14 * m / 3


def _product_of_reflectors(m: int, n: int, k: int) -> float:
    """ORGQR: m x n of k reflectors."""
    whole = 4 * m * n * k - 2 * (m + n) * k**2 + 4 * k**3 / 3
    return whole + 3 * n * k - m * k - k**2 - 4 * k / 3


def _triangular(_: int, n: int, rhs: int) -> float:
    """TRSM."""
    return rhs * n**2


def _after_lu(_: int, n: int, rhs: int) -> float:
    """GETRS."""
    return rhs * (2 * n**2 - n)


def _inverse(_: int, n: int, __: int) -> float:
    """GETRF and GETRI."""
    return _lu(n, n) + 4 * n**3 / 3 - n**2 + 5 * n / 3


def _least_squares(m: int, n: int, rhs: int) -> float:
    """GELS: GEQRF, its reflectors applied (ORMQR, 4 m k - 2 k² a side), TRSM."""
    k = min(m, n)
    return _reflectors(m, n) + rhs * (4 * max(m, n) * k - 2 * k**2 + k**2)


def _singular(m: int, n: int, _: int = 0) -> float:
    """Singular values and the vectors that belong to them: Golub and Van Loan's estimate."""
    m, n = max(m, n), min(m, n)
    return 14 * m * n**2 + 8 * n**3


def _singular_full(m: int, n: int, _: int) -> float:
    m, n = max(m, n), min(m, n)
    return 4 * m**2 * n + 8 * m * n**2 + 9 * n**3


def _singular_values(m: int, n: int, _: int) -> float:
    m, n = max(m, n), min(m, n)
    return 4 * m * n**2 - 4 * n**3 / 3


#: kind -> its operations. Iterative ones are estimates of Golub and Van Loan, Matrix Computations
_FLOPS: dict[str, _Count] = {
    "cholesky": _cholesky,
    "cholesky_inverse": lambda _, n, __: 2 * n**3 / 3 + n**2 / 2 + 5 * n / 6,  # POTRI
    "lu": _lu,
    "ldl": _cholesky,
    "geqrf": _reflectors,
    "qr": lambda m, n, _: _reflectors(m, n) + _product_of_reflectors(m, min(m, n), min(m, n)),
    "qr_complete": lambda m, n, _: _reflectors(m, n) + _product_of_reflectors(m, m, min(m, n)),
    "householder_product": lambda m, n, _: _product_of_reflectors(m, n, n),
    "triangular_solve": _triangular,
    "cholesky_solve": lambda _, n, rhs: 2 * _triangular(n, n, rhs),  # POTRS
    "lu_solve": _after_lu,
    "solve": lambda _, n, rhs: _lu(n, n) + _after_lu(n, n, rhs),
    "tridiagonal_solve": lambda _, n, rhs: 3 * n + 5 * n * rhs,
    "lstsq": _least_squares,
    "inverse": _inverse,
    "det": _lu,
    "pinverse": lambda m, n, _: _singular(m, n) + 2 * m * n * min(m, n),
    "eigh": lambda _, n, __: 9 * n**3,
    "eigvalsh": lambda _, n, __: 4 * n**3 / 3,
    "eig": lambda _, n, __: 25 * n**3,
    "eigvals": lambda _, n, __: 10 * n**3,
    "hessenberg": lambda _, n, __: 10 * n**3 / 3,
    "tridiagonal": lambda _, n, __: 4 * n**3 / 3,
    "svd": _singular,
    "svd_full": _singular_full,
    "svdvals": _singular_values,
}

_WITH_SIDES = (*(kind for kind in _FLOPS if kind.endswith("solve")), "lstsq")
#: kinds that take matrices that are not square; besides those of qr and svd
_ANY_SHAPE = ("lu", "geqrf", "householder_product", "lstsq", "pinverse")
#: an option of a dialect -> its value -> the kind that it makes of another
_OPTIONS: dict[str, dict[Any, dict[str, str]]] = {
    "compute_v": {False: {"eigh": "eigvalsh"}},
    "compute_uv": {False: {"svd": "svdvals", "svd_full": "svdvals"}},
    "full_matrices": {True: {"svd": "svd_full", "qr": "qr_complete"}},
    "some": {False: {"svd": "svd_full", "qr": "qr_complete"}},
    "mode": {"r": {"qr": "geqrf"}, "complete": {"qr": "qr_complete"}},
}


class LinearAlgebra(Family):
    """Kinds: cholesky, cholesky_inverse, lu, ldl, qr, qr_complete (with a square Q), geqrf (its
    reflectors), householder_product, solve, triangular_solve, cholesky_solve, lu_solve,
    tridiagonal_solve, lstsq, inverse, det, pinverse, eigh, eigvalsh, eig, eigvals, hessenberg,
    tridiagonal, svd, svd_full (with square U and V), svdvals.

    Attributes: batch, m and n (rows and columns of each matrix), rhs (right-hand sides of a system
    of equations; 0 of others). How often iterative kinds (eigenvalues, singular values) iterate
    is data: theirs are customary estimates. How many warps a library uses is its own choice: not
    known.
    """

    name = "linear_algebra"
    formulas = (
        Formula(
            of="factors and systems",
            output="factors as the matrix; n x rhs of a system",
            macs=(
                "half the operations of LAPACK's routine; leading terms: cholesky n³ / 6, lu"
                " m n² / 2 - n³ / 6, geqrf m n² - n³ / 3, triangular_solve rhs n² / 2, solve n³ / 3"
                " + rhs n², inverse n³"
            ),
            read="batch (m n + m rhs)",
            written="what comes out",
            source="Blackford and Dongarra, LAPACK Working Note 41, appendix C",
        ),
        Formula(
            of="eigenvalues, singular values",
            output="values, and vectors as the matrix",
            macs=(
                "half of: eigh 9 n³, eigvalsh 4 n³ / 3, eig 25 n³, eigvals 10 n³; with m >= n, svd"
                " 14 m n² + 8 n³, svd_full 4 m² n + 8 m n² + 9 n³, svdvals 4 m n² - 4 n³ / 3"
            ),
            read="batch m n",
            written="what comes out",
            source="Golub and Van Loan, Matrix Computations: (symmetric) QR, Golub-Reinsch SVD",
        ),
    )
    required = {"batch": is_size, "m": is_size, "n": is_size, "rhs": is_size}

    def check(self, call: OpCall) -> None:
        """As `Family.check`; the kind is known, and matrices are square where it needs them so."""
        super().check(call)
        if call.kind not in _FLOPS:
            raise InputError(f"{call.kind!r} is no linear algebra")
        if call["batch"] * call["m"] * call["n"] > _MOST_ELEMENTS:
            raise InputError(f"a {call.kind} of more elements than a tensor holds")
        can_be_oblong = call.kind in _ANY_SHAPE or call.kind.startswith(("qr", "svd"))
        if call["m"] != call["n"] and not can_be_oblong:
            raise InputError(f"a {call.kind} of a matrix that is not square")

    def from_shapes(
        self, kind: str, shapes: Sequence[tuple[int, ...]], options: Mapping[str, Any]
    ) -> tuple[str, dict[str, Any]]:
        """The matrix comes first, then the right-hand sides, on either side of it, or a vector."""
        for name, value in options.items():
            kind = _OPTIONS[name].get(value, {}).get(kind, kind)
        if kind == "tridiagonal_solve":  # three diagonals in the matrix's place
            shapes = [(*shapes[0], shapes[0][-1]), shapes[-1]]
        *batch, m, n = shapes[0]
        rhs = 0
        if kind in _WITH_SIDES:
            sides = shapes[1]
            if len(sides) == 1 or sides == (*batch, m):  # one vector for each matrix
                sides = (*sides, 1)
            if m not in sides[-2:]:
                raise InputError(f"right-hand sides of shape {sides} for {m} equations")
            rhs = sides[-1] if sides[-2] == m else sides[-2]
            batch = list(broadcast((tuple(batch), sides[:-2])))
        return kind, {"batch": prod(batch), "m": m, "n": n, "rhs": rhs}

    def _output_shape(self, call: OpCall) -> tuple[int, ...] | None:
        return None

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        batch, m, n, rhs = (call[name] for name in ("batch", "m", "n", "rhs"))
        matrix = 3 * n if call.kind == "tridiagonal_solve" else m * n
        return Cost(
            macs=batch * max(round(_FLOPS[call.kind](m, n, rhs) / 2), 0),
            bytes_read=batch * (matrix + m * rhs) * itemsize,
            bytes_written=batch * _written(call.kind, m, n, rhs) * itemsize,
        )


def _written(kind: str, m: int, n: int, rhs: int) -> int:
    """Elements that come out for each matrix."""
    k = min(m, n)
    if kind in _WITH_SIDES:
        return n * rhs
    return {
        "det": 1,
        "geqrf": m * n + k,
        "qr": m * k + k * n,
        "qr_complete": m * m + m * n,
        "eigh": n * n + n,
        "eigvalsh": n,
        "eig": n * n + n,
        "eigvals": n,
        "svd": m * k + k + k * n,
        "svd_full": m * m + k + n * n,
        "svdvals": k,
    }.get(kind, m * n)
