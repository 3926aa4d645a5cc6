"""Products of several tensors in one operator: einsum, chains of matrices, bilinear layers."""

from __future__ import annotations

from math import prod
from typing import Any

from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_shapes, is_size
from aimatrix.ops.formula import Formula


def _are_products(value: Any) -> bool:
    return is_shapes(value) and all(len(product) == 4 for product in value)


class Contraction(Family):
    """Kinds: the operator's own name (einsum, chain_matmul, bilinear, cdist ...).

    Attributes: products, the matrix products it comes down to, in their order, each as
    (batch, m, n, k); inputs and outputs, shapes; parameters, elements of those inputs that are
    weights. Tensors between two products are not counted as moved.
    """

    name = "contraction"
    formulas = (
        Formula(
            output="as given",
            macs="sum of batch m n k over its products",
            read="inputs",
            written="outputs",
            parameters="as given",
            source="torch.einsum (path), torch.linalg.multi_dot (order of fewest MACs)",
        ),
    )
    required = {
        "products": _are_products,
        "inputs": is_shapes,
        "outputs": is_shapes,
        "parameters": is_size,
    }

    def _output_shape(self, call: OpCall) -> tuple[int, ...] | None:
        outputs = call["outputs"]
        return outputs[0] if len(outputs) == 1 else None

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        return Cost(
            macs=sum(prod(product) for product in call["products"]),
            bytes_read=sum(prod(shape) for shape in call["inputs"]) * itemsize,
            bytes_written=sum(prod(shape) for shape in call["outputs"]) * itemsize,
            parameters=call["parameters"],
            warps=sum(launch.gemm_warps(m * n, batch) for batch, m, n, _ in call["products"]),
        )
