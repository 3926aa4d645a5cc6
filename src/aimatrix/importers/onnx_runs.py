"""What a run of an ONNX Runtime session does: the operators of its model on inputs of its shapes.

The session's process leaves the structure of the model in the spool and counts runs by the shapes
of their inputs (`monitoring.agent.onnx_runtime`); here each of them becomes its operator calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.monitoring.agent.notice import notice
from aimatrix.monitoring.agent.onnx_runtime import DIALECT

#: combinations of a model and shapes that are kept ready: more than a service has buckets
_KEPT = 1024


def with_operators(raw: RawCall) -> RawCall:
    """The call itself; of a run of a model one that stands for the model's operators.

    A model that cannot be read leaves the run `unknown`, with the shapes of its inputs; one line
    tells why.
    """
    if raw.dialect != DIALECT:
        return raw
    arguments = raw.arguments
    parts, pairs = _operators(
        str(arguments.get("model") or ""),
        str(arguments.get("level", "all")),
        tuple(arguments.get("names", ())),
        tuple(arguments.get("inputs", ())),
    )
    return replace(raw, parts=parts, pairs=pairs)


@lru_cache(_KEPT)
def _operators(
    model: str, level: str, names: Sequence[str], inputs: Sequence[TensorArg]
) -> tuple[tuple[tuple[RawCall, int], ...], tuple[tuple[int, int, int], ...]]:
    if not model:
        return (), ()
    from aimatrix.importers.onnx import calls_of_run  # loads onnx, which the others do not need

    try:
        structure = Path(model).read_bytes()
        given = dict(zip(names, inputs, strict=True))
        device = inputs[0].device if inputs else "cpu"
        run = calls_of_run(structure, given, level, device)
        return tuple(run.calls), tuple(run.pairs)
    except (OSError, ValueError, InputError) as error:
        notice(f"runs of a model are counted without its operators: {error}")
        return (), ()
