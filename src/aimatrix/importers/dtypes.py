"""The names of dtypes in traces, which are those of C++, as torch's own."""

from __future__ import annotations

#: C++ names that differ from torch's
_DTYPES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "unsigned char": "uint8",
    "signed char": "int8",
    "short": "int16",
    "short int": "int16",
    "unsigned short": "uint16",
    "short unsigned int": "uint16",
    "int": "int32",
    "unsigned int": "uint32",
    "long": "int64",
    "long int": "int64",
    "long long": "int64",
    "unsigned long": "uint64",
    "long unsigned int": "uint64",
    "unsigned long long": "uint64",
    "complex<half>": "complex32",
    "complex<float>": "complex64",
    "complex<double>": "complex128",
}


def torch_dtype(name: str) -> str:
    """torch's name of a dtype that a trace calls ``float``, ``c10::Half`` or ``long int``."""
    plain = name.replace("c10::", "").lower()
    return _DTYPES.get(plain, plain)
