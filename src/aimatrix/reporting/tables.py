"""The tables of the report about the profile and the benchmark, as plain rows of text."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aimatrix.model.benchmark import Benchmark, Layer, Stage
from aimatrix.model.profile import Coverage, Filter, Group, Profile
from aimatrix.reference import PublishedFilter, PublishedGroup, PublishedTables
from aimatrix.reporting import formats

#: unknown operators shown by name; the rest is summed up in one row
UNKNOWN_ROWS = 12

WARPS_NOTE = (
    "The poster does not say how it counted warps; ours come from a documented launch model"
    " or from measured kernels. They stand side by side and are not to be compared."
)


@dataclass(frozen=True, slots=True)
class Column:
    """A column's title, and whether it holds figures (set to the right)."""

    title: str
    figures: bool = True


@dataclass(frozen=True, slots=True)
class Table:
    """A caption, columns, and rows of cells; the first cell names its row.

    total: a last row that sums up. note: a sentence below the table.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]
    total: tuple[str, ...] = ()
    note: str = ""


def columns(*titles: str, words: Sequence[str] = ()) -> tuple[Column, ...]:
    """Columns of figures, but for the first one and those named in ``words``."""
    return tuple(
        Column(title, figures=index > 0 and title not in words)
        for index, title in enumerate(titles)
    )


def groups_table(profile: Profile) -> Table:
    """The poster's table 1: per group center, filters, MACs and warps."""
    groups = profile.groups
    kinds = sorted({group.warps_kind for group in groups})
    warps = f"Warps ({kinds[0]})" if len(kinds) == 1 else "Warps"
    many = len(kinds) > 1
    return Table(
        caption="Groups of convolutions by input size",
        columns=columns(
            *("Group", "Center", "Filters", "Calls", "MACs", warps, "Traffic", "Parameters"),
            words=("Filters",),
        ),
        rows=tuple(
            (
                group.name,
                formats.area((group.center, group.center)),
                filters(group.filters),
                formats.exact(group.calls),
                formats.exact(group.macs),
                formats.exact(group.warps) + (f" ({group.warps_kind})" if many else ""),
                formats.scaled(group.bytes, "B"),
                formats.scaled(group.parameters),
            )
            for group in groups
        ),
        total=_groups_total(groups, summable=not many),
        note="Derived and measured warps are never added up." if many else "",
    )


def filters(group: Sequence[Filter | PublishedFilter]) -> str:
    """``3x3 · 4, 1x1 · 1``: each kind of filter with how often it is called."""
    return ", ".join(
        f"{formats.kernel(item.kernel_size, item.stride, getattr(item, 'depthwise', False))}"
        f" · {item.count:,}"
        for item in group
    )


def published_groups_table(profile: Profile, reference: PublishedTables) -> Table | None:
    """Our groups beside the poster's, matched by center; None when no center matches."""
    pairs = [(group, reference.classic_group(group.center)) for group in profile.groups]
    rows = tuple(_published_row(group, published) for group, published in pairs if published)
    if not rows:
        return None
    return Table(
        caption="Beside the published table",
        columns=columns(
            "Group",
            "Filters, published",
            "MACs, ours",
            "MACs, published",
            "Difference",
            "Warps, ours",
            "Warps, published",
            words=("Filters, published",),
        ),
        rows=rows,
        note=WARPS_NOTE,
    )


def coverage_table(profile: Profile) -> Table:
    """What the groups hold of the whole log, and what other families do beside them."""
    groups = profile.groups
    macs = sum(group.macs for group in groups)
    inside = (
        "in the groups",
        "convolution",
        formats.exact(sum(group.calls for group in groups)),
        formats.exact(macs),
        formats.scaled(sum(group.bytes for group in groups), "B"),
    )
    others = tuple(
        (
            work.family,
            formats.listing(work.kinds),
            formats.exact(work.calls),
            "not known" if work.macs is None else formats.exact(work.macs),
            formats.scaled(work.bytes, "B"),
        )
        for work in profile.other
    )
    coverage = profile.coverage
    return Table(
        caption="All operator calls of the log",
        columns=columns("Family", "Operators", "Calls", "MACs", "Traffic", words=("Operators",)),
        rows=(inside, *others),
        total=(
            "share in the groups",
            "",
            formats.share(coverage.calls),
            formats.share(coverage.macs),
            formats.share(coverage.bytes),
        ),
        note=_coverage_note(coverage),
    )


def _coverage_note(coverage: Coverage) -> str:
    """How much of the log is of known families, and what is in no sum."""
    notes = []
    if coverage.known_calls is not None and coverage.known_bytes is not None:
        notes.append(
            f"Known families have {formats.share(coverage.known_calls)} of the calls and"
            f" {formats.share(coverage.known_bytes)} of the bytes."
        )
    if coverage.calls_without_macs:
        calls = formats.plural(coverage.calls_without_macs, "call")
        notes.append(f"The MACs of {calls} are not known and are in no sum.")
    return " ".join(notes)


def unknown_table(profile: Profile) -> Table | None:
    """Operators that no family knows, most called first; None when there are none."""
    ranked = sorted(profile.unknown, key=lambda item: (-item.calls, item.name))
    if not ranked:
        return None
    rest = ranked[UNKNOWN_ROWS:]
    total = (
        f"{len(rest):,} more",
        formats.exact(sum(item.calls for item in rest)),
        formats.scaled(sum(item.bytes for item in rest), "B"),
    )
    return Table(
        caption="Operators that are counted, but whose work is not known",
        columns=columns("Operator", "Calls", "Bytes of its inputs"),
        rows=tuple(
            (item.name, formats.exact(item.calls), formats.scaled(item.bytes, "B"))
            for item in ranked[:UNKNOWN_ROWS]
        ),
        total=total if rest else (),
    )


def fit_table(benchmark: Benchmark, reference: PublishedTables | None) -> Table:
    """The poster's table 2: real against synthetic MACs and warps, and the fitness error."""
    published = {
        stage.name: reference.classic_group(stage.center) if reference else None
        for stage in benchmark.stages
    }
    compared = any(published.values())
    titles = ("Stage", "Center", "MACs, real", "MACs, synthetic", "Warps, real", "Warps, synthetic")
    errors = ("Fitness error", "Published error") if compared else ("Fitness error",)
    return Table(
        caption=f"Real against synthetic work (warps {benchmark.synthesis.warps_kind})",
        columns=columns(*titles, *errors),
        rows=tuple(_fit_row(stage, published[stage.name], compared) for stage in benchmark.stages),
        note=(
            "Published errors are those of the poster's own search on its own figures."
            if compared
            else ""
        ),
    )


def model_table(benchmark: Benchmark) -> Table:
    """The synthetic model, stage by stage, with its layers in order."""
    return Table(
        caption="Stages in the order in which a pass runs them",
        columns=columns(
            "Stage",
            "Input",
            "Chain",
            "Branches",
            "Multiplicity",
            "MACs a pass",
            "Warps a pass",
            words=("Input", "Chain", "Branches"),
        ),
        rows=tuple(
            (
                stage.name,
                formats.area((stage.in_channels, *stage.input_size)),
                ", ".join(map(layer_text, stage.main)) or "none",
                ", ".join(map(layer_text, stage.branches)) or "none",
                f"{stage.multiplicity:g}",
                formats.exact(stage.macs),
                formats.exact(stage.warps),
            )
            for stage in benchmark.stages
        ),
        total=(
            "one pass",
            "",
            formats.plural(sum(len(stage.main) for stage in benchmark.stages), "layer"),
            formats.plural(sum(len(stage.branches) for stage in benchmark.stages), "layer"),
            "",
            formats.exact(sum(stage.macs for stage in benchmark.stages)),
            formats.exact(sum(stage.warps for stage in benchmark.stages)),
        ),
    )


def layer_text(layer: Layer) -> str:
    """A layer on one line: filter, stride, and its widths with an arrow between them."""
    arrow, space = "\N{RIGHTWARDS ARROW}", "\N{NO-BREAK SPACE}"
    widths = f"{layer.in_channels}{arrow}{layer.out_channels}"
    filtered = formats.kernel(layer.kernel_size, layer.stride, layer.depthwise)
    text = f"{filtered} {layer.in_channels if layer.depthwise else widths}"
    return text.replace(" ", space)


def _groups_total(groups: Sequence[Group], summable: bool) -> tuple[str, ...]:
    return (
        "together",
        "",
        "",
        formats.exact(sum(group.calls for group in groups)),
        formats.exact(sum(group.macs for group in groups)),
        formats.exact(sum(group.warps for group in groups)) if summable else "",
        formats.scaled(sum(group.bytes for group in groups), "B"),
        formats.scaled(sum(group.parameters for group in groups)),
    )


def _published_row(group: Group, published: PublishedGroup) -> tuple[str, ...]:
    known = published.macs is not None
    return (
        group.name,
        filters(published.filters),
        formats.exact(group.macs),
        formats.exact(published.macs or 0) if known else "misprinted",
        formats.difference(group.macs, published.macs or 1) if known else "",
        formats.exact(group.warps),
        formats.exact(published.warps),
    )


def _fit_row(stage: Stage, published: PublishedGroup | None, compared: bool) -> tuple[str, ...]:
    row = (
        stage.name,
        formats.area((stage.center, stage.center)),
        formats.exact(stage.target_macs),
        formats.exact(stage.multiplicity * stage.macs),
        formats.exact(stage.target_warps),
        formats.exact(stage.multiplicity * stage.warps),
        formats.fitness(stage.fitness_error),
    )
    if not compared:
        return row
    return (*row, f"{published.error_percent:.2f} %" if published else "")
