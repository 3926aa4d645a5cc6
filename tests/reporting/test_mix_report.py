"""The part of the report about mixes: rows, curve, and the page with them."""

from __future__ import annotations

import pytest
from mix_validations import make_mix_validation, make_mix_validations
from report_artefacts import Artefacts

from aimatrix.model.result import Validation
from aimatrix.reporting import figures, headline, mixes
from aimatrix.reporting.page import render
from aimatrix.reporting.tables import Table


def page_of(*validations: Validation) -> str:
    return render(profile=None, benchmark=None, results=(), validations=validations, reference=None)


def found() -> mixes.Mixes:
    sorted_out = mixes.mixes(make_mix_validations())
    assert sorted_out is not None
    return sorted_out


def rows(table: Table | None) -> tuple[tuple[str, ...], ...]:
    assert table is not None
    return table.rows


def test_the_first_validation_of_the_suite_is_shown_and_the_others_are_a_curve() -> None:
    alone, *suite = reversed(make_mix_validations())
    sorted_out = mixes.mixes([alone, *suite])
    assert sorted_out is not None
    assert sorted_out.shown is suite[0]
    assert sorted_out.parts == (alone,)
    points = mixes.curve(sorted_out)
    assert [(round(each.reduction), each.largest, each.platforms) for each in points] == [
        (5, 0.01, 2),
        (20, 0.03, 2),
        (80, 0.20, 2),
    ]
    assert points[2].typical == pytest.approx(0.15)


def test_benchmarks_of_convolutions_are_no_mixes(artefacts: Artefacts) -> None:
    [network] = artefacts.validations
    both = [network, *make_mix_validations()]
    assert mixes.networks(both) == [network]
    assert mixes.mixes([network]) is None


def test_platforms_have_their_repetitions_and_both_spreads() -> None:
    first, _ = rows(mixes.platforms_table(found().shown))
    assert first == (
        "torch, float32, 1 thread", "2", "11", "500 ms", "1.6 %", "510 ms", "4.0 %", "+2.0 %",
        "20.0×",  # noqa: RUF001
    )  # fmt: skip


def test_errors_stand_by_class_and_by_application() -> None:
    shown = found().shown
    assert rows(mixes.classes_table(shown)) == (
        ("cnn", "+2.0 %", "\N{MINUS SIGN}3.0 %"),
        ("transformer", "+2.0 %", "\N{MINUS SIGN}3.0 %"),
    )
    assert [row[0] for row in rows(mixes.applications_table(shown))] == ["resnet", "bert"]


def test_ratios_say_which_is_faster_and_by_how_much() -> None:
    table = mixes.ratios_table(found().shown)
    assert rows(table)[0][2:] == ("2", "2.000", "2.103", "+5.2 %")
    assert table is not None
    assert "1.00" in table.note
    assert mixes.ratios_table(make_mix_validation((0.01,))) is None


def test_benchmarks_of_single_applications_have_a_table() -> None:
    assert rows(mixes.parts_table(found())) == (("bert", "6.0×", "+4.0 %"),)  # noqa: RUF001


def test_the_headline_has_the_largest_errors() -> None:
    facts = {
        fact.label: (fact.value, fact.remark)
        for fact in headline.facts(None, None, (), make_mix_validations())
    }
    assert facts["largest error of the suite's time"] == (
        "\N{MINUS SIGN}3.0 %",
        "torch, float32, 2 threads",
    )
    assert facts["largest error of a ratio of platforms"][0] == "+5.2 %"
    assert facts["reduction"][0] == "20.0×"  # noqa: RUF001


def test_the_curve_tells_its_points_to_who_cannot_see_it() -> None:
    curve = figures.curve_figure(mixes.curve(found()))
    assert "5.0×: 1.0 %" in curve.description  # noqa: RUF001
    assert [point.y for point in curve.points if point.series.startswith("largest")] == [
        pytest.approx(1.0),
        pytest.approx(3.0),
        pytest.approx(20.0),
    ]


def test_the_page_shows_it_all(artefacts: Artefacts) -> None:
    page = page_of(*make_mix_validations(), *artefacts.validations)
    assert "How well the mix tells the time" in page
    assert "How well it tells the time" in page  # convolutions keep their own section
    for caption in ("The suite on each platform", "Ratios between platforms", "Left out"):
        assert f"<caption>{caption}</caption>" in page
    assert "no gradients here" in page
    assert page.count("<svg ") == 5
    assert "url(" not in page


def test_one_benchmark_has_no_curve() -> None:
    page = page_of(make_mix_validation())
    assert "Error against reduction" not in page


def test_text_from_files_is_never_obeyed() -> None:
    page = page_of(*make_mix_validations(lambda text: f"{text}<script>alert(1)</script>"))
    assert "<script>" not in page
    assert "&lt;script&gt;alert(1)" in page
