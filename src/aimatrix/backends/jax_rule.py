"""What the rules for ONNX operators in JAX have in common: how one looks, and what it is told."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

Array = Any
#: of a node: its inputs, None where one is left out, and its attributes
Rule = Callable[[Sequence[Array], Mapping[str, Any]], Any]


def whole_numbers(value: Array) -> tuple[int, ...]:
    """A shape, axes or the like, which have to be known beforehand."""
    return tuple(int(each) for each in np.asarray(value).reshape(-1))
