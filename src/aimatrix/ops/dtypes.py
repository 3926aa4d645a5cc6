"""Bytes, and of packed dtypes bits, that an element of each dtype takes."""

from aimatrix.errors import InputError

_ITEMSIZE = {
    "float64": 8,
    "float32": 4,
    "bfloat16": 2,
    "float16": 2,
    "float8_e4m3fn": 1,
    "float8_e4m3fnuz": 1,
    "float8_e5m2": 1,
    "float8_e5m2fnuz": 1,
    "float8_e8m0fnu": 1,
    "float4_e2m1fn_x2": 1,  # two in an element
    "complex32": 4,
    "complex64": 8,
    "complex128": 16,
    "int64": 8,
    "int32": 4,
    "int16": 2,
    "int8": 1,
    "uint64": 8,
    "uint32": 4,
    "uint16": 2,
    "uint8": 1,
    "bool": 1,
    "qint8": 1,
    "quint8": 1,
    "qint32": 4,
    "quint4x2": 1,  # as torch counts: an element is a byte
    "quint2x4": 1,
    "none": 0,  # a call that took no tensor
}


#: dtypes of less than a byte -> bits of an element; two or four are packed in a byte
_BITS = {"int4": 4, "uint4": 4, "float4_e2m1fn": 4, "int2": 2, "uint2": 2}

#: bytes of an index into a tensor (int64), whatever the dtype of the tensor
INDEX_BYTES = 8


def itemsize(dtype: str) -> int:
    """Bytes per element of ``dtype``. Raises InputError for one of less than a byte, or unknown."""
    if dtype not in _ITEMSIZE:
        raise InputError(f"unknown dtype {dtype!r}")
    return _ITEMSIZE[dtype]


def bits(dtype: str) -> int:
    """Bits per element of ``dtype``. Raises InputError for a dtype that is not known."""
    return _BITS[dtype] if dtype in _BITS else 8 * itemsize(dtype)
