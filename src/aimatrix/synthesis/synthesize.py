"""From a profile to a benchmark: templates, a search for each, the layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from time import perf_counter

from aimatrix.benchmark.added import added_work
from aimatrix.errors import InputError
from aimatrix.model.benchmark import Benchmark, Stage, Synthesis
from aimatrix.model.profile import Profile
from aimatrix.synthesis.problem import TERMS, make_problem
from aimatrix.synthesis.search import search_widths
from aimatrix.synthesis.stage import MISSED, build_stage, corrected
from aimatrix.synthesis.template import StageTemplate, stage_choices


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
    choices = stage_choices(profile.groups)
    for number, templates in enumerate(choices):
        begin = perf_counter()
        stage = synthesize_stage(templates, search=search, seed=seed + number)
        seconds += perf_counter() - begin
        stages.append(stage)
        if on_stage is not None:
            on_stage(stage)
    batch = choices[0][0].batch
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


def synthesize_stage(templates: Sequence[StageTemplate], *, search: str, seed: int) -> Stage:
    """The stage of the first of ``templates`` that a search matches well, else of the best one."""
    best: Stage | None = None
    for template in templates:
        found = search_widths(make_problem(template), search, seed)
        stage = build_stage(template, found.genes)
        if best is None or stage.fitness_error < best.fitness_error:
            best = stage
        if stage.matched:
            break
    if best is None:
        raise InputError("a stage needs at least one template")
    return corrected(best) if best.fitness_error > MISSED else best
