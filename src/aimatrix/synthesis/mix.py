"""Makes a benchmark of a whole mix: clusters of like operators, and what stands for each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import count

import numpy as np

from aimatrix import ops
from aimatrix.analysis.likeness import sizes_of_block
from aimatrix.errors import InputError
from aimatrix.model.block import Block
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark, MixStage, MixSynthesis
from aimatrix.model.operators import block_operators
from aimatrix.model.profile import Profile
from aimatrix.ops import blocks
from aimatrix.ops.convolution import is_depthwise
from aimatrix.synthesis.condense import Cluster, Condensed, Mix, condense
from aimatrix.synthesis.widths import Target, find_widths

#: the own estimate of its error that a benchmark may have by default
MOST_ERROR = 0.03
#: operators that are left out, being together a smaller share of the mix's time than this
NEGLIGIBLE = 1e-3
#: share of a mix's bytes in float32 from which on it counts as written in it
FLOAT32_SHARE = 0.05


def synthesize_mix(
    profile: Profile, digest: str, *, reduction: float | None = None, seed: int = 0
) -> MixBenchmark:
    """The benchmark of ``profile``, whose digest is ``digest``.

    reduction: how many times shorter than a round of the mix a pass is to be, by the imagined
    machines; by default as short as the own estimate of its error stays under `MOST_ERROR`. Raises
    InputError for a profile that holds no operators.
    """
    counts = [(item.block, item.calls) for item in profile.blocks]
    if not counts:
        counts = [(blocks.single(item.call), item.calls) for item in profile.operators]
    if not counts:
        raise InputError("the profile holds no operators; analyze the log again")
    return mix_of(
        counts,
        dtype=own_dtype(counts),
        applications=profile.applications,
        digest=digest,
        reduction=reduction,
        seed=seed,
    )


def own_dtype(counts: Sequence[tuple[Block, int]]) -> str:
    """The dtype in which applications were written: what a platform runs in its own dtype.

    That is float32 where enough is (`FLOAT32_SHARE` of the bytes of floating point): autocast casts
    from there what it likes, on any platform. Else it is what moves the most bytes.
    """
    moved: Counter[str] = Counter()
    for block, number in counts:
        for call in block.calls:
            if call.dtype.startswith(("float", "bfloat")):
                moved[call.dtype] += number * ops.cost(call).bytes
    if moved["float32"] >= FLOAT32_SHARE * moved.total():
        return "float32"
    return max(sorted(moved), key=lambda dtype: moved[dtype])


def mix_of(
    counts: Sequence[tuple[Block, int]],
    *,
    dtype: str,
    applications: int,
    digest: str,
    reduction: float | None = None,
    seed: int = 0,
) -> MixBenchmark:
    """The benchmark of these blocks, each with how often it ran; else as `synthesize_mix`."""
    mix = Mix(counts)
    chosen = _choose(mix, reduction)
    names = _Names()
    stages = [
        _stage(cluster, mix.rounds, names, np.random.default_rng([seed, number]))
        for number, cluster in enumerate(_without_negligible(chosen.by_share()))
    ]
    return MixBenchmark.create(
        dtype=dtype,
        applications=applications,
        stages=tuple(stages),
        synthesis=MixSynthesis(
            seed=seed,
            rounds=mix.rounds,
            estimated_error=chosen.error,
            estimated_reduction=chosen.reduction,
            profile_digest=digest,
        ),
    )


def _choose(mix: Mix, reduction: float | None) -> Condensed:
    """The first that is as short as ``reduction`` asks, or the last that is good enough."""
    best: Condensed | None = None
    for condensed in condense(mix):
        if reduction is None and best is not None and condensed.error > MOST_ERROR:
            break
        best = condensed
        if reduction is not None and condensed.reduction >= reduction:
            break
    assert best is not None  # there is one at least: the mix as it is
    return best


def _without_negligible(found: Sequence[Cluster]) -> list[Cluster]:
    """All clusters but the last ones, as long as these are negligible together."""
    kept = list(found)
    left_out = 0.0
    while len(kept) > 1:
        left_out += sum(member.share for member in kept[-1].members)
        if left_out > NEGLIGIBLE:
            break
        kept.pop()
    return kept


def _stage(cluster: Cluster, rounds: int, names: _Names, rng: np.random.Generator) -> MixStage:
    macs, moved, warps = (cluster.total(what) for what in ("macs", "bytes", "warps"))
    # of a round, so that the search is the same for a longer log
    target = Target(
        cluster.seconds,
        macs / rounds,
        moved / rounds,
        warps / rounds,
        most=cluster.each,
    )
    block, error = _fitted(cluster, target, rng)
    cost = blocks.cost(block)
    executions = rounds / cluster.repeats
    return MixStage(
        name=names.take(block),
        operators=block_operators(block),
        center=sizes_of_block(cluster.center),
        repeats=cluster.repeats,
        multiplicity=target.times(block, "cpu") * executions,
        multiplicity_on_accelerators=target.times(block, "cuda") * executions,
        macs=(cost.macs or 0) * cluster.repeats,
        bytes=cost.bytes * cluster.repeats,
        warps=(cost.warps or 0) * cluster.repeats,
        target_calls=cluster.calls,
        target_macs=macs,
        target_bytes=moved,
        target_warps=warps,
        fitness_error=error,
    )


def _fitted(cluster: Cluster, target: Target, rng: np.random.Generator) -> tuple[Block, float]:
    """What is to stand for a cluster, and its fitness error; for equal ones, no other sizes."""
    if len(cluster.members) == 1:
        return cluster.block, target.errors([cluster.block])[0]
    return find_widths(cluster.block, target, rng)


class _Names:
    """Names of stages by what they do; the second of one name has a 2 behind."""

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def take(self, block: Block) -> str:
        """A name that no stage has yet."""
        phase = block.calls[0].phase
        words = [_word(call) for call in block.calls] + ([phase] if phase != "forward" else [])
        plain = " ".join(words).replace("::", " ")[:56]
        name = next(
            name
            for number in count(1)
            if (name := plain if number == 1 else f"{plain} {number}") not in self._taken
        )
        self._taken.add(name)
        return name


def _word(call: OpCall) -> str:
    """What a call does, in a word: ``conv3x3`` for a convolution with that filter."""
    if call.family == "convolution":
        sides = "x".join(map(str, call["kernel_size"]))
        return call.kind.replace("conv", "dwconv" if is_depthwise(call) else "conv") + f"-{sides}"
    return call.kind
