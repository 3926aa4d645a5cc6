"""Matrix products: linear layers, plain and batched products."""

from __future__ import annotations

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_count, is_flag, is_size
from aimatrix.ops.formula import Formula


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
