"""From a profile to a benchmark: templates, a search for each, the layout."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter

from aimatrix.errors import InputError
from aimatrix.model.benchmark import Benchmark, Stage, Synthesis
from aimatrix.model.profile import Profile
from aimatrix.synthesis.layout import added_work, build_stage
from aimatrix.synthesis.problem import TERMS, make_problem
from aimatrix.synthesis.search import search_widths
from aimatrix.synthesis.template import StageTemplate, stage_templates


def synthesize_benchmark(
    profile: Profile,
    profile_digest: str,
    *,
    search: str = "default",
    seed: int = 0,
    on_stage: Callable[[Stage], None] | None = None,
) -> tuple[Benchmark, float]:
    """The benchmark of ``profile`` and the seconds that the searches took.

    The same profile, search and seed give the same benchmark, bit for bit, on any machine.
    Raises InputError when the profile has no group, or the search is not known.
    """
    if not profile.groups:
        raise InputError(
            "the profile has no group to synthesize: its log holds no forward 2-D convolution"
        )
    stages, seconds = [], 0.0
    for number, template in enumerate(stage_templates(profile.groups)):
        begin = perf_counter()
        stage = synthesize_stage(template, search=search, seed=seed + number)
        seconds += perf_counter() - begin
        stages.append(stage)
        if on_stage is not None:
            on_stage(stage)
    batch = stage_templates(profile.groups)[0].batch
    kinds = {group.warps_kind for group in profile.groups}
    benchmark = Benchmark.create(
        batch=batch,
        dtype=profile.dtype,
        applications=profile.applications,
        stages=tuple(stages),
        added=added_work(stages, batch, profile.dtype),
        synthesis=Synthesis(
            search=search,
            seed=seed,
            terms=TERMS,
            warps_kind="measured" if kinds == {"measured"} else "derived",
            profile_digest=profile_digest,
        ),
    )
    return benchmark, seconds


def synthesize_stage(template: StageTemplate, *, search: str, seed: int) -> Stage:
    """Search the widths of one stage and lay it out."""
    found = search_widths(make_problem(template), search, seed)
    return build_stage(template, found.genes)
