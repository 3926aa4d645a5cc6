"""Dtypes of which several elements are packed in a byte."""

from __future__ import annotations

import pytest

from aimatrix import ops
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.ops.dtypes import bits, itemsize


@pytest.mark.parametrize(
    ("dtype", "elements", "size"),
    [
        ("int4", 16, 8),
        ("uint4", 15, 8),
        ("float4_e2m1fn", 2, 1),
        ("int2", 16, 4),
        ("uint2", 5, 2),
        ("int8", 5, 5),
    ],
)
def test_elements_take_their_part_of_a_byte(dtype: str, elements: int, size: int) -> None:
    call = OpCall.create("movement", "copy", {"inputs": [(elements,)]}, dtype=dtype)
    assert (ops.cost(call).bytes_read, ops.cost(call).bytes_written) == (size, size)


def test_indices_into_packed_elements_are_whole_numbers() -> None:
    attributes = {"inputs": [(4, 6)], "outputs": [(4, 6)], "indices": 4}
    call = OpCall.create("indexing", "index_select", attributes, dtype="int4")
    assert ops.cost(call).bytes_read == 12 + 4 * 8
    assert ops.cost(call).bytes_written == 12


def test_multiply_adds_and_warps_are_those_of_any_dtype() -> None:
    attributes = {"batch": 1, "m": 8, "n": 8, "k": 8, "bias": False}
    packed, whole = (
        ops.cost(OpCall.create("matmul", "mm", attributes, dtype=dtype))
        for dtype in ("int4", "int8")
    )
    assert (packed.macs, packed.warps) == (whole.macs, whole.warps) == (512, whole.warps)
    assert 2 * packed.bytes == whole.bytes


def test_a_dtype_of_less_than_a_byte_has_bits_and_no_bytes() -> None:
    assert bits("int4") == 4
    assert bits("bfloat16") == 16
    with pytest.raises(InputError, match="int4"):
        itemsize("int4")
    with pytest.raises(InputError, match="float5"):
        bits("float5")
