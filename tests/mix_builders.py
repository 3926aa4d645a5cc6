"""Builders of a mix's benchmark made by hand, for the tests of every package."""

from __future__ import annotations

from aimatrix import ops
from aimatrix.analysis.likeness import sizes
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark, MixStage, MixSynthesis
from aimatrix.model.operators import BlockOperator


def linear(m: int, n: int, k: int) -> OpCall:
    """A linear layer with bias."""
    attributes = {"batch": 1, "m": m, "n": n, "k": k, "bias": True}
    return OpCall.create("matmul", "linear", attributes)


def gelu(*shape: int) -> OpCall:
    """An elementwise operator on one tensor."""
    return OpCall.create("elementwise", "gelu", {"inputs": (shape,)})


def _chained(number: int, call: OpCall) -> BlockOperator:
    sources: tuple[int | None, ...] = ops.alone(call)
    return BlockOperator.create(call, (number - 1, *sources[1:]) if number else sources)


def make_mix_stage(
    name: str, *calls: OpCall, repeats: int = 1, multiplicity: float = 1.0
) -> MixStage:
    """A stage that does what its target says; each operator takes what the one before puts out."""
    costs = [ops.cost(call) for call in calls]
    work = {
        "macs": repeats * sum(cost.macs or 0 for cost in costs),
        "bytes": repeats * sum(cost.bytes for cost in costs),
        "warps": repeats * sum(cost.warps or 0 for cost in costs),
    }
    return MixStage(
        name=name,
        operators=tuple(_chained(number, call) for number, call in enumerate(calls)),
        center=tuple(size for call in calls for size in sizes(call)),
        repeats=repeats,
        multiplicity=multiplicity,
        multiplicity_on_accelerators=2 * multiplicity,
        **work,
        target_calls=max(1, round(repeats * multiplicity)),
        **{f"target_{what}": round(multiplicity * done) for what, done in work.items()},
        fitness_error=0.0,
    )


def make_mix(*stages: MixStage) -> MixBenchmark:
    """A benchmark of these stages."""
    return MixBenchmark.create(
        dtype="float32",
        applications=2,
        stages=stages,
        synthesis=MixSynthesis(
            seed=0,
            rounds=1,
            estimated_error=0.01,
            estimated_reduction=10.0,
            profile_digest="0" * 64,
        ),
    )


def small_mix() -> MixBenchmark:
    """A linear layer with what follows it, twice; and an activation alone."""
    return make_mix(
        make_mix_stage("linear", linear(8, 32, 16), gelu(8, 32), repeats=2, multiplicity=3.0),
        make_mix_stage("gelu", gelu(4, 64), multiplicity=5.0),
    )
