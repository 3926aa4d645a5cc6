"""Matrix products and linear layers as ONNX spells them, quantised ones too."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from aimatrix.dialects.aten import matmul as aten
from aimatrix.dialects.operands import operand, outputs, shape
from aimatrix.dialects.raw import TensorArg
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _product(second: int = 1) -> Callable[[str, Arguments], Translation]:
    """NumPy's product of the first input and the one at that place, as torch has it."""

    def translation(_: str, arguments: Arguments) -> Translation:
        sides = {"self": shape(arguments, 0), "other": shape(arguments, second)}
        return _matmul({of: TensorArg(side) for of, side in sides.items()})

    return translation


def _matmul(sides: dict[str, TensorArg]) -> Translation:
    return aten.RULES["matmul"].translate("matmul", sides)


def _general(second: int, third: int) -> Callable[[str, Arguments], Translation]:
    """``Gemm``: a linear layer where the second matrix lies as the weights of one do."""

    def translation(_: str, arguments: Arguments) -> Translation:
        a, b = shape(arguments, 0), shape(arguments, second)
        (m, k) = a[::-1] if arguments.get("transA") else a
        (n, depth) = b if arguments.get("transB") else b[::-1]
        if k != depth:
            raise ValueError(f"shapes {a} and {b} make no product")
        bias = operand(arguments, third) is not None
        kind = "linear" if arguments.get("transB") else "mm"
        return kind, {"batch": 1, "m": m, "n": n, "k": k, "bias": bias}

    return translation


def _transposing(_: str, arguments: Arguments) -> Translation:
    """``FusedMatMul``: either side may lie the other way round, and its batch axes too."""
    sides = {
        "self": TensorArg(turned(shape(arguments, 0), arguments, "A")),
        "other": TensorArg(turned(shape(arguments, 1), arguments, "B")),
    }
    return _matmul(sides)


def turned(side: Shape, arguments: Arguments, of: str) -> Shape:
    """The shape of side ``A`` or ``B`` of a ``FusedMatMul`` as it takes part in the product."""
    if arguments.get(f"transBatch{of}"):  # the first axis moves behind the other batch axes
        side = (*side[1:-1], side[0], side[-1])
    if arguments.get(f"trans{of}"):
        side = (*side[:-2], side[-1], side[-2])
    return side


def _packed_weights(bias: int) -> Callable[[str, Arguments], Translation]:
    """Weights of a few bits in blocks, whose sides are told by attributes."""

    def translation(_: str, arguments: Arguments) -> Translation:
        *outer, k = shape(arguments, 0)
        if k != arguments["K"]:
            raise ValueError(f"weights for {arguments['K']} features, not {k}")
        given = operand(arguments, bias) is not None
        return "linear", {"batch": 1, "m": prod(outer), "n": arguments["N"], "k": k, "bias": given}

    return translation


def _by_output(bias: int) -> Callable[[str, Arguments], Translation]:
    """Weights in a format of their own, whose outputs are known from what comes out."""

    def translation(_: str, arguments: Arguments) -> Translation:
        *outer, k = shape(arguments, 0)
        n, given = outputs(arguments)[0][-1], operand(arguments, bias) is not None
        return "linear", {"batch": 1, "m": prod(outer), "n": n, "k": k, "bias": given}

    return translation


def _fitted(place: int) -> Callable[[str, Arguments], Translation]:
    """A linear model of ``ai.onnx.ml``, whose coefficients are attributes: by its scores."""

    def translation(_: str, arguments: Arguments) -> Translation:
        taken, scores = shape(arguments, 0), outputs(arguments)[place]
        m, k = (1, *taken)[-2:]
        return "linear", {"batch": 1, "m": m, "n": prod(scores) // m, "k": k, "bias": True}

    return translation


def _affine_grid(_: str, arguments: Arguments) -> Translation:
    """Every place of the grid, with a one behind, times the matrix of its batch item."""
    batch, n, k = shape(arguments, 0)
    places = prod(outputs(arguments)[0][1:-1])
    return "bmm", {"batch": batch, "m": places, "n": n, "k": k, "bias": False}


_MATMUL = Rule("matmul", _product())
_TRANSPOSING = Rule("matmul", _transposing)

RULES: dict[str, Rule] = {
    **same(_MATMUL, "MatMul MatMulInteger com.microsoft::MatMulInteger16"),
    "QLinearMatMul": Rule("matmul", _product(second=3)),
    **same(_TRANSPOSING, "com.microsoft::FusedMatMul com.microsoft::TransposeMatMul"),
    **same(Rule("matmul", _general(1, 2)), "Gemm com.microsoft::GemmFloat8"),
    "com.microsoft::QGemm": Rule("matmul", _general(3, 6)),
    "com.microsoft::MatMulNBits": Rule("matmul", _packed_weights(5)),
    "com.microsoft::MatMulBnb4": Rule("matmul", _packed_weights(3)),  # no bias
    **same(Rule("matmul", _by_output(3)), "com.microsoft::MatMulFpQ4 com.microsoft::MatMulPacked"),
    "com.microsoft::MatMulBlockQuantizedFp4Weight": Rule("matmul", _by_output(5)),
    "com.microsoft::MatMulBlockQuantizedFp8Weight": Rule("matmul", _by_output(4)),
    "ai.onnx.ml::LinearRegressor": Rule("matmul", _fitted(0)),
    "ai.onnx.ml::LinearClassifier": Rule("matmul", _fitted(1)),
    "AffineGrid": Rule("matmul", _affine_grid),
}
