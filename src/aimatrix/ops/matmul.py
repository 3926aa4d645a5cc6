"""Matrix products: linear layers, plain and batched products."""

from __future__ import annotations

from collections.abc import Sequence

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import LEAST_WIDTH, Family, is_count, is_flag, is_size
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation, weight

#: the least k: a product packs its operands for as many multiply-adds
LEAST_INNER = 128


class Matmul(Family):
    """Kinds: linear (k x n are weights), mm, bmm.

    Attributes: batch, m, n, k of (batch, m, k) x (batch, k, n) -> (batch, m, n); bias: whether
    a vector of n (or a matrix) is added.
    """

    name = "matmul"
    formulas = (
        Formula(
            output="(batch, m, n)",
            macs="batch m n k",
            read="batch m k + batch k n, + n with bias",
            written="batch m n",
            parameters="k n, + n with bias, of linear; 0 of others",
            source="torch.matmul, torch.nn.Linear; BLAS gemm: LAPACK Working Note 41, appendix C",
        ),
    )
    required = {"batch": is_count, "m": is_size, "n": is_size, "k": is_size, "bias": is_flag}

    def operands(self, call: OpCall) -> tuple[Operand, ...]:
        """Left, right, and the bias where there is one.

        Of linear the right one is a weight, (n, k); of others it is (k, n), and (batch, k, n) of
        bmm. A product that adds a bias multiplies weights, whatever its name.
        """
        batch, m, n, k = (call[name] for name in ("batch", "m", "n", "k"))
        bias = (weight(n),) if call["bias"] else ()
        if call.kind == "linear":
            return (activation(m, k), weight(n, k), *bias)
        if is_batched(call):
            return (activation(batch, m, k), activation(batch, k, n), *bias)
        right = weight(k, n) if bias else activation(k, n)
        return (activation(m, k), right, *bias)

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """(m, n, k); of batched ones batch too."""
        sizes = (call["m"], call["n"], call["k"])
        return (*sizes, call["batch"]) if is_batched(call) else sizes

    def least_widths(self, call: OpCall) -> tuple[int, ...]:
        """As `Family.least_widths`: a product with a vector streams its matrix, in long rows."""
        inner = LEAST_INNER * (8 if min(call["m"], call["n"]) == 1 else 1)
        sizes = (LEAST_WIDTH, LEAST_WIDTH, inner)
        return (*sizes, 1) if is_batched(call) else sizes

    def repeats_in(self, call: OpCall) -> tuple[bool, ...]:
        """As `Family.repeats_in`: rows, and products of a batch."""
        return (True, False, False, True)[: len(self.widths(call))]

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them."""
        m, n, k, *batch = widths
        return call.replace(m=m, n=n, k=k, batch=batch[0] if batch else call["batch"])

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        return (call["batch"], call["m"], call["n"])

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        batch, m, n, k = (call[name] for name in ("batch", "m", "n", "k"))
        bias = n if call["bias"] else 0
        weights = batch * k * n + bias
        outputs = batch * m * n
        return Cost(
            macs=batch * m * n * k,
            bytes_read=(batch * m * k + weights) * itemsize,
            bytes_written=outputs * itemsize,
            parameters=weights if call.kind == "linear" else 0,
            warps=launch.gemm_warps(m * n, batch),
        )


def is_batched(call: OpCall) -> bool:
    """Whether the call multiplies batches of matrices."""
    return call.kind == "bmm" or bool(call["batch"] > 1)
