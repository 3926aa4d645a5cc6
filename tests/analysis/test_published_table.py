"""The poster's first table, from the three networks themselves."""

from __future__ import annotations

import pytest
from analysis_records import WINDOW

from aimatrix.analysis.profile import build_profile
from aimatrix.model.profile import Profile
from aimatrix.model.workload import WorkloadRecord
from aimatrix.reference import published_tables

torch = pytest.importorskip("torch")

CENTERS = (224, 112, 56, 28, 14, 7)


@pytest.fixture(scope="session")
def classic_records() -> list[WorkloadRecord]:
    """The log of one inference of AlexNet, VGG16 and GoogLeNet each."""
    from aimatrix.applications import alexnet, googlenet, vgg16
    from aimatrix.dialects.aten import ATTRIBUTES, translate
    from aimatrix.monitoring import record_calls

    records = []
    for program in (alexnet, vgg16, googlenet):
        model, inputs = program.application()
        with torch.inference_mode():
            raw_calls = record_calls(lambda model=model, inputs=inputs: model(*inputs), ATTRIBUTES)
        records += [
            WorkloadRecord(translate(raw), raw.name, program.__name__, "host", WINDOW, 60.0, 1)
            for raw in raw_calls
        ]
    return records


@pytest.fixture
def profile(classic_records: list[WorkloadRecord]) -> Profile:
    return build_profile(classic_records, centers=CENTERS, split_groups=True)


def test_macs_and_filters_of_groups_1_to_4_are_the_published_ones(profile: Profile) -> None:
    published = published_tables().classic
    assert [group.center for group in profile.groups] == [group.center for group in published]
    for ours, theirs in zip(profile.groups[:4], published[:4], strict=True):
        assert ours.macs == theirs.macs
        assert {(f.kernel_size, f.stride, f.count) for f in ours.filters} == {
            (f.kernel_size, f.stride, f.count) for f in theirs.filters
        }


def test_groups_5_and_6_are_the_textbook_networks(profile: Profile) -> None:
    assert [group.macs for group in profile.groups[4:]] == [2_273_565_696, 121_777_152]
    kernels = [{f.kernel_size: f.count for f in group.filters} for group in profile.groups[4:]]
    assert [kernel[5] for kernel in kernels] == [5, 2]


def test_found_centers_are_the_published_ones(
    classic_records: list[WorkloadRecord], profile: Profile
) -> None:
    found = build_profile(classic_records, split_groups=True)
    assert [group.center for group in found.groups] == list(CENTERS)
    assert [group.macs for group in found.groups] == [group.macs for group in profile.groups]


def test_unsplit_the_same_macs_are_fewer_calls(
    classic_records: list[WorkloadRecord], profile: Profile
) -> None:
    whole = build_profile(classic_records, centers=CENTERS)
    assert [group.macs for group in whole.groups] == [group.macs for group in profile.groups]
    # AlexNet's three grouped layers count once: the second, the fourth and the fifth
    assert [
        group.calls - other.calls for group, other in zip(profile.groups, whole.groups, strict=True)
    ] == [
        0,
        0,
        0,
        1,
        2,
        0,
    ]


def test_nothing_of_the_three_is_unknown(profile: Profile) -> None:
    assert profile.unknown == ()
    assert profile.coverage.macs > 0.98  # the rest are linear layers
    families = {row.family for row in profile.other}
    # a global pooling is a pooling or a mean, as torch takes it
    assert families - {"reduction"} == {"matmul", "pooling", "elementwise", "movement"}
