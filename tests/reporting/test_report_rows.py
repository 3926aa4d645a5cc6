"""The rows behind the page's tables and figures."""

import pytest
from report_artefacts import Artefacts, timing

from aimatrix.model.profile import UnknownOperator
from aimatrix.model.result import PlatformFidelity
from aimatrix.reference import published_tables
from aimatrix.reporting import figures, formats, headline, tables, times


def test_table_one_has_exact_figures_and_a_sum(artefacts: Artefacts) -> None:
    table = tables.groups_table(artefacts.profile)
    assert [column.title for column in table.columns][:3] == ["Group", "Center", "Filters"]
    first = table.rows[0]
    assert first[:3] == ("conv2d-224", "224×224", "11×11 / 4 · 1, 7×7 / 2 · 1, 3×3 · 2")  # noqa: RUF001
    assert first[4:6] == ("2,156,022,912", "7,500")
    assert table.total[4] == "17,596,938,368"


def test_derived_and_measured_warps_are_not_added_up(artefacts: Artefacts) -> None:
    first, *rest = artefacts.profile.groups
    measured = first.model_copy(update={"warps_kind": "measured"})
    mixed = artefacts.profile.model_copy(update={"groups": (measured, *rest)})
    table = tables.groups_table(mixed)
    assert table.rows[0][5] == "7,500 (measured)"
    assert table.rows[1][5] == "3,136 (derived)"
    assert table.total[5] == ""


def test_published_rows_match_by_center_and_say_how_far(artefacts: Artefacts) -> None:
    table = tables.published_groups_table(artefacts.profile, published_tables())
    assert table is not None
    assert [row[4] for row in table.rows][:4] == ["equal"] * 4
    assert table.rows[4][4] == "+3.37 %"
    moved = tuple(
        group.model_copy(update={"center": 100 + at})
        for at, group in enumerate(artefacts.profile.groups)
    )
    elsewhere = artefacts.profile.model_copy(update={"groups": moved})
    assert tables.published_groups_table(elsewhere, published_tables()) is None


def test_coverage_says_what_is_not_known(artefacts: Artefacts) -> None:
    table = tables.coverage_table(artefacts.profile)
    assert table.rows[-1] == ("unknown", "aten::erf", "2", "not known", "80 B")
    assert "2 calls are not known" in table.note


def test_many_unknown_operators_are_cut_and_summed(artefacts: Artefacts) -> None:
    unknown = tuple(
        UnknownOperator(name=f"aten::op{number:02}", calls=number, bytes=10)
        for number in range(1, 21)
    )
    table = tables.unknown_table(artefacts.profile.model_copy(update={"unknown": unknown}))
    assert table is not None
    assert table.rows[0][0] == "aten::op20"
    assert len(table.rows) == tables.UNKNOWN_ROWS
    assert table.total == ("8 more", "36", "80 B")


def test_table_two_states_multiplied_work(artefacts: Artefacts) -> None:
    stage = artefacts.benchmark.stages[0].model_copy(update={"multiplicity": 2.0})
    benchmark = artefacts.benchmark.model_copy(update={"stages": (stage,)})
    (row,) = tables.fit_table(benchmark, None).rows
    assert row[2:] == ("2,156,022,912", "4,312,165,824", "7,500", "15,000", "0.0014 %")
    (published,) = tables.fit_table(benchmark, published_tables()).rows
    assert published[-1] == "0.02 %"


def test_every_layer_of_the_model_is_listed(artefacts: Artefacts) -> None:
    table = tables.model_table(artefacts.benchmark)
    layers = [cell.replace("\N{NO-BREAK SPACE}", " ") for cell in table.rows[0][2:4]]
    assert layers == ["3×3 64→128", "3×3 / 2 64→31"]  # noqa: RUF001
    assert table.total[2:4] == ("6 layers", "6 layers")


def platforms(artefacts: Artefacts) -> list[PlatformFidelity]:
    return times.measured(artefacts.validations)


def test_errors_are_signed_per_group_and_in_total(artefacts: Artefacts) -> None:
    table = times.errors_table(platforms(artefacts))
    assert len(table.rows) == 3
    assert table.rows[0][0] == "torch, float32, 1 thread"
    assert table.rows[0][1] == "−14.0 %"  # noqa: RUF001
    assert table.rows[0][-3:] == ("−1.2 %", "−19.0 %", "1.2×")  # noqa: RUF001


def test_a_noisy_measurement_says_so(artefacts: Artefacts) -> None:
    table = times.fidelity_table(platforms(artefacts)[0])
    assert table.rows[-1][2] == "24.0 %*"
    assert "not quiet" in table.note
    result = artefacts.results[0]
    assert times.runs_table([result]).note == ""
    noisy = result.model_copy(update={"total": timing(1.0, spread=0.5), "steady": False})
    assert times.runs_table([noisy]).rows[0][4].endswith("*, not settled")


def test_equal_environments_are_stated_once(artefacts: Artefacts) -> None:
    table = times.environments_table((r.platform.name, r.environment) for r in artefacts.results)
    assert table is not None
    assert len(table.rows) == 1
    assert table.rows[0][1] == "cpu: Some CPU, 2 cores, torch: 2.13.0"
    assert times.environments_table([("null", {})]) is None


def test_error_figures_share_an_axis_that_holds_all_bars(artefacts: Artefacts) -> None:
    drawn = figures.error_figures(platforms(artefacts))
    assert len({figure.domain for figure in drawn}) == 1
    assert drawn[0].domain == pytest.approx((-30.4, 30.4))
    assert drawn[0].bars[0].label == "−14.0 %"  # noqa: RUF001
    assert [bar.series for bar in drawn[0].bars] == ["group"] * 6 + ["total"] * 2


def test_platforms_of_one_name_stay_apart_in_the_figure(artefacts: Artefacts) -> None:
    run = artefacts.results[0]
    rows = [bar.row for bar in figures.passes_figure([run, run]).bars]
    assert rows == ["torch, float32, 1 thread", "torch, float32, 1 thread (2)"]


def test_the_headline_answers_in_numbers(artefacts: Artefacts) -> None:
    found = headline.facts(
        artefacts.profile, artefacts.benchmark, artefacts.results, artefacts.validations
    )
    values = {fact.label: fact.value for fact in found}
    assert values["applications"] == "3"
    assert values["groups of convolutions"] == "6"
    assert values["largest fitness error"] == "0.0234 %"
    assert values["reduction"] == "1.2×"  # noqa: RUF001
    assert values["largest fidelity error, whole models"] == "−19.0 %"  # noqa: RUF001


def test_commands_name_what_determined_the_artefacts(artefacts: Artefacts) -> None:
    lines = headline.commands(
        artefacts.profile,
        artefacts.benchmark,
        artefacts.results,
        artefacts.validations,
        published=True,
    )
    assert "--centers 224,112,56,28,14,7 --split-groups" in lines[1]
    assert "--search default --seed 0" in lines[2]
    assert "--backend torch --device cpu --dtype float32 --threads 2" in lines[4]
    assert lines[-1] == (
        "aimatrix report profile.json benchmark result.json validation.json --published"
        " -o report.html"
    )


def test_without_groups_there_are_no_centers_to_name(artefacts: Artefacts) -> None:
    empty = artefacts.profile.model_copy(update={"groups": ()})
    lines = headline.commands(empty, None, [], [], published=False)
    assert lines[1] == "aimatrix analyze --store store --split-groups -o profile.json"


def test_the_reduction_is_of_one_pass_whatever_the_multiplicities(artefacts: Artefacts) -> None:
    fidelity = platforms(artefacts)[0]
    whole = fidelity.whole
    assert whole is not None
    # half the work of the suite in a pass, of which every stage is done a thousand times over
    whole = whole.model_copy(update={"real": timing(100.0), "synthetic": timing(0.05)})
    assert times.reduction(fidelity.model_copy(update={"whole": whole})) == pytest.approx(2000)
    table = times.fidelity_table(fidelity)
    assert [row[5] for row in table.rows] == ["1"] * 6 + ["", ""]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (formats.scaled(999), "999"),
        (formats.scaled(999_600), "1.00 M"),
        (formats.scaled(2_156_022_912, "MACs"), "2.16 GMACs"),
        (formats.scaled(0, "B"), "0 B"),
        (formats.seconds(0.0123), "12.3 ms"),
        (formats.seconds(2.0), "2.00 s"),
        (formats.seconds(4e-6), "4.00 µs"),
        (formats.seconds(0.9999), "1.00 s"),
        (formats.share(0.99999), "> 99.9 %"),
        (formats.share(0.00001), "< 0.1 %"),
        (formats.share(1.0), "100.0 %"),
        (formats.fitness(0.0), "0.0000 %"),
        (formats.fitness(1e-9), "< 0.0001 %"),
        (formats.times(12.34), "12.3×"),  # noqa: RUF001
        (formats.kernel((1, 7), (1, 2)), "1×7 / 1×2"),  # noqa: RUF001
        (formats.kernel(3, (2, 1)), "3×3 / 2×1"),  # noqa: RUF001
        (formats.kernel(3, (2, 2)), "3×3 / 2"),  # noqa: RUF001
        (formats.kernel(3, 1, depthwise=True), "3×3 depthwise"),  # noqa: RUF001
        (formats.listing(["a", "b", "c"], limit=2), "a, b and 1 more"),
        (formats.visible("a\nb\u202ec"), "a\ufffdb\ufffdc"),
    ],
)
def test_formats(text: str, expected: str) -> None:
    assert text == expected
