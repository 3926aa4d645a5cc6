"""The graph as a runtime runs it: what ONNX Runtime merges into one operator counts as one.

Each of these mergers saves a pass over memory in every session from its level on, so that a model
means the same whether it is imported or watched. Conditions are ONNX Runtime's own, tried out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from onnx import NodeProto, helper

from aimatrix.importers.onnx.steps import Step, readers
from aimatrix.importers.onnx.values import Value, of_shape

_CONVOLUTIONS = ("Conv", "ConvTranspose")


def simplified(steps: Sequence[Step], outputs: Sequence[Value]) -> list[Step]:
    """The steps of a session at level basic or above. outputs: what the model returns."""
    return _Merger(steps, outputs).run()


class _Merger:
    """One walk over the steps, in which each takes in, or goes into, the one before it."""

    def __init__(self, steps: Sequence[Step], outputs: Sequence[Value]) -> None:
        self._steps = steps
        self._readers: Counter[int] = readers(steps, outputs)
        self._gone: set[int] = set()
        self._instead: dict[int, list[Step]] = {}

    def run(self) -> list[Step]:
        for step in self._steps:
            rule = _RULES.get(step.operator)
            if rule is not None and not step.opaque:
                rule(self, step)
        return [
            kept
            for step in self._steps
            if id(step) not in self._gone
            for kept in self._instead.get(id(step), [step])
        ]

    def before(self, step: Step, place: int, operators: Sequence[str]) -> Step | None:
        """The step that makes this input, if it is one of these and nobody else reads from it."""
        value = step.inputs[place] if place < len(step.inputs) else None
        producer = value.producer if value is not None else None
        if (
            value is None
            or producer is None
            or value.constant
            or producer.operator not in operators
            or producer.opaque
            or producer.times != step.times
            or producer.outputs[0] is not value
            or self._readers[id(value)] != 1
            or any(self._readers[id(other)] for other in producer.outputs[1:])
        ):
            return None
        return producer

    def absorb(self, producer: Step, step: Step) -> None:
        """Have ``producer`` make what ``step`` made of its output."""
        producer.outputs = [step.outputs[0]]
        step.outputs[0].producer = producer
        self._gone.add(id(step))

    def skip(self, producer: Step, step: Step, place: int) -> None:
        """Have ``step`` take what ``producer`` would have changed first."""
        step.inputs[place] = producer.inputs[0]
        self._gone.add(id(producer))

    def replace(self, step: Step, *instead: Step) -> None:
        """Run these in place of ``step``."""
        self._instead[id(step)] = list(instead)
        for other in instead:
            for value in other.outputs:
                value.producer = other


def _normalization(merger: _Merger, step: Step) -> None:
    """BatchNormalization behind a convolution or a product with constant weights: its bias."""
    if any(not _is_constant(value) for value in step.inputs[1:]):
        return
    convolution = merger.before(step, 0, _CONVOLUTIONS)
    if convolution is not None and _has_constant_weights(convolution):
        _give_bias(convolution, step)
        merger.absorb(convolution, step)
        return
    product = merger.before(step, 0, ("MatMul",))
    if product is not None and _rank(product.inputs[0]) == 2 and _is_constant(product.inputs[1]):
        _as_gemm(merger, product, step, step.inputs[2])


def _scale(merger: _Merger, step: Step) -> None:
    """Mul by a constant per channel behind a convolution: in its weights."""
    convolution = merger.before(step, 0, ("Conv",))
    if convolution is None or not _has_constant_weights(convolution):
        return
    factor = step.inputs[1]
    if factor is not None and (factor.shape == () or _is_per_channel(factor, convolution)):
        merger.absorb(convolution, step)


def _addition(merger: _Merger, step: Step) -> None:
    """Add behind a convolution, of a constant per channel, or behind a matrix product."""
    convolution = merger.before(step, 0, ("Conv",))
    if convolution is not None:
        if _has_constant_weights(convolution) and _is_per_channel(step.inputs[1], convolution):
            _give_bias(convolution, step)
            merger.absorb(convolution, step)
        return
    for place in (0, 1):
        product = merger.before(step, place, ("MatMul",))
        if product is not None and len(step.inputs) == 2:
            bias = step.inputs[1 - place]
            if _is_bias(product, bias):
                _as_gemm(merger, product, step, bias)
            return


def _sum(merger: _Merger, step: Step) -> None:
    """Sum of a Gemm without bias and another matrix: its bias."""
    for place in (0, 1) if len(step.inputs) == 2 else ():
        gemm = merger.before(step, place, ("Gemm",))
        if gemm is not None and len(gemm.inputs) == 2:
            gemm.inputs.append(step.inputs[1 - place])
            merger.absorb(gemm, step)
            return


def _padded(merger: _Merger, step: Step) -> None:
    """Pad with zeros before a convolution or an average: its padding."""
    padding = merger.before(step, 0, ("Pad",))
    pads = _zeros_around(padding) if padding is not None else None
    own = attribute(step.node, "auto_pad", b"NOTSET")
    if padding is None or pads is None or own not in (b"NOTSET", b"VALID"):
        return
    half = len(pads) // 2
    spatial = [*pads[2:half], *pads[half + 2 :]]
    before = attribute(step.node, "pads", [0] * len(spatial))
    if any((*pads[:2], *pads[half : half + 2])) or len(before) != len(spatial):
        return
    step.node = _changed(step.node, pads=[sum(pair) for pair in zip(spatial, before, strict=False)])
    merger.skip(padding, step, 0)


def _clip(merger: _Merger, step: Step) -> None:
    """Relu before a Clip that lets nothing below zero through: none."""
    relu = merger.before(step, 0, ("Relu",))
    least = step.inputs[1] if len(step.inputs) > 1 else None
    lowest = attribute(step.node, "min", None)
    if least is not None:
        lowest = least.data.item() if least.data is not None and least.data.size == 1 else None
    if relu is not None and lowest is not None and lowest >= 0:
        merger.skip(relu, step, 0)


def _transposed(merger: _Merger, step: Step) -> None:
    """Transpose before a Gemm: its transA or transB."""
    for place, name in ((0, "transA"), (1, "transB")):
        transpose = merger.before(step, place, ("Transpose",))
        if transpose is not None and _rank(transpose.inputs[0]) == 2:
            step.node = _changed(step.node, **{name: 1 - attribute(step.node, name, 0)})
            merger.skip(transpose, step, place)


_RULES: dict[str, Callable[[_Merger, Step], None]] = {
    "BatchNormalization": _normalization,
    "Mul": _scale,
    "Add": _addition,
    "Sum": _sum,
    "Conv": _padded,
    "AveragePool": _padded,
    "Clip": _clip,
    "Gemm": _transposed,
}


def _as_gemm(merger: _Merger, product: Step, addition: Step, bias: Value | None) -> None:
    """Have one Gemm do a MatMul and the addition behind it, on matrices."""
    left, right = product.inputs
    assert left is not None
    assert left.shape is not None
    node = helper.make_node("Gemm", ["A", "B", "C"], ["Y"])
    result = addition.outputs[0]
    merger.replace(product)
    if len(left.shape) == 2:
        merger.replace(addition, Step(node, [left, right, bias], [result], product.times))
        return
    rows, width = prod(left.shape[:-1]), left.shape[-1]
    flat = of_shape((rows, width), left.dtype)
    made = of_shape((rows, result.shape[-1] if result.shape else 0), result.dtype)
    view = helper.make_node("Reshape", ["data", "shape"], ["reshaped"])
    merger.replace(
        addition,
        Step(view, [left, None], [flat], product.times),
        Step(node, [flat, right, bias], [made], product.times),
        Step(view, [made, None], [result], product.times),
    )


def _is_bias(product: Step, bias: Value | None) -> bool:
    """Whether what is added to a matrix product is what a Gemm can add."""
    left, right = product.inputs
    result = product.outputs[0].shape
    if left is None or right is None or bias is None or left.dtype not in _GEMM_DTYPES:
        return False
    if not left.shape or not result or bias.shape is None or _rank(right) != 2:
        return False
    if len(left.shape) == 2:
        rows, columns = result
        return bias.shape in ((columns,), (1, columns), (rows, columns), (rows, 1))
    columns = result[-1]
    return left.static and bias.shape == (columns,)


_GEMM_DTYPES = ("float32", "float16", "float64", "bfloat16")


def _is_per_channel(value: Value | None, convolution: Step) -> bool:
    """Whether a constant has one number for each of a convolution's channels."""
    weights = convolution.inputs[1]
    if value is None or not value.constant or value.shape is None or weights is None:
        return False
    if weights.shape is None:
        return False
    channels = (weights.shape[0], *(1,) * (len(weights.shape) - 2))
    return value.shape in (channels, (1, *channels))


def _has_constant_weights(convolution: Step) -> bool:
    return all(value is None or value.constant for value in convolution.inputs[1:])


def _is_constant(value: Value | None) -> bool:
    return value is not None and value.constant


def _rank(value: Value | None) -> int | None:
    return len(value.shape) if value is not None and value.shape is not None else None


def _give_bias(convolution: Step, behind: Step) -> None:
    result = behind.outputs[0]
    if len(convolution.inputs) == 2 and result.shape:
        bias = of_shape((result.shape[1],), result.dtype)
        bias.constant = bias.static = True
        convolution.inputs.append(bias)


def _zeros_around(padding: Step) -> list[int] | None:
    """The sizes of a Pad that pads with zeros; None of any other."""
    mode = attribute(padding.node, "mode", b"constant")
    if mode != b"constant" or len(padding.inputs) > 3:
        return None
    sizes = padding.inputs[1] if len(padding.inputs) > 1 else None
    filler = padding.inputs[2] if len(padding.inputs) > 2 else None
    if filler is not None and (filler.data is None or np.any(filler.data)):
        return None
    if sizes is None:
        pads = attribute(padding.node, "pads", None)
    else:
        pads = sizes.data.tolist() if sizes.constant and sizes.data is not None else None
    if attribute(padding.node, "value", 0.0) or not pads or min(pads) < 0:
        return None
    return list(pads)


def attribute(node: NodeProto, name: str, default: Any) -> Any:
    """The value of a node's attribute, or the default."""
    for item in node.attribute:
        if item.name == name:
            return helper.get_attribute_value(item)
    return default


def _changed(node: NodeProto, **attributes: Any) -> NodeProto:
    """The node with these attributes."""
    changed = NodeProto()
    changed.CopyFrom(node)
    del changed.attribute[:]
    kept = [item for item in node.attribute if item.name not in attributes]
    changed.attribute.extend(kept)
    changed.attribute.extend(
        helper.make_attribute(name, value) for name, value in attributes.items()
    )
    return changed
