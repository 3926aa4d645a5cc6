"""The profile of a log: groups, what is outside of them, and what is not known."""

from __future__ import annotations

import random
from datetime import timedelta

import pytest
from analysis_records import WINDOW, conv1d, conv2d, record

from aimatrix import ops
from aimatrix.analysis.profile import build_profile
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall
from aimatrix.model.profile import Profile
from aimatrix.model.workload import WorkloadRecord

RELU = OpCall.create("elementwise", "relu", {"inputs": [(1, 16, 56, 56)]})
LINEAR = OpCall.create("matmul", "linear", {"batch": 1, "m": 1, "n": 10, "k": 20, "bias": True})
STRANGE = OpCall.create("unknown", "acme::op", {"inputs": [(5, 5)]})


def test_totals_of_a_group() -> None:
    first, second = conv2d(56), conv2d(55, stride=(2, 2), batch=3)
    profile = build_profile([record(first, 2), record(second, 5)])
    [group] = profile.groups
    costs = ops.cost(first), ops.cost(second)
    assert group.calls == 7
    assert group.macs == 2 * (costs[0].macs or 0) + 5 * (costs[1].macs or 0)
    assert group.warps == 2 * (costs[0].warps or 0) + 5 * (costs[1].warps or 0)
    assert group.bytes == 2 * costs[0].bytes + 5 * costs[1].bytes
    assert group.parameters == 7 * costs[0].parameters
    assert 1 < group.batch < 3
    assert group.center == 55  # most of the work
    assert group.input_size == (55, 55)


def test_groups_go_from_large_to_small() -> None:
    profile = build_profile([record(conv2d(size)) for size in (7, 224, 28)])
    assert [group.center for group in profile.groups] == [224, 28, 7]


def test_filters_are_told_apart_by_kernel_stride_and_depthwise() -> None:
    records = [
        record(conv2d(56, 16, 16, groups=16), 3),
        record(conv2d(56, 16, 32), 2),
        record(conv2d(56, 32, 32), 2),
        record(conv2d(56, stride=(2, 2), padding=(0, 0)), 1),
        record(conv2d(56, stride=(2, 2), padding=(1, 1)), 4),
        record(conv2d(56, kernel_size=(1, 7), padding=(0, 3)), 1),
        record(conv2d(56, 16, 32, groups=4), 1),
    ]
    [group] = build_profile(records).groups
    rows = {(f.kernel_size, f.stride, f.depthwise): (f.count, f.padding) for f in group.filters}
    assert rows == {
        (3, 2, False): (5, 1),
        (3, 1, True): (3, 1),
        (3, 1, False): (5, 1),
        ((1, 7), 1, False): (1, (0, 3)),
    }


def test_splitting_groups_counts_them_each_but_never_depthwise_ones() -> None:
    grouped, depthwise = conv2d(28, 16, 32, groups=2), conv2d(28, 16, 16, groups=16)
    records = [record(grouped, 3), record(depthwise)]
    [whole], [split] = (build_profile(records, split_groups=flag).groups for flag in (False, True))
    assert [(f.count, f.depthwise) for f in whole.filters] == [(1, True), (3, False)]
    assert [(f.count, f.depthwise) for f in split.filters] == [(1, True), (6, False)]
    assert whole.macs == split.macs
    assert build_profile(records, split_groups=True).split_groups


def test_fixed_centers_take_the_nearest_and_leave_empty_ones_out() -> None:
    records = [record(conv2d(size)) for size in (224, 27, 13)]
    profile = build_profile(records, centers=[14, 28, 56, 224])
    assert [group.center for group in profile.groups] == [224, 28, 14]
    assert [group.input_size for group in profile.groups] == [(224, 224), (27, 27), (13, 13)]


@pytest.mark.parametrize("centers", [[], [0, 56]])
def test_centers_that_are_no_sizes_are_refused(centers: list[int]) -> None:
    with pytest.raises(InputError, match="centers"):
        build_profile([record(conv2d(56))], centers=centers)


def test_what_is_outside_is_counted_by_family_and_never_as_zero() -> None:
    records = [
        record(conv2d(56), 2),
        record(conv2d(56, phase="backward")),
        record(RELU, 4),
        record(LINEAR, 3),
        record(STRANGE, 5, name="acme::op"),
        record(STRANGE, 1, name="acme::another"),
    ]
    profile = build_profile(records)
    rows = {row.family: row for row in profile.other}
    assert rows["matmul"].macs == 600
    assert rows["elementwise"].macs == 0
    assert rows["unknown"].macs is None
    assert rows["convolution"].kinds == ("conv2d",)  # the backward one
    assert [(row.name, row.calls, row.bytes) for row in profile.unknown] == [
        ("acme::op", 5, 500),
        ("acme::another", 1, 100),
    ]
    assert profile.calls == 16


def test_coverage_by_calls_macs_and_bytes() -> None:
    inside, outside = ops.cost(conv2d(56)), ops.cost(LINEAR)
    profile = build_profile([record(conv2d(56)), record(LINEAR, 2), record(STRANGE)])
    coverage = profile.coverage
    assert coverage.calls == 1 / 4
    macs = inside.macs or 0
    assert coverage.macs == macs / (macs + 400)
    assert coverage.bytes == inside.bytes / (inside.bytes + 2 * outside.bytes + 100)
    assert coverage.calls_without_macs == 1
    assert coverage.known_calls == 3 / 4
    assert coverage.known_bytes == 1 - 100 / (inside.bytes + 2 * outside.bytes + 100)
    assert coverage.estimated_calls == 0


def test_estimates_are_counted() -> None:
    records = [record(conv2d(56), 8, estimated_calls=3), record(LINEAR, 2, estimated_calls=1)]
    assert build_profile(records).coverage.estimated_calls == 4


def test_a_log_without_2d_convolutions_has_no_group() -> None:
    for records in ([record(conv1d(50))], [record(RELU)]):
        profile = build_profile(records, centers=[56])
        assert profile.groups == ()
        assert profile.coverage.macs == 0
        assert profile.dtype == "float32"
    assert profile.other[0].family == "elementwise"


def test_an_empty_selection_is_an_error() -> None:
    with pytest.raises(InputError, match="no record"):
        build_profile([])


class TestWarps:
    def test_measured_ones_win_where_all_members_have_them(self) -> None:
        records = [record(conv2d(56), 2, warps=1000), record(conv2d(28, 8), 1, warps=7)]
        large, small = build_profile(records, centers=[56, 28]).groups
        assert (large.warps, large.warps_kind) == (2000, "measured")
        assert (small.warps, small.warps_kind) == (7, "measured")

    def test_a_mixture_is_derived(self) -> None:
        records = [record(conv2d(56), 2, warps=1000), record(conv2d(56, 8), 1)]
        [group] = build_profile(records).groups
        derived = 2 * (ops.cost(conv2d(56)).warps or 0) + (ops.cost(conv2d(56, 8)).warps or 0)
        assert (group.warps, group.warps_kind) == (derived, "derived")

    def test_splitting_groups_does_not_multiply_measured_ones(self) -> None:
        records = [record(conv2d(56, groups=4), 2, warps=1000)]
        [group] = build_profile(records, split_groups=True).groups
        assert group.warps == 2000


def test_where_and_when_it_was_seen() -> None:
    later = WINDOW + timedelta(minutes=5)
    records = [
        record(conv2d(56), app="a", host="x"),
        record(conv2d(56), app="b", host="x", window_start=later, window_seconds=30.0),
    ]
    profile = build_profile(records)
    assert (profile.applications, profile.hosts, profile.calls) == (2, 1, 2)
    assert (profile.since, profile.until) == (WINDOW, later + timedelta(seconds=30))


def test_the_dtype_is_that_of_most_of_the_work() -> None:
    records = [record(conv2d(56), 3), record(conv2d(56, dtype="bfloat16"), 4)]
    assert build_profile(records).dtype == "bfloat16"


def _mixed_records() -> list[WorkloadRecord]:
    calls = [conv2d(size, kernel=k) for size in (224, 113, 57, 56, 13) for k in (1, 3, 5)]
    calls += [RELU, LINEAR, STRANGE, conv1d(9), conv2d((14, 100))]
    return [record(call, number % 4 + 1) for number, call in enumerate(calls)]


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_the_records_is_no_matter(seed: int) -> None:
    shuffled = _mixed_records()
    random.Random(seed).shuffle(shuffled)
    assert build_profile(shuffled) == build_profile(_mixed_records())


def test_a_profile_survives_its_file() -> None:
    profile = build_profile(_mixed_records())
    assert Profile.model_validate_json(profile.model_dump_json()) == profile
