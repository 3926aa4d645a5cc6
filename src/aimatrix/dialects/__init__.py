"""Each framework's spellings of operators, as canonical calls: a package per dialect.

To add a dialect: its package with ``RULES`` and ``translate``, and a line in `DIALECTS`.
"""

from __future__ import annotations

from collections.abc import Callable

from aimatrix.dialects import aten, jax, onnx
from aimatrix.dialects.raw import RawCall
from aimatrix.model.calls import OpCall

#: name of a dialect -> how its calls become canonical; none of them ever fails
DIALECTS: dict[str, Callable[[RawCall], OpCall]] = {
    "aten": aten.translate,
    "onnx": onnx.translate,
    "jax": jax.translate,
}


def translate(raw: RawCall) -> OpCall:
    """The canonical call of an operator in any dialect; one of no known dialect is `unknown`."""
    return DIALECTS.get(raw.dialect, aten.translate)(raw)
