"""Collectives as JAX spells them, of one device; a mapped function counts once for each."""

from __future__ import annotations

from collections.abc import Callable

from aimatrix.dialects.operands import inputs, outputs
from aimatrix.dialects.rule import Arguments, Rule, Translation

#: primitive -> what PyTorch calls it; a permutation sends each device's array to another one
_KINDS = {
    "psum": "all_reduce",
    "psum_invariant": "all_reduce",
    "unreduced_psum": "all_reduce",
    "pmax": "all_reduce",
    "pmin": "all_reduce",
    "all_gather": "all_gather",
    "all_gather_invariant": "all_gather",
    "all_gather_reduced": "all_gather",
    "reduce_scatter": "reduce_scatter",
    "unreduced_reduce_scatter": "reduce_scatter",
    "all_to_all": "all_to_all",
    "ragged_all_to_all": "all_to_all",
    "pbroadcast": "broadcast",
    "ppermute": "send",
    "psend": "send",
    "precv": "recv",
}


def _collective(kind: str) -> Callable[[str, Arguments], Translation]:
    def translation(_: str, arguments: Arguments) -> Translation:
        return kind, {
            "inputs": inputs(arguments),
            "outputs": outputs(arguments),
            "group_size": arguments.get("group_size"),
        }

    return translation


def _waited(_: str, arguments: Arguments) -> Translation:
    return "view", {"inputs": inputs(arguments)[:1] or [()]}


RULES: dict[str, Rule] = {
    **{name: Rule("collective", _collective(kind)) for name, kind in _KINDS.items()},
    **{f"{name}_start": Rule("collective", _collective(kind)) for name, kind in _KINDS.items()},
    **{f"{name}_done": Rule("movement", _waited) for name in _KINDS},
}
