"""A model quantized as QDQ, as ONNX Runtime runs it from level extended on: on small integers.

Such a model writes DequantizeLinear, a float operator, QuantizeLinear; what runs is one operator
on the quantized tensors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence

import numpy as np
from onnx import helper

from aimatrix.importers.onnx.simplify import attribute
from aimatrix.importers.onnx.steps import Step, readers
from aimatrix.importers.onnx.values import Value

_MICROSOFT = "com.microsoft"
#: operators that run on the quantized numbers as they are
_UNCHANGED_NAMES = (
    "DepthToSpace Expand Flatten Gather MaxPool Reshape Resize Slice SpaceToDepth Split Squeeze"
    " Tile Transpose Unsqueeze"
)
_ONE_INPUT = ("AveragePool", "GlobalAveragePool", "LeakyRelu", "Sigmoid", "Softmax")

_Operands = list["Value | None"]


def on_integers(steps: Sequence[Step], outputs: Sequence[Value]) -> list[Step]:
    """The steps of a session at level extended or above. outputs: what the model returns."""
    return _Fusion(steps, outputs).run()


class _Fusion:
    """One walk over the steps that turns each float one between DQ and Q into one of integers."""

    def __init__(self, steps: Sequence[Step], outputs: Sequence[Value]) -> None:
        self._steps = steps
        self._count = readers(steps, outputs)
        self._readers: dict[int, list[Step]] = defaultdict(list)
        for step in steps:
            for value in step.inputs:
                self._readers[id(value)].append(step)
        self._gone: set[int] = set()

    def run(self) -> list[Step]:
        for step in self._steps:
            self._drop_limits(step)
        for step in self._steps:
            rule = _RULES.get(step.operator)
            if rule is not None and not step.opaque:
                rule(self, step)
        return [step for step in self._steps if id(step) not in self._gone]

    def quantizer(self, step: Step) -> Step | None:
        """The QuantizeLinear that alone reads what a step makes."""
        value = step.outputs[0]
        behind = self._readers[id(value)]
        if self._count[id(value)] != 1 or not behind or behind[0].operator != "QuantizeLinear":
            return None
        return behind[0] if behind[0].inputs[0] is value else None

    def become(self, step: Step, operator: str, inputs: _Operands, quantizer: Step | None) -> None:
        """Turn a step into one that takes these, and makes what the quantizer made."""
        domain, _, name = operator.rpartition("::")
        node = helper.make_node(
            name, [f"i{place}" for place in range(len(inputs))], ["o"], domain=domain
        )
        node.attribute.extend(step.node.attribute)
        before = list(step.inputs)
        step.node, step.inputs = node, inputs
        if quantizer is not None:
            step.outputs = [quantizer.outputs[0]]
            step.outputs[0].producer = step
            self._gone.add(id(quantizer))
        self._forget(before)

    def skip(self, step: Step) -> None:
        """Have what reads from a step read from the input of it."""
        source, made = step.inputs[0], step.outputs[0]
        self._readers[id(source)].remove(step)
        for reader in self._readers[id(made)]:
            reader.inputs = [source if value is made else value for value in reader.inputs]
            self._readers[id(source)].append(reader)
        self._count[id(source)] += self._count[id(made)] - 1
        self._gone.add(id(step))

    def _forget(self, values: Sequence[Value | None]) -> None:
        """Drop the steps that made these for a reader that was the last."""
        for value in values:
            self._count[id(value)] -= 1
            if value is not None and value.producer is not None and not self._count[id(value)]:
                self._gone.add(id(value.producer))

    def _drop_limits(self, step: Step) -> None:
        """A Relu or Clip whose limits are those of the quantized numbers behind it does nothing."""
        if step.operator not in ("Relu", "Clip") or len(step.outputs) != 1:
            return
        quantizer = self.quantizer(step)
        if quantizer is None or not _covers(_limits(step), _range(quantizer)):
            return
        source = _dequantizer(step.inputs[0])
        self.skip(step)
        if source is not None and _same_scale(source, quantizer):
            self._hand_on(source, quantizer)

    def _hand_on(self, source: Step, quantizer: Step) -> None:
        """Have what reads from ``quantizer`` read what ``source`` would have made it of."""
        dequantized, stored = quantizer.inputs[0], source.inputs[0]
        quantizer.inputs = [stored, *quantizer.inputs[1:]]
        self._readers[id(stored)].append(quantizer)
        self._count[id(stored)] += 1
        self.skip(quantizer)
        self._forget([dequantized])


def _between(fusion: _Fusion, step: Step, places: int) -> tuple[list[Step], Step] | None:
    """The dequantizers of the first inputs of a step, and the quantizer behind it."""
    sources = _sources(step, places)
    quantizer = fusion.quantizer(step)
    return (sources, quantizer) if sources is not None and quantizer is not None else None


def _sources(step: Step, places: int) -> list[Step] | None:
    if len(step.inputs) < places:
        return None
    sources = [_dequantizer(value) for value in step.inputs[:places]]
    known = [source for source in sources if source is not None]
    return known if len(known) == places else None


def _convolution(fusion: _Fusion, step: Step) -> None:
    found = _between(fusion, step, 2)
    if found is not None:
        (image, weights), quantizer = found
        inputs = [*_triple(image), *_triple(weights), *_triple(quantizer)[1:]]
        fusion.become(step, "QLinearConv", [*inputs, *_bias(step)], quantizer)


def _product(fusion: _Fusion, step: Step) -> None:
    sources, quantizer = _sources(step, 2), fusion.quantizer(step)
    if sources is None:
        return
    left, right = map(_triple, sources)
    if quantizer is not None:
        inputs = [*left, *right, *_triple(quantizer)[1:]]
        fusion.become(step, "QLinearMatMul", inputs, quantizer)
    else:
        inputs = [left[0], right[0], left[1], right[1], left[2], right[2]]
        fusion.become(step, f"{_MICROSOFT}::MatMulIntegerToFloat", inputs, None)


def _gemm(fusion: _Fusion, step: Step) -> None:
    sources, quantizer = _sources(step, 2), fusion.quantizer(step)
    if sources is None or attribute(step.node, "beta", 1.0) != 1.0:
        return
    scale = _triple(quantizer)[1:] if quantizer is not None else []
    bias = _bias(step) or [None]
    inputs = [*_triple(sources[0]), *_triple(sources[1]), *bias, *scale]
    fusion.become(step, f"{_MICROSOFT}::QGemm", inputs, quantizer)


def _elementwise(fusion: _Fusion, step: Step) -> None:
    found = _between(fusion, step, 2)
    if found is not None:
        (left, right), quantizer = found
        inputs = [*_triple(left), *_triple(right), *_triple(quantizer)[1:]]
        fusion.become(step, f"{_MICROSOFT}::QLinear{step.operator}", inputs, quantizer)


def _one_input(fusion: _Fusion, step: Step) -> None:
    found = _between(fusion, step, 1)
    if found is not None:
        (source,), quantizer = found
        inputs = [*_triple(source), *_triple(quantizer)[1:]]
        fusion.become(step, f"{_MICROSOFT}::QLinear{step.operator}", inputs, quantizer)


def _concatenation(fusion: _Fusion, step: Step) -> None:
    found = _between(fusion, step, len(step.inputs))
    if found is not None:
        sources, quantizer = found
        inputs = [*_triple(quantizer)[1:], *(value for one in sources for value in _triple(one))]
        fusion.become(step, f"{_MICROSOFT}::QLinearConcat", inputs, quantizer)


def _unchanged(fusion: _Fusion, step: Step) -> None:
    found = _between(fusion, step, 1)
    if found is not None and len(step.outputs) == 1:
        (source,), quantizer = found
        if _same_scale(source, quantizer):
            inputs = [source.inputs[0], *step.inputs[1:]]
            fusion.become(step, step.operator, inputs, quantizer)


_RULES: dict[str, Callable[[_Fusion, Step], None]] = {
    "Conv": _convolution,
    "MatMul": _product,
    "Gemm": _gemm,
    "Add": _elementwise,
    "Mul": _elementwise,
    "Concat": _concatenation,
    **dict.fromkeys(_ONE_INPUT, _one_input),
    **dict.fromkeys(_UNCHANGED_NAMES.split(), _unchanged),
}


def _dequantizer(value: Value | None) -> Step | None:
    """The DequantizeLinear that makes a tensor."""
    producer = value.producer if value is not None else None
    return producer if producer is not None and producer.operator == "DequantizeLinear" else None


def _triple(step: Step) -> _Operands:
    """What a (de)quantizer takes: the tensor, its scale and its zero point."""
    return [*step.inputs, None][:3]


def _bias(step: Step) -> _Operands:
    """The bias of a step, quantized where the model has it so."""
    if len(step.inputs) < 3:
        return []
    source = _dequantizer(step.inputs[2])
    return [source.inputs[0] if source is not None else step.inputs[2]]


def _same_scale(one: Step, other: Step) -> bool:
    return all(map(_equal, _triple(one)[1:], _triple(other)[1:]))


def _equal(one: Value | None, other: Value | None) -> bool:
    if one is None or other is None or one is other:
        return one is other
    return one.data is not None and other.data is not None and np.array_equal(one.data, other.data)


def _range(quantizer: Step) -> tuple[float, float] | None:
    """The least and the greatest number that a quantizer tells apart."""
    _, scale, zero = _triple(quantizer)
    if scale is None or scale.data is None or scale.data.size != 1 or zero is None:
        return None
    if zero.data is None or zero.data.size != 1 or zero.data.dtype.kind not in "iu":
        return None
    bounds = np.iinfo(zero.data.dtype)
    step, origin = float(scale.data.reshape(-1)[0]), int(zero.data.reshape(-1)[0])
    return (int(bounds.min) - origin) * step, (int(bounds.max) - origin) * step


def _limits(step: Step) -> tuple[float, float] | None:
    """The limits of a Relu or Clip."""
    if step.operator == "Relu":
        return 0.0, np.inf
    found = []
    for place, (name, default) in enumerate((("min", -np.inf), ("max", np.inf)), start=1):
        value = step.inputs[place] if place < len(step.inputs) else None
        if value is None:
            found.append(float(attribute(step.node, name, default)))
        elif value.data is None or value.data.size != 1:
            return None
        else:
            found.append(float(value.data.reshape(-1)[0]))
    return found[0], found[1]


def _covers(limits: tuple[float, float] | None, held: tuple[float, float] | None) -> bool:
    return limits is not None and held is not None and limits[0] <= held[0] and held[1] <= limits[1]
