"""From a profile to a benchmark: how well it fits, and that it is the same everywhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from architectures import PROFILES, conv, profile_of, resnet50, unet, vgg16

from aimatrix.errors import InputError
from aimatrix.model.benchmark import Benchmark
from aimatrix.model.profile import Group, Profile
from aimatrix.reference import published_tables
from aimatrix.store import documents
from aimatrix.synthesis.synthesize import synthesize_benchmark
from aimatrix.synthesis.template import MAX_LAYERS

MATCH = 1e-4
#: those that take seconds are searched with one seed
SLOW = ("two batches", "uneven calls and batches", "a mixed fleet")


def synthesize(profile: Profile, search: str = "default", seed: int = 0) -> Benchmark:
    return synthesize_benchmark(profile, "0" * 64, search=search, seed=seed)[0]


def assert_consistent(benchmark: Benchmark, profile: Profile) -> None:
    """Whatever the errors are, they are stated as they are."""
    assert [stage.center for stage in benchmark.stages] == [g.center for g in profile.groups]
    for stage, group in zip(benchmark.stages, profile.groups, strict=True):
        assert (stage.target_macs, stage.target_warps) == (group.macs, group.warps)
        assert stage.macs == sum(layer.macs for layer in stage.layers)
        assert stage.warps == sum(layer.warps for layer in stage.layers)
        errors = [
            abs(stage.multiplicity * stage.macs - group.macs) / group.macs,
            abs(stage.multiplicity * stage.warps - group.warps) / group.warps,
        ]
        assert stage.fitness_error == pytest.approx(sum(errors) / 2)
        calls = len(stage.layers) * stage.multiplicity * benchmark.batch
        if stage.fitness_error <= MATCH:
            assert calls == pytest.approx(group.calls * group.batch)
        else:  # multiplicity may have been moved to make up for what widths cannot do
            assert min(errors) == pytest.approx(0, abs=1e-9) or calls == pytest.approx(
                group.calls * group.batch
            )
    # and the file says the same
    assert Benchmark.model_validate_json(benchmark.model_dump_json()) == benchmark


@pytest.mark.parametrize(
    ("name", "seed"),
    [(name, seed) for name in PROFILES for seed in range(1 if name in SLOW else 3)],
)
def test_default_search_matches_every_group(name: str, seed: int) -> None:
    profile = PROFILES[name]()
    benchmark = synthesize(profile, seed=seed)
    assert_consistent(benchmark, profile)
    assert max(stage.fitness_error for stage in benchmark.stages) <= MATCH


def test_the_plain_shapes_of_the_classic_networks_are_the_published_ones() -> None:
    macs = [group.macs for group in PROFILES["classic"]().groups]
    assert macs[:4] == [group.macs for group in published_tables().classic[:4]]


def test_poster_search_comes_near_on_the_classic_networks() -> None:
    profile = PROFILES["classic"]()
    benchmark = synthesize(profile, "poster")
    assert_consistent(benchmark, profile)
    assert max(stage.fitness_error for stage in benchmark.stages) < 0.005
    assert benchmark.synthesis.search == "poster"


def test_widths_are_round_where_that_is_a_match() -> None:
    benchmark = synthesize(profile_of(vgg16()))
    widths = [layer.out_channels for stage in benchmark.stages for layer in stage.layers]
    assert sum(width % 8 == 0 for width in widths) > len(widths) / 2


@pytest.mark.parametrize("models", [(resnet50, vgg16), (unet,)])
def test_a_thousand_inferences_give_the_model_of_one(models: tuple) -> None:  # type: ignore[type-arg]
    once = synthesize(profile_of(*(model() for model in models)))
    often = synthesize(profile_of(*(model() for model in models), inferences=1000))
    for one, many in zip(once.stages, often.stages, strict=True):
        assert one.layers == many.layers
        assert many.multiplicity == pytest.approx(1000 * one.multiplicity)


def test_a_large_group_becomes_a_small_stage_with_all_its_filters() -> None:
    calls = [conv(28, 64, 64 + number, kernel) for number in range(60) for kernel in (1, 3)]
    profile = profile_of([*calls, conv(28, 8, 8, 5)])
    benchmark = synthesize(profile)
    [stage] = benchmark.stages
    assert_consistent(benchmark, profile)
    assert len(stage.layers) <= MAX_LAYERS
    assert {layer.kernel_size for layer in stage.layers} == {(1, 1), (3, 3), (5, 5)}
    assert stage.fitness_error <= MATCH


def test_kernels_larger_than_the_input_get_the_padding_that_they_need() -> None:
    # most of the group's work is at 3 x 3, where an unpadded 7 x 7 kernel has no place
    profile = profile_of([conv(3, 512, 512, 3), conv(5, 4, 4, 5, 2, padding=0)])
    [stage] = synthesize(profile).stages
    [branch] = stage.branches
    assert stage.input_size == (3, 3)
    assert branch.padding == (2, 2)


@pytest.mark.parametrize("change", [{"warps": 1}, {"macs": 10**18}, {"batch": 3.4}])
def test_what_cannot_be_met_is_stated_as_it_is(change: dict[str, float]) -> None:
    profile = PROFILES["one layer"]()
    group = Group.model_validate({**profile.groups[0].model_dump(), **change})
    profile = profile.model_copy(update={"groups": (group,)})
    benchmark = synthesize(profile)
    assert_consistent(benchmark, profile)


def test_a_profile_without_groups_is_refused() -> None:
    profile = PROFILES["one layer"]().model_copy(update={"groups": ()})
    with pytest.raises(InputError, match="no group"):
        synthesize(profile)


def test_measured_warps_are_named() -> None:
    profile = PROFILES["one layer"]()
    group = profile.groups[0].model_copy(update={"warps_kind": "measured"})
    benchmark = synthesize(profile.model_copy(update={"groups": (group,)}))
    assert benchmark.synthesis.warps_kind == "measured"


@pytest.mark.parametrize("search", ["default", "poster"])
def test_another_process_finds_the_same_bytes(search: str, tmp_path: Path) -> None:
    documents.save(PROFILES["alexnet"](), tmp_path / "profile.json")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from aimatrix.model.profile import Profile\n"
        "from aimatrix.store import documents\n"
        "from aimatrix.synthesis.synthesize import synthesize_benchmark\n"
        "folder, search, name = Path(sys.argv[1]), sys.argv[2], sys.argv[3]\n"
        "profile = documents.load(Profile, folder / 'profile.json')\n"
        "digest = documents.digest(profile)\n"
        "made, _ = synthesize_benchmark(profile, digest, search=search, seed=5)\n"
        "documents.save(made, folder / name)\n"
    )
    for seed in ("1", "2"):
        subprocess.run(
            [sys.executable, "-c", program, str(tmp_path), search, f"benchmark-{seed}.json"],
            env={**os.environ, "PYTHONHASHSEED": seed, "OMP_NUM_THREADS": seed},
            check=True,
        )
    first, second = ((tmp_path / f"benchmark-{seed}.json").read_bytes() for seed in ("1", "2"))
    assert first == second


def test_multiplicity_makes_up_for_what_no_widths_can_meet() -> None:
    """Depthwise layers of two sizes have one width together: their MACs come in large steps."""
    layers = [conv(28, 33, 33, groups=33), conv(27, 35, 35, groups=35)]
    profile = profile_of(layers, centers=[28])
    (stage,) = synthesize(profile).stages
    assert stage.macs * stage.multiplicity == pytest.approx(stage.target_macs, rel=1e-3)
    assert stage.fitness_error < 5e-3
    assert_consistent(synthesize(profile), profile)
