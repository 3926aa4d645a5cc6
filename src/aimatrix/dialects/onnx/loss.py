"""Loss functions as ONNX spells them."""

from __future__ import annotations

from math import prod

from aimatrix.dialects.operands import inputs, outputs, shape
from aimatrix.dialects.rule import Arguments, Rule, Translation


def _cross_entropy(_: str, arguments: Arguments) -> Translation:
    """Every prediction, since a softmax is inside; classes are whole numbers."""
    prediction, target, *weight = inputs(arguments)
    return "cross_entropy_loss", {
        "inputs": [prediction, *weight],
        "outputs": outputs(arguments),
        "indices": prod(target),
    }


def _likelihood(_: str, arguments: Arguments) -> Translation:
    """Of each class the one prediction that it picks."""
    target = shape(arguments, 1)
    return "nll_loss", {
        "inputs": [target, *inputs(arguments)[2:]],
        "outputs": outputs(arguments),
        "indices": prod(target),
    }


RULES: dict[str, Rule] = {
    "SoftmaxCrossEntropyLoss": Rule("loss", _cross_entropy),
    "NegativeLogLikelihoodLoss": Rule("loss", _likelihood),
}
