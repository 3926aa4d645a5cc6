"""Follows one run of an ONNX model: which operators it executes, on tensors of which shapes.

Nothing is computed but shapes, and the few numbers that shapes follow from. What depends on
constants alone is made when a runtime loads the model, and is no step of a run.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, TypeProto

from aimatrix.errors import InputError
from aimatrix.importers.onnx import body as bodies
from aimatrix.importers.onnx import control_flow
from aimatrix.importers.onnx.body import Body
from aimatrix.importers.onnx.inference import Inference
from aimatrix.importers.onnx.steps import OWN_DOMAINS, Step
from aimatrix.importers.onnx.values import Value, of_array, of_type

#: nodes that are followed, those of functions and loops each time they run
_MOST_NODES = 200_000
#: graphs and functions inside each other
_DEEPEST = 40

#: operators that make something else each time
_RANDOM = frozenset(
    [
        "Bernoulli",
        "Multinomial",
        "RandomNormal",
        "RandomNormalLike",
        "RandomUniform",
        "RandomUniformLike",
    ]
)
#: domains of operators that make the same of the same
_REPEATABLE = ("", "ai.onnx.ml", "com.microsoft")

#: tells the types of a node's outputs where ONNX does not know the operator
OtherTypes = Callable[[NodeProto, Sequence[Value | None]], "Sequence[TypeProto] | None"]


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a node runs.

    names: the tensors that it sees. inference: of the operators' versions there. times: how often
    a run of the model comes here. attributes: those of the function that it is in.
    """

    names: ChainMap[str, Value]
    inference: Inference
    times: int = 1
    depth: int = 0
    attributes: Mapping[str, AttributeProto] = field(default_factory=dict)


class Execution:
    """One run of a model; ``steps`` are its operators, in order, once `run` has returned."""

    def __init__(self, model: ModelProto, other_types: OtherTypes) -> None:
        self.steps: list[Step] = []
        self._model = model
        self._other_types = other_types
        self._functions = {
            (function.domain, function.name, function.overload): function
            for function in model.functions
        }
        #: bodies that are prepared, by the identity of the message, which is held so that it stays
        self._bodies: dict[int, tuple[object, Body]] = {}
        self._inferences: dict[int, Inference] = {}
        self._left = _MOST_NODES

    def run(self, inputs: Mapping[str, Value]) -> list[Value]:
        """Follow a run that is given these inputs; what it returns.

        Raises InputError for a graph that makes no sense.
        """
        inference = Inference(self._model.opset_import, self._model.ir_version)
        frame = Frame(ChainMap(dict(inputs)), inference)
        body = self._graph_body(self._model.graph, frame)
        if self._model.ir_version >= 4:  # a run may be given others in place of these
            for name in body.stored.keys() & set(body.inputs):
                body.stored[name].constant = False
        return self._follow(body, frame)

    def graph(
        self, graph: GraphProto, inputs: Sequence[Value], frame: Frame, times: int = 1
    ) -> list[Value]:
        """Follow a graph inside a node of ``frame``, ``times`` as often as that; its outputs."""
        body = self._graph_body(graph, frame)
        if len(inputs) > len(body.inputs):
            raise InputError(
                f"a graph in it takes {len(body.inputs)} of {len(inputs)} tensors; export it again"
            )
        inner = replace(
            frame,
            names=frame.names.new_child(dict(zip(body.inputs, inputs, strict=False))),
            times=frame.times * times,
            depth=frame.depth + 1,
        )
        return self._follow(body, inner)

    def _graph_body(self, graph: GraphProto, frame: Frame) -> Body:
        if id(graph) not in self._bodies:
            self._bodies[id(graph)] = (graph, bodies.of_graph(graph, frame.names))
        return self._bodies[id(graph)][1]

    def _follow(self, body: Body, frame: Frame) -> list[Value]:
        if frame.depth > _DEEPEST:
            raise InputError(
                f"its graphs and functions are nested more than {_DEEPEST} deep; export it again"
            )
        self._left -= len(body.nodes) + len(body.stored)
        if self._left < 0:
            raise InputError(
                f"a run of it executes more than {_MOST_NODES} nodes; import a part of it"
            )
        names = frame.names.maps[0]
        for name, value in body.stored.items():
            names.setdefault(name, value)
        for node in body.nodes:
            outputs = self._node(_bound(node, frame.attributes), body, frame)
            names.update(zip(node.output, outputs, strict=True))
            names.pop("", None)
        return [self._named(name, frame) for name in body.outputs]

    def _named(self, name: str, frame: Frame) -> Value:
        if name not in frame.names:
            raise InputError(
                f"its graph gives the tensor {name[:80]!r}, which no node makes; export it again"
            )
        return frame.names[name]

    def _node(self, node: NodeProto, body: Body, frame: Frame) -> list[Value]:
        inputs = [frame.names.get(name) for name in node.input]
        if any(name and value is None for name, value in zip(node.input, inputs, strict=True)):
            node = _without_absent(node, inputs)
        function = self._functions.get((node.domain, node.op_type, node.overload))
        if function is not None:
            return self._call(function, node, inputs, frame)
        if not node.domain and node.op_type in control_flow.OPERATORS:
            return control_flow.OPERATORS[node.op_type](self, node, inputs, frame)
        return self._operator(node, inputs, body, frame)

    def _call(
        self,
        function: FunctionProto,
        node: NodeProto,
        inputs: Sequence[Value | None],
        frame: Frame,
    ) -> list[Value]:
        """Follow a function of the model's own; its outputs."""
        if id(function) not in self._bodies:
            self._bodies[id(function)] = (function, bodies.of_function(function))
            inference = Inference(function.opset_import, self._model.ir_version)
            self._inferences[id(function)] = inference
        body = self._bodies[id(function)][1]
        given = zip(body.inputs, inputs, strict=False)
        names = {name: value for name, value in given if value is not None}
        inner = replace(
            frame,
            names=ChainMap(names),
            inference=self._inferences[id(function)],
            depth=frame.depth + 1,
            attributes={
                attribute.name: attribute
                for attribute in (*function.attribute_proto, *node.attribute)
            },
        )
        outputs = self._follow(body, inner)
        missing = max(0, len(node.output) - len(outputs))
        return [*outputs[: len(node.output)], *(of_type(TypeProto()) for _ in range(missing))]

    def _operator(
        self, node: NodeProto, inputs: list[Value | None], body: Body, frame: Frame
    ) -> list[Value]:
        types: Sequence[TypeProto] | None = frame.inference.types(node, inputs)
        if types is None:
            types = self._other_types(node, inputs)
        if types is None:
            types = [body.declared.get(name, TypeProto()) for name in node.output]
        outputs = [of_type(kind, name) for kind, name in zip(types, node.output, strict=True)]
        if _hands_on(node, inputs, outputs):
            return [inputs[0] or outputs[0], *outputs[1:]]
        contents = frame.inference.contents(node, inputs, types)
        constant, static = _is_constant(node, inputs), _is_static(inputs)
        for place, array in enumerate(contents):
            if array is not None:
                outputs[place] = of_array(array)
        for value in outputs:
            value.constant, value.static = constant, static
        self.add(Step(node, inputs, outputs, frame.times))
        return outputs

    def add(self, step: Step) -> None:
        """Take a step, unless all that it makes is there already when the model is loaded."""
        for value in step.outputs:
            value.producer = step
        if not step.outputs or not all(value.constant for value in step.outputs):
            self.steps.append(step)


def _bound(node: NodeProto, attributes: Mapping[str, AttributeProto]) -> NodeProto:
    """The node with the attributes that it takes from those of the function around it."""
    if node.domain in OWN_DOMAINS:
        node.domain = ""
    if not any(attribute.ref_attr_name for attribute in node.attribute):
        return node
    bound = NodeProto()
    bound.CopyFrom(node)
    del bound.attribute[:]
    for attribute in node.attribute:
        given = attributes.get(attribute.ref_attr_name) if attribute.ref_attr_name else attribute
        if given is not None:
            bound.attribute.add().CopyFrom(given)
            bound.attribute[-1].name = attribute.name
    return bound


def _without_absent(node: NodeProto, inputs: Sequence[Value | None]) -> NodeProto:
    """The node without the inputs that the call of the function around it leaves out."""
    bound = NodeProto()
    bound.CopyFrom(node)
    for place, value in enumerate(inputs):
        if value is None:
            bound.input[place] = ""
    return bound


def _hands_on(node: NodeProto, inputs: Sequence[Value | None], outputs: Sequence[Value]) -> bool:
    """Whether a node's output is its input, as it is."""
    if node.domain or not inputs or not node.output:
        return False
    if node.op_type == "Cast":
        return inputs[0] is not None and bool(outputs) and inputs[0].dtype == outputs[0].dtype != ""
    if node.op_type == "Dropout":
        training = inputs[2] if len(inputs) > 2 else None
        return training is None or (training.data is not None and not np.any(training.data))
    return bool(node.op_type == "Identity")


def _is_constant(node: NodeProto, inputs: Sequence[Value | None]) -> bool:
    """Whether a runtime executes a node once, when it loads the model."""
    if node.domain not in _REPEATABLE or node.op_type in _RANDOM:
        return False
    if not node.domain and node.op_type in ("Shape", "Size") and inputs and inputs[0]:
        return inputs[0].static or inputs[0].constant
    return all(value is None or value.constant for value in inputs)


def _is_static(inputs: Sequence[Value | None]) -> bool:
    """Whether the shapes of a node's outputs follow from the file alone."""
    return all(
        value is None or value.constant or (value.static and value.data is None) for value in inputs
    )
