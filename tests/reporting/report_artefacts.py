"""A small but whole set of artefacts, with every string field named by the caller."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from aimatrix.model.benchmark import AddedWork, Benchmark, Layer, Stage, Synthesis
from aimatrix.model.profile import (
    Coverage,
    Filter,
    Group,
    OtherWork,
    Profile,
    UnknownOperator,
)
from aimatrix.model.result import (
    ApplicationTiming,
    FidelityRow,
    LeftOut,
    Platform,
    PlatformFidelity,
    RunResult,
    StageTiming,
    Timing,
    Validation,
)
from aimatrix.store.documents import digest

#: center, filters (kernel_size, stride, padding, count), macs, warps
GROUPS = (
    (224, ((11, 4, 0, 1), (7, 2, 3, 1), (3, 1, 1, 2)), 2_156_022_912, 7_500),
    (112, ((3, 1, 1, 2),), 2_774_532_096, 3_136),
    (56, ((3, 1, 1, 4), (1, 1, 0, 1)), 4_983_881_728, 3_201),
    (28, ((5, 1, 2, 4), (3, 1, 1, 5), (1, 1, 0, 8)), 5_280_485_376, 2_300),
    (14, ((5, 1, 2, 5), (3, 1, 1, 13), (1, 1, 0, 20)), 2_273_565_696, 1_900),
    (7, ((5, 1, 2, 2), (3, 1, 1, 2), (1, 1, 0, 8)), 128_450_560, 700),
)


@dataclass
class Artefacts:
    """What one report is made from."""

    profile: Profile
    benchmark: Benchmark
    results: list[RunResult]
    validations: list[Validation] = field(default_factory=list)


def plain(text: str) -> str:
    return text


def timing(seconds: float, spread: float = 0.02) -> Timing:
    return Timing(samples=tuple(seconds * (1 + spread * step / 10) for step in range(-5, 6)))


def make_profile(named: Callable[[str], str] = plain) -> Profile:
    groups = tuple(
        Group(
            name=f"conv2d-{center}",
            center=center,
            input_size=(center, center),
            batch=1,
            calls=sum(item[3] for item in filters),
            filters=tuple(
                Filter(kernel_size=kernel, stride=stride, padding=padding, count=count)
                for kernel, stride, padding, count in filters
            ),
            macs=macs,
            bytes=macs // 50,
            parameters=macs // 900,
            warps=warps,
        )
        for center, filters, macs, warps in GROUPS
    )
    return Profile.create(
        since=datetime(2026, 1, 5, 9, tzinfo=UTC),
        until=datetime(2026, 1, 5, 10, tzinfo=UTC),
        applications=3,
        hosts=1,
        calls=268,
        dtype=named("float32"),
        split_groups=True,
        groups=groups,
        other=(
            OtherWork(
                family=named("matmul"),
                kinds=(named("linear"),),
                calls=7,
                macs=183_267_328,
                bytes=737_000_000,
            ),
            OtherWork(
                family=named("elementwise"),
                kinds=(named("relu"), named("add")),
                calls=87,
                macs=0,
                bytes=182_000_000,
            ),
            OtherWork(
                family=named("unknown"), kinds=(named("aten::erf"),), calls=2, macs=None, bytes=80
            ),
        ),
        unknown=(UnknownOperator(name=named("aten::erf"), calls=2, bytes=80),),
        coverage=Coverage(calls=0.31, macs=0.989, bytes=0.4, calls_without_macs=2),
    )


def make_benchmark(profile: Profile, named: Callable[[str], str] = plain) -> Benchmark:
    stages = []
    for group in profile.groups:
        wide = Layer(
            role="main",
            in_channels=64,
            out_channels=128,
            kernel_size=(3, 3),
            stride=(1, 1),
            padding=(1, 1),
            groups=1,
            macs=group.macs,
            warps=group.warps,
        )
        strided = wide.model_copy(update={"role": "branch", "stride": (2, 2), "out_channels": 31})
        stages.append(
            Stage(
                name=f"stage{len(stages) + 1}",
                center=group.center,
                input_size=group.input_size,
                in_channels=64,
                multiplicity=1,
                layers=(strided, wide),
                macs=group.macs + 60_000,
                warps=group.warps,
                target_macs=group.macs,
                target_warps=group.warps,
                fitness_error=30_000 / group.macs,
            )
        )
    return Benchmark.create(
        batch=1,
        dtype=named("float32"),
        applications=profile.applications,
        stages=tuple(stages),
        added=AddedWork(operators=17, bytes=9_500_000),
        synthesis=Synthesis(
            search=named("default"),
            seed=0,
            terms={named("macs"): 0.5, named("warps"): 0.5},
            profile_digest=digest(profile),
        ),
    )


def make_result(benchmark: Benchmark, platform: Platform, named: Callable[[str], str]) -> RunResult:
    return RunResult.create(
        platform=platform,
        environment={named("cpu"): named("Some CPU, 2 cores"), named("torch"): named("2.13.0")},
        benchmark_digest=digest(benchmark),
        total=timing(0.21),
        stages=tuple(
            StageTiming(
                name=stage.name,
                center=stage.center,
                multiplicity=stage.multiplicity,
                timing=timing(stage.macs * 1.2e-11),
            )
            for stage in benchmark.stages
        ),
        predicted_seconds=0.2,
        steady=True,
    )


def make_fidelity(
    benchmark: Benchmark, platform: Platform, named: Callable[[str], str]
) -> PlatformFidelity:
    def row(
        name: str, real: float, error: float, spread: float = 0.02, times: float | None = None
    ) -> FidelityRow:
        return FidelityRow(
            name=name,
            real=timing(real, spread),
            synthetic=timing(real * (1 + error)),
            multiplicity=times,
            predicted_seconds=real * (1 + error),
            error=error,
        )

    errors = (-0.14, 0.021, 0.009, -0.034, 0.052, 0.083)
    groups = tuple(
        row(stage.name, stage.target_macs * 1.2e-11, error, times=stage.multiplicity)
        for stage, error in zip(benchmark.stages, errors, strict=True)
    )
    return PlatformFidelity(
        platform=platform,
        environment={named("cpu"): named("Some CPU, 2 cores")},
        groups=groups,
        convolutions=row(named("convolutions"), 0.21, -0.012),
        whole=row(named("whole"), 0.26, -0.19, spread=0.3),
        applications=(
            ApplicationTiming(name=named("alexnet"), weight=1, timing=timing(0.03)),
            ApplicationTiming(name=named("vgg16"), weight=1, timing=timing(0.2)),
        ),
    )


def make_artefacts(named: Callable[[str], str] = plain) -> Artefacts:
    profile = make_profile(named)
    benchmark = make_benchmark(profile, named)
    platforms = [
        Platform(backend=named("torch"), dtype=named("float32"), threads=1),
        Platform(backend=named("torch"), dtype=named("float32"), threads=2),
        Platform(backend=named("onnxruntime"), device=named("cpu"), dtype=named("float32")),
    ]
    refused = PlatformFidelity(
        platform=Platform(backend=named("torch"), dtype=named("float16")),
        environment={},
        groups=(),
        convolutions=None,
        whole=None,
        applications=(),
        left_out=(LeftOut(name=named("everything"), reason=named("no float16 convolution here")),),
    )
    validation = Validation.create(
        benchmark_digest=digest(benchmark),
        platforms=(*(make_fidelity(benchmark, item, named) for item in platforms), refused),
    )
    results = [make_result(benchmark, item, named) for item in platforms]
    return Artefacts(profile, benchmark, results, [validation])
