"""From all operators of a profile to a benchmark of the mix: what it keeps, and that it repeats."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from aimatrix import ops
from aimatrix.errors import InputError
from aimatrix.model.block import Block
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark
from aimatrix.model.profile import Coverage, OperatorCount, Profile
from aimatrix.ops.blocks import single
from aimatrix.synthesis.condense import Mix, condense
from aimatrix.synthesis.machines import MACHINES, seconds, sort_of
from aimatrix.synthesis.mix import MOST_ERROR, own_dtype, synthesize_mix
from aimatrix.synthesis.widths import Target, find_widths


def linear(m: int, n: int, k: int) -> OpCall:
    attributes = {"batch": 1, "m": m, "n": n, "k": k, "bias": True}
    return OpCall.create("matmul", "linear", attributes)


def gelu(*shape: int) -> OpCall:
    return OpCall.create("elementwise", "gelu", {"inputs": (shape,)})


def view(*shape: int) -> OpCall:
    return OpCall.create("movement", "view", {"inputs": (shape,)})


def transformers() -> dict[OpCall, int]:
    """The larger operators of a dozen of transformers of like widths."""
    counts: dict[OpCall, int] = {}
    for number, width in enumerate(range(512, 1088, 48)):
        for call, count in (
            (linear(128, 4 * width, width), 12),
            (linear(128, width, 4 * width), 12),
            (linear(128, width, width), 48),
            (gelu(1, 128, 4 * width), 12),
            (view(1, 128, width), 200),
        ):
            counts[call] = counts.get(call, 0) + count + number
    return counts


def profile_of(counts: dict[OpCall, int]) -> Profile:
    operators = tuple(
        OperatorCount(
            family=call.family,
            kind=call.kind,
            attributes=dict(call.attributes),
            dtype=call.dtype,
            phase=call.phase,
            calls=count,
        )
        for call, count in counts.items()
    )
    share = {"calls": 0.0, "macs": 0.0, "bytes": 0.0, "calls_without_macs": 0}
    return Profile.create(
        since="2026-01-01T00:00:00Z",
        until="2026-01-02T00:00:00Z",
        applications=12,
        hosts=1,
        calls=sum(counts.values()),
        dtype="float32",
        split_groups=False,
        groups=(),
        other=(),
        unknown=(),
        coverage=Coverage(**share),
        operators=operators,
    )


def synthesize(counts: dict[OpCall, int], reduction: float | None = None) -> MixBenchmark:
    return synthesize_mix(profile_of(counts), "0" * 64, reduction=reduction)


def alone(calls: Iterable[OpCall]) -> np.ndarray:
    """Seconds of each call, a block of its own, on each machine."""
    return seconds([single(call) for call in calls])


def real_seconds(counts: dict[OpCall, int]) -> np.ndarray:
    return alone(counts) @ np.array(list(counts.values()), dtype=float)


def predicted_seconds(benchmark: MixBenchmark) -> np.ndarray:
    once = seconds([stage.block for stage in benchmark.stages])
    parts = []
    for device in ("cpu", "cuda"):
        executions = [stage.multiplicity_on(device) * stage.repeats for stage in benchmark.stages]
        parts.append(once[sort_of(device)] @ np.array(executions))
    return np.concatenate(parts)


def pass_seconds(benchmark: MixBenchmark) -> np.ndarray:
    repeats = [float(stage.repeats) for stage in benchmark.stages]
    return seconds([stage.block for stage in benchmark.stages]) @ np.array(repeats)


def test_by_default_it_predicts_the_mix_on_every_imagined_machine() -> None:
    counts = transformers()
    benchmark = synthesize(counts)
    assert benchmark.synthesis.estimated_error <= MOST_ERROR
    errors = predicted_seconds(benchmark) / real_seconds(counts) - 1
    assert np.abs(errors).max() <= 2 * MOST_ERROR
    assert (real_seconds(counts) / pass_seconds(benchmark)).min() > 20
    assert len(benchmark.stages) < len(counts)


@pytest.mark.parametrize("reduction", [5, 20])
def test_it_is_as_short_as_is_asked_for(reduction: float) -> None:
    counts = transformers()
    benchmark = synthesize(counts, reduction)
    assert benchmark.synthesis.estimated_reduction >= reduction
    once = real_seconds(counts) / benchmark.synthesis.rounds
    shorter = np.exp(np.log(once / pass_seconds(benchmark)).mean())
    assert shorter == pytest.approx(benchmark.synthesis.estimated_reduction, rel=0.3)


def test_every_call_is_in_the_target_of_one_stage() -> None:
    counts = transformers()
    benchmark = synthesize(counts)
    assert sum(stage.target_calls for stage in benchmark.stages) == sum(counts.values())
    macs = sum((ops.cost(call).macs or 0) * count for call, count in counts.items())
    assert sum(stage.target_macs for stage in benchmark.stages) == macs
    done = sum(stage.macs * stage.multiplicity for stage in benchmark.stages)
    assert done == pytest.approx(macs, rel=0.1)


def test_stages_state_what_they_do() -> None:
    for stage in synthesize(transformers()).stages:
        cost = ops.cost(stage.calls[0])
        assert stage.macs == stage.repeats * (cost.macs or 0)
        assert stage.bytes == stage.repeats * cost.bytes
        assert stage.warps == stage.repeats * (cost.warps or 0)


def test_one_operator_alone_is_its_own_benchmark() -> None:
    call = linear(128, 768, 768)
    benchmark = synthesize({call: 24})
    assert [stage.calls[0].kind for stage in benchmark.stages] == ["linear"]
    errors = predicted_seconds(benchmark) / real_seconds({call: 24}) - 1
    assert np.abs(errors).max() <= 2 * MOST_ERROR


def test_a_longer_log_gives_the_same_stages() -> None:
    counts = transformers()
    once, often = (
        synthesize({call: count * times for call, count in counts.items()}) for times in (1, 100)
    )
    assert [stage.operators for stage in once.stages] == [stage.operators for stage in often.stages]
    assert often.synthesis.rounds == 100 * once.synthesis.rounds
    shorter = (once.synthesis.estimated_reduction, often.synthesis.estimated_reduction)
    assert shorter[0] == pytest.approx(shorter[1])


def test_what_takes_no_time_has_no_stage() -> None:
    heavy, light = linear(1024, 4096, 4096), gelu(8)
    kinds = [stage.calls[0].kind for stage in synthesize({heavy: 1000, light: 1}).stages]
    assert kinds == ["linear"]


def test_a_profile_without_operators_says_so() -> None:
    with pytest.raises(InputError, match="no operators; analyze the log again"):
        synthesize({})


def test_condensing_goes_from_the_mix_as_it_is_to_a_few_operators() -> None:
    mix = Mix([(single(call), count) for call, count in transformers().items()])
    curve = list(condense(mix))
    assert curve[0].error == pytest.approx(0, abs=1e-9)
    assert len(curve[0].clusters) == len(mix.members)
    reductions = [point.reduction for point in curve]
    assert reductions == sorted(reductions)
    assert curve[-1].reduction > 5 * curve[0].reduction
    members = [len(cluster.members) for cluster in curve[-1].clusters]
    assert sum(members) == len(mix.members)


def test_rounds_are_counted_by_operators_however_they_are_split_into_blocks() -> None:
    product, follows = linear(512, 1024, 1024), gelu(1, 512, 1024)
    joined = Block((product, follows), ((None, None, None), (0,)))
    assert Mix([(joined, 10)]).rounds == 10
    assert Mix([(joined, 7), (single(product), 3), (single(follows), 3)]).rounds == 10


def test_equal_operators_keep_the_sizes_that_are_not_repeated() -> None:
    attributes = {"steps": 100, "batch": 2, "rows": 200, "input_size": 1312, "hidden_size": 256}
    more = {"proj_size": 0, "layers": 3, "bidirectional": True, "bias": True}
    layer = OpCall.create("recurrent", "gru", {**attributes, **more})
    (stage,) = synthesize({layer: 10}, 4).stages
    assert stage.calls[0]["steps"] < 100
    assert stage.calls[0]["hidden_size"] == 256
    assert stage.calls[0]["batch"] == 2


def test_unlike_operators_are_never_joined() -> None:
    calls = (linear(128, 768, 768), gelu(128, 768), view(128, 768))
    mix = Mix([(single(call), 5) for call in calls])
    assert len(list(condense(mix))[-1].clusters) == 3


def test_the_search_meets_what_its_kind_can_do() -> None:
    wanted = [linear(128, 1024, 768), linear(96, 900, 512)]
    each = alone(wanted).sum(axis=1)
    costs = [ops.cost(call) for call in wanted]
    target = Target(
        each,
        sum(cost.macs or 0 for cost in costs),
        sum(cost.bytes for cost in costs),
        sum(cost.warps or 0 for cost in costs),
        most=alone([wanted[0]])[:, 0],
    )
    start = single(wanted[0])
    found, error = find_widths(start, target, np.random.default_rng(0))
    assert error < 0.02
    assert error <= target.errors([start])[0]
    assert (seconds([found])[:, 0] <= 1.02 * target.most).all()


def test_a_machine_takes_longer_for_more_work() -> None:
    small, large = alone([linear(64, 256, 256), linear(128, 512, 512)]).T
    assert (large > small).all()
    assert len(MACHINES) == len(small)


def lstm(steps: int) -> OpCall:
    attributes = {
        "batch": 8,
        "steps": steps,
        "rows": 8 * steps,
        "input_size": 64,
        "hidden_size": 64,
        "proj_size": 0,
        "layers": 1,
        "bidirectional": False,
        "bias": True,
    }
    return OpCall.create("recurrent", "lstm", attributes)


def test_a_recurrent_layer_pays_for_the_launch_of_each_step() -> None:
    few, many = alone([lstm(4), lstm(400)]).T
    launch = np.array([machine.launch for machine in MACHINES])
    assert (many - few >= 396 * launch).all()


def test_products_with_a_vector_are_not_joined_with_others() -> None:
    mix = Mix([(single(linear(m, 2048, 2048)), 5) for m in (1, 2)])
    assert len(list(condense(mix))[-1].clusters) == 2


def test_the_same_bits_under_another_hash_seed(tmp_path: Path) -> None:
    script = tmp_path / "make.py"
    script.write_text(
        "import sys\n"
        f"sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from test_mix import synthesize, transformers\n"
        "counts = transformers()\n"
        "if sys.argv[1] == 'backwards':\n"
        "    counts = dict(reversed(counts.items()))\n"
        "stages = synthesize(counts).stages\n"
        "print([stage.model_dump_json() for stage in stages])\n"
    )
    outputs = {
        subprocess.run(
            [sys.executable, script, order],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed, order in (("1", "forwards"), ("2", "backwards"))
    }
    assert len(outputs) == 1
    assert outputs.pop().strip() == str(
        [stage.model_dump_json() for stage in synthesize(transformers()).stages]
    )


def test_a_compiler_joins_what_follows_but_no_second_product() -> None:
    """On machines that fuse, a follower costs no launch; what multiplies keeps its own."""
    first, after = linear(128, 768, 768), gelu(1, 128, 768)
    chain = Block((first, after, first), ((None,) * 3, (0,), (1, None, None)))
    together, alone_first, alone_after = seconds([chain, single(first), single(after)]).T
    fuses = np.array([machine.fuses for machine in MACHINES])
    launch = np.array([machine.launch for machine in MACHINES])
    apart = 2 * alone_first + alone_after
    assert (together[fuses] <= apart[fuses] - launch[fuses]).all()
    assert (together >= 2 * launch).all()
    assert (together[~fuses] >= apart[~fuses] - 1e-3 * apart[~fuses]).all()


def cast(counts: dict[OpCall, int], dtype: str) -> list[tuple[Block, int]]:
    return [(single(call.with_dtype(dtype)), count) for call, count in counts.items()]


def test_a_mix_under_autocast_is_one_of_float32() -> None:
    products, rest = {linear(128, 512, 512): 9}, {gelu(1, 128, 512): 9}
    assert own_dtype([*cast(products, "bfloat16"), *cast(rest, "float32")]) == "float32"


def test_a_mix_in_less_than_float32_is_one_of_that() -> None:
    large, small = {linear(128, 4096, 4096): 9}, {gelu(1, 128): 1}
    assert own_dtype([*cast(large, "bfloat16"), *cast(small, "float32")]) == "bfloat16"
    assert own_dtype(cast(small, "int64")) == "float32"
