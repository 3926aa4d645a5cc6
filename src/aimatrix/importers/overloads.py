"""Which overload of an operator a call is of, where a trace tells only the kinds of its inputs."""

from __future__ import annotations

from collections.abc import Sequence

from aimatrix.importers.schemas import Schema

#: kinds of inputs that are no single tensor
NO_TENSOR = ("", "Scalar", "ScalarList", "TensorList", "GenericList")


def fitting(overloads: Sequence[Schema], kinds: Sequence[str]) -> Schema | None:
    """The overload whose arguments are most like the inputs.

    kinds: a tensor's dtype, one of `NO_TENSOR` for others ("" for text, and what is not given).
    """
    candidates = [schema for schema in overloads if len(schema.types) == len(kinds)]
    return min(
        candidates,
        key=lambda schema: sum(map(_mismatch, schema.types, kinds)),
        default=None,
    )


def _mismatch(wanted: str, kind: str) -> int:
    """0: such an input is written so; 1: only one that cannot be told; 2: never."""
    if kind == "":
        return int(not wanted.startswith(("Optional", "str", "Device")))
    if "Tensor" in wanted:
        given = "TensorList" if "List[" in wanted else "Tensor"
        return 0 if given == (kind if kind in NO_TENSOR else "Tensor") else 2
    if kind not in ("Scalar", "ScalarList"):
        return 2
    return 0 if ("List[" in wanted) == (kind == "ScalarList") else 2
