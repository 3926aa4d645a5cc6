"""Elementwise operators as ONNX spells them, quantisation and steps of optimizers too."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

from aimatrix.dialects.operands import each_element, elementwise, inputs, operand, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Shape, Translation, same


def _first(kind: str) -> Rule:
    """Of an operator whose other inputs are bounds, scales and the like of a single number."""
    return Rule("elementwise", _of_first(kind))


def _of_first(kind: str) -> Callable[[str, Arguments], Translation]:
    def translation(_: str, arguments: Arguments) -> Translation:
        first, *others = inputs(arguments)
        tensors = [first, *(other for other in others if prod(other) > 1)]
        return kind, each_element(tensors, [first])

    return translation


def _places(kind: str, *places: int) -> Callable[[str, Arguments], Translation]:
    """Of the inputs at these places alone: those between tell how each is quantised."""

    def translation(_: str, arguments: Arguments) -> Translation:
        taken = [shape(arguments, place) for place in places]
        return kind, each_element(taken, outputs(arguments))

    return translation


def _weighted(_: str, arguments: Arguments) -> Translation:
    """``PRelu``: the slopes broadcast to the input, and never the other way round."""
    taken = inputs(arguments)
    return "prelu", {"inputs": taken, "outputs": taken[:1]}


def _quantised(kind: str) -> Callable[[str, Arguments], Translation]:
    """With one scale for all, or one a channel, or one a block, which are read too."""

    def translation(_: str, arguments: Arguments) -> Translation:
        first, *scales = inputs(arguments)
        if all(prod(scale) == 1 for scale in scales):
            return f"{kind}_per_tensor" if kind == "quantize" else kind, {"inputs": [first]}
        whole = {"inputs": [first, *scales], "outputs": [first]}
        return f"{kind}_per_channel" if kind == "quantize" else kind, whole

    return translation


def _shifted(_: str, arguments: Arguments) -> Translation:
    direction = str(arguments["direction"]).lower()
    return f"bitwise_{direction}_shift", each_element(inputs(arguments), outputs(arguments))


def _remainder(_: str, arguments: Arguments) -> Translation:
    kind = "fmod" if arguments.get("fmod") else "remainder"
    return kind, each_element(inputs(arguments), outputs(arguments))


def _shrunk(_: str, arguments: Arguments) -> Translation:
    kind = "softshrink" if arguments.get("bias") else "hardshrink"
    return kind, {"inputs": inputs(arguments)}


def _dropout(_: str, arguments: Arguments) -> Translation:
    """At inference, which is told by default, it hands its input on."""
    training = arguments.get("training_mode")
    if training in (True, (True,)):
        return "dropout", each_element([shape(arguments, 0)], outputs(arguments))
    return "dropout", {"inputs": [(0,)]}


def _rotated(*cosines: int) -> Callable[[str, Arguments], Translation]:
    """Rotary embedding: of each position the row of two tables with as many rows as positions."""

    def translation(_: str, arguments: Arguments) -> Translation:
        taken = shape(arguments, 0)
        rows = [
            _rows(taken, shape(arguments, place)) for place in cosines if operand(arguments, place)
        ]
        return "rotary_embedding", {"inputs": [taken, *rows], "outputs": [taken]}

    return translation


def _rows(taken: Shape, table: Shape) -> Shape:
    """What is looked up of a table (positions, features); one of three axes is looked up already.

    The input is (batch, positions, features), or has its heads before the positions.
    """
    if len(table) == 3:
        return table
    return taken[0], taken[-2], table[-1]


def _optimizer(kind: str) -> Rule:
    """A step with its rate and count before all parameters, gradients and states."""

    def translation(_: str, arguments: Arguments) -> Translation:
        return kind, {"inputs": inputs(arguments)[2:], "outputs": outputs(arguments)}

    return Rule("elementwise", translation, dtype_of=2)


#: ONNX's names, and what torch calls the same
_SAME_AS = {
    "Abs": "abs",
    "Acos": "acos",
    "Acosh": "acosh",
    "Add": "add",
    "And": "logical_and",
    "Asin": "asin",
    "Asinh": "asinh",
    "Atan": "atan",
    "Atanh": "atanh",
    "BitwiseAnd": "bitwise_and",
    "BitwiseNot": "bitwise_not",
    "BitwiseOr": "bitwise_or",
    "BitwiseXor": "bitwise_xor",
    "Ceil": "ceil",
    "Celu": "celu",
    "Cos": "cos",
    "Cosh": "cosh",
    "Div": "div",
    "Elu": "elu",
    "Equal": "eq",
    "Erf": "erf",
    "Exp": "exp",
    "Floor": "floor",
    "Gelu": "gelu",
    "Greater": "gt",
    "GreaterOrEqual": "ge",
    "HardSigmoid": "hardsigmoid",
    "HardSwish": "hardswish",
    "Hardmax": "hardmax",
    "IsInf": "isinf",
    "IsNaN": "isnan",
    "LeakyRelu": "leaky_relu",
    "Less": "lt",
    "LessOrEqual": "le",
    "Log": "log",
    "Max": "maximum",
    "Mean": "mean",
    "Min": "minimum",
    "Mish": "mish",
    "Mul": "mul",
    "Neg": "neg",
    "Not": "logical_not",
    "Or": "logical_or",
    "Pow": "pow",
    "Reciprocal": "reciprocal",
    "Relu": "relu",
    "Round": "round",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Sign": "sign",
    "Sin": "sin",
    "Sinh": "sinh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Sqrt": "sqrt",
    "Sub": "sub",
    "Sum": "add",
    "SwiGLU": "swiglu",
    "Swish": "silu",
    "Tan": "tan",
    "Tanh": "tanh",
    "ThresholdedRelu": "threshold",
    "Xor": "logical_xor",
    # of early versions of ONNX, which ONNX Runtime still takes
    "Affine": "affine",
    "ImageScaler": "affine",
    "ParametricSoftplus": "softplus",
    "ScaledTanh": "tanh",
    # ONNX Runtime's
    "com.microsoft::ComplexMul": "mul",
    "com.microsoft::ComplexMulConj": "mul",
    "com.microsoft::Gelu": "gelu",
    "com.microsoft::IsAllFinite": "isfinite",
    "com.microsoft::QuickGelu": "quick_gelu",
    "com.microsoft::ScaledSiLU": "silu",
    "com.microsoft::SwiGLU": "swiglu",
    # of feature engineering
    "ai.onnx.ml::Binarizer": "gt",
    "ai.onnx.ml::Imputer": "where",
    "ai.onnx.ml::Scaler": "affine",
}

RULES: dict[str, Rule] = {
    **{name: Rule("elementwise", elementwise(kind)) for name, kind in _SAME_AS.items()},
    "Where": Rule("elementwise", elementwise("where"), dtype_of=1),
    "Clip": _first("clamp"),
    "Shrink": Rule("elementwise", _shrunk),
    "PRelu": Rule("elementwise", _weighted),
    "BitShift": Rule("elementwise", _shifted),
    "Mod": Rule("elementwise", _remainder),
    "Dropout": Rule("elementwise", _dropout, ("training_mode",)),
    "RotaryEmbedding": Rule("elementwise", _rotated(1, 2)),
    **same(
        Rule("elementwise", _rotated(2, 3)),
        "com.microsoft::RotaryEmbedding com.microsoft::MRotaryEmbedding",
    ),
    "com.microsoft::GemmaRotaryEmbedding": Rule("elementwise", elementwise("rotary_embedding")),
    **same(
        Rule("elementwise", _quantised("quantize")), "QuantizeLinear com.microsoft::QuantizeLinear"
    ),
    **same(
        Rule("elementwise", _quantised("dequantize")),
        "DequantizeLinear com.microsoft::DequantizeLinear",
    ),
    "DynamicQuantizeLinear": _first("quantize_per_tensor_dynamic"),
    "com.microsoft::QLinearAdd": Rule("elementwise", _places("quantized::add", 0, 3)),
    "com.microsoft::QLinearMul": Rule("elementwise", _places("quantized::mul", 0, 3)),
    "com.microsoft::QLinearWhere": Rule("elementwise", _places("where", 0, 1, 4), dtype_of=1),
    "com.microsoft::QLinearSigmoid": _first("sigmoid"),
    "com.microsoft::QLinearLeakyRelu": _first("leaky_relu"),
    "com.microsoft::QOrderedGelu": _first("gelu"),
    "com.microsoft::MulInteger": Rule("elementwise", _places("mul", 0, 2)),
    "ai.onnx.preview.training::Adam": _optimizer("_fused_adam"),
    "ai.onnx.preview.training::Adagrad": _optimizer("_fused_adagrad"),
    "ai.onnx.preview.training::Momentum": _optimizer("_fused_sgd"),
}
