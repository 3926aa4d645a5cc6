"""Reads the structure of an ONNX model, and what its inputs are."""

from __future__ import annotations

import mmap
from collections.abc import Iterator, Mapping
from pathlib import Path

from onnx import ModelProto, TypeProto, ValueInfoProto

from aimatrix.dialects.raw import TensorArg
from aimatrix.errors import InputError
from aimatrix.importers.onnx.values import Value, of_shape, of_type
from aimatrix.monitoring.agent.onnx_skeleton import skeleton

_LARGEST_SIZE = 2**31 - 1


def load(path: Path) -> ModelProto:
    """The structure of the model in a file. Raises InputError for another file."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return parse(skeleton(data))
    except OSError as error:
        raise InputError(f"cannot be read: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"is not an ONNX model ({error}); export it again") from error


def parse(structure: bytes) -> ModelProto:
    """The model that a skeleton is of. Raises InputError for anything else."""
    model = ModelProto()
    try:
        model.ParseFromString(structure)
    except Exception as error:  # protobuf's own kind, whose place differs between its versions
        raise InputError("is not an ONNX model; export it again") from error
    if not model.HasField("graph") or not model.graph.node:
        raise InputError("is not an ONNX model: it has no graph with nodes; export it again")
    if not model.opset_import:
        model.opset_import.add(domain="", version=1)
    _check_versions(model)
    return model


def _check_versions(model: ModelProto) -> None:
    """Refuse versions of operators that there cannot be: they would be looked for for ever."""
    for owner in (model, *model.functions):
        for opset in owner.opset_import:
            if opset.version < 0:
                raise InputError(
                    f"opset_import: {opset.version} is no version of operators; export it again"
                )


def fed(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs that a run is given: those of the graph that have no value of their own."""
    own = {tensor.name for tensor in model.graph.initializer}
    own |= {tensor.values.name for tensor in model.graph.sparse_initializer}
    return [item for item in model.graph.input if item.name not in own]


def given(model: ModelProto, inputs: Mapping[str, TensorArg]) -> dict[str, Value]:
    """The inputs of a run that was given tensors of these shapes; others are not known.

    Their dtypes are those that the model declares.
    """
    values = {item.name: _value(item.type, item) for item in fed(model)}
    declared = {item.name: item.type for item in model.graph.input}
    for name, argument in inputs.items():
        dtype = of_type(declared[name]).dtype if name in declared else argument.dtype
        value = of_shape(argument.shape, dtype, name)
        value.static = name in declared and not list(_open_axes(declared[name]))
        values[name] = value
    return values


def sized(model: ModelProto, dims: Mapping[str, int]) -> dict[str, Value]:
    """The inputs of a run where the model's free dimensions have these sizes.

    A dimension goes by its name, or as ``input.axis``. Raises InputError for one that is missing,
    that the model does not have, or that is no size.
    """
    for name, size in dims.items():
        if not 0 < size <= _LARGEST_SIZE:
            raise InputError(f"--dim {name}={size}: a size is from 1 to {_LARGEST_SIZE}")
    known: set[str] = set()
    values = {}
    for item in fed(model):
        bound = TypeProto()
        bound.CopyFrom(item.type)
        for axis, name in _open_axes(item.type):
            names = [name, f"{item.name}.{axis}"] if name else [f"{item.name}.{axis}"]
            known.update(names[:1])
            given_as = next((name for name in names if name in dims), None)
            known.update(names[1:] if names[-1] in dims else ())
            if given_as is None:
                raise InputError(
                    f"input {item.name!r}: the size of its dimension {axis} is not in the file;"
                    f" give it, for example --dim {names[0]}=1"
                )
            bound.tensor_type.shape.dim[axis].dim_value = dims[given_as]
        values[item.name] = _value(bound, item)
    unknown = sorted(set(dims) - known)
    if unknown:
        raise InputError(
            f"--dim {unknown[0]}={dims[unknown[0]]}: the model has no such dimension;"
            f" {'it has ' + ', '.join(sorted(known)) if known else 'all of its sizes are fixed'}"
        )
    return values


def _open_axes(kind: TypeProto) -> Iterator[tuple[int, str]]:
    """The dimensions whose size is not in the file, with their names."""
    for axis, dim in enumerate(kind.tensor_type.shape.dim):
        if dim.WhichOneof("value") != "dim_value":
            yield axis, dim.dim_param if isinstance(dim.dim_param, str) else ""


def _value(bound: TypeProto, declared: ValueInfoProto) -> Value:
    value = of_type(bound, declared.name)
    value.static = value.shape is not None and not list(_open_axes(declared.type))
    return value
