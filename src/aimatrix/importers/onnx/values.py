"""Tensors that flow through an ONNX graph: their type and, of small ones, what is in them."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import TensorProto, TypeProto, helper, numpy_helper

from aimatrix.dialects.raw import TensorArg
from aimatrix.errors import InputError
from aimatrix.importers.shapes import is_possible

if TYPE_CHECKING:
    from aimatrix.importers.onnx.steps import Step

#: elements of a tensor whose contents are followed: more than any list of sizes or axes has
FOLLOWED = 1024
_MOST_AXES = 64

#: ONNX's types of elements, as torch calls them; texts have no size
DTYPES: dict[int, str] = {
    TensorProto.FLOAT: "float32",
    TensorProto.UINT8: "uint8",
    TensorProto.INT8: "int8",
    TensorProto.UINT16: "uint16",
    TensorProto.INT16: "int16",
    TensorProto.INT32: "int32",
    TensorProto.INT64: "int64",
    TensorProto.STRING: "string",
    TensorProto.BOOL: "bool",
    TensorProto.FLOAT16: "float16",
    TensorProto.DOUBLE: "float64",
    TensorProto.UINT32: "uint32",
    TensorProto.UINT64: "uint64",
    TensorProto.COMPLEX64: "complex64",
    TensorProto.COMPLEX128: "complex128",
    TensorProto.BFLOAT16: "bfloat16",
    17: "float8_e4m3fn",
    18: "float8_e4m3fnuz",
    19: "float8_e5m2",
    20: "float8_e5m2fnuz",
    21: "uint4",
    22: "int4",
    23: "float4_e2m1fn",
    24: "float8_e8m0fnu",
    25: "uint2",
    26: "int2",
}
_ELEMENT_TYPES = {name: number for number, name in DTYPES.items()}


@dataclass(slots=True, eq=False)
class Value:
    """A tensor, or a sequence, map or optional one, between two operators.

    shape: None where a dimension is not known. data: its contents where they are known and few.
    constant: made once, when the model is loaded. static: the file alone tells the shape.
    producer: the operator that makes it.
    """

    type: TypeProto
    shape: tuple[int, ...] | None
    data: np.ndarray[Any, Any] | None = None
    constant: bool = False
    static: bool = False
    producer: Step | None = None

    @property
    def dtype(self) -> str:
        """Torch's name of its elements' type; empty where that is not known."""
        return DTYPES.get(self.type.tensor_type.elem_type, "")

    def argument(self, device: str) -> TensorArg | None:
        """As an operand of a call; None unless shape and dtype are known."""
        if self.shape is None or not self.dtype:
            return None
        return TensorArg(self.shape, self.dtype, device)


def of_type(kind: TypeProto, name: str = "") -> Value:
    """A tensor of that type, of which nothing more is known. name: for an error to tell."""
    return Value(kind, shape_of(kind, name))


def of_shape(shape: tuple[int, ...], dtype: str, name: str = "") -> Value:
    """A tensor of that shape, whose dtype is called so by torch. name: for an error to tell."""
    kind = TypeProto()
    kind.tensor_type.elem_type = _ELEMENT_TYPES.get(dtype, 0)
    kind.tensor_type.shape.SetInParent()
    for size in shape:
        kind.tensor_type.shape.dim.add().dim_value = size
    return Value(kind, shape_of(kind, name))


def of_array(array: np.ndarray[Any, Any]) -> Value:
    """A tensor that holds ``array``."""
    value = of_shape(array.shape, DTYPES[helper.np_dtype_to_tensor_dtype(array.dtype)])
    value.data = array if array.size <= FOLLOWED else None
    return value


def stored(tensor: TensorProto) -> Value:
    """A constant of the file, with its contents where the skeleton has kept them."""
    value = of_shape(tuple(tensor.dims), DTYPES.get(tensor.data_type, ""), tensor.name)
    value.constant = value.static = True
    if value.shape is not None and prod(value.shape) <= FOLLOWED:
        value.data = contents(tensor)
    return value


def contents(tensor: TensorProto) -> np.ndarray[Any, Any] | None:
    """What is in a tensor; None where it has been left out, or is no numbers."""
    if tensor.data_type == TensorProto.STRING:
        return None
    try:
        array: np.ndarray[Any, Any] = numpy_helper.to_array(tensor)
    except Exception:  # as many kinds as there are ways to write a tensor wrongly
        return None
    return array


def shape_of(kind: TypeProto, name: str = "") -> tuple[int, ...] | None:
    """The sizes of a type of tensors; None unless all are known.

    Raises InputError for sizes that no tensor has.
    """
    if kind.WhichOneof("value") != "tensor_type" or not kind.tensor_type.HasField("shape"):
        return None
    dims = kind.tensor_type.shape.dim
    if len(dims) > _MOST_AXES:
        raise InputError(f"its tensor {name[:80]!r} has {len(dims)} dimensions; export it again")
    if any(dim.WhichOneof("value") != "dim_value" for dim in dims):
        return None
    shape = tuple(int(dim.dim_value) for dim in dims)
    if not is_possible(shape):
        raise InputError(
            f"its tensor {name[:80]!r} has the shape {list(shape)}, which no tensor has;"
            " export it again"
        )
    return shape
