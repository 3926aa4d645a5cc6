"""The body of a graph or function: its nodes in an order in which they can run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from onnx import FunctionProto, GraphProto, NodeProto, TypeProto

from aimatrix.errors import InputError
from aimatrix.importers.onnx.values import Value, stored


@dataclass(frozen=True, slots=True)
class Body:
    """What is prepared of a graph or function once, however often it runs.

    nodes: each behind those that make what it reads. stored: its weights and other constants.
    declared: the types that the file gives to tensors.
    """

    nodes: list[NodeProto]
    inputs: list[str]
    outputs: list[str]
    stored: dict[str, Value]
    declared: Mapping[str, TypeProto]


def of_graph(graph: GraphProto, around: Container[str]) -> Body:
    """The body of a graph inside graphs whose tensors are ``around``.

    Raises InputError for a cycle, a tensor that nothing makes, or one that is made twice.
    """
    constants = {tensor.name: stored(tensor) for tensor in graph.initializer}
    for sparse in graph.sparse_initializer:
        value = stored(sparse.values)
        value.shape, value.data = tuple(sparse.dims), None
        constants[sparse.values.name] = value
    inputs = [item.name for item in graph.input]
    return Body(
        nodes=_ordered(graph.node, {*inputs, *constants}, around),
        inputs=inputs,
        outputs=[item.name for item in graph.output],
        stored=constants,
        declared={item.name: item.type for item in (*graph.value_info, *graph.output)},
    )


def of_function(function: FunctionProto) -> Body:
    """The body of a function. Raises InputError as `of_graph` does."""
    return Body(
        nodes=_ordered(function.node, set(function.input), ()),
        inputs=list(function.input),
        outputs=list(function.output),
        stored={},
        declared={item.name: item.type for item in function.value_info},
    )


def _ordered(
    nodes: Sequence[NodeProto], given: set[str], around: Container[str]
) -> list[NodeProto]:
    makers = _makers(nodes, given)
    waiting: dict[str, list[int]] = defaultdict(list)
    missing = []
    for index, node in enumerate(nodes):
        names = {
            name
            for name in _read(node)
            if name in makers or (name not in given and name not in around)
        }
        missing.append(len(names))
        for name in names:
            waiting[name].append(index)
    ready = [index for index in range(len(nodes)) if not missing[index]]
    for index in ready:  # grows while it is read
        for name in nodes[index].output:
            for reader in waiting.pop(name, ()):
                missing[reader] -= 1
                if not missing[reader]:
                    ready.append(reader)
    if len(ready) < len(nodes):
        raise InputError(_reason(waiting, makers))
    return [nodes[index] for index in ready]


def _makers(nodes: Iterable[NodeProto], given: Container[str]) -> set[str]:
    makers: set[str] = set()
    for node in nodes:
        for name in filter(None, node.output):
            if name in makers or name in given:
                raise InputError(f"its graph makes the tensor {name[:80]!r} twice; export it again")
            makers.add(name)
    return makers


def _reason(waiting: Mapping[str, list[int]], makers: Container[str]) -> str:
    unmade = next((name for name in waiting if name not in makers), None)
    if unmade is not None:
        return f"its graph reads the tensor {unmade[:80]!r}, which no node makes; export it again"
    return f"its graph is a cycle through the tensor {min(waiting)[:80]!r}; export it again"


def _read(node: NodeProto) -> Iterator[str]:
    """The names that a node reads; its subgraphs', too, of what is around them."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from _outer_names(attribute.g)
        for graph in attribute.graphs:
            yield from _outer_names(graph)


def _outer_names(graph: GraphProto) -> set[str]:
    own = {item.name for item in (*graph.input, *graph.initializer)}
    own |= {sparse.values.name for sparse in graph.sparse_initializer}
    read = {item.name for item in graph.output if item.name}
    for node in graph.node:
        own.update(node.output)
        read.update(_read(node))
    return read - own
