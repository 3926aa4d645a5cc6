"""Draws the figures as SVG with altair and vl-convert, for a page that runs no script.

Colours are keys: the page's style sheet turns them into those of the light or the dark scheme.
"""

from __future__ import annotations

import re

import altair as alt
import vl_convert
from markupsafe import Markup

from aimatrix.reporting.figures import Curve, Figure

INK = "#57606a"
GRID = "#d8dee4"
SERIES = ("#1f6f8b", "#d98324")
WIDTH = 320
BAR = 15
CURVE = 190
#: ticks of a logarithmic axis
FACTORS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)


def draw(figure: Figure | Curve) -> Markup:
    """Horizontal bars, or lines, as an SVG element that scales with the page."""
    chart = _lines(figure) if isinstance(figure, Curve) else _chart(figure)
    specification = chart.to_dict()
    svg = vl_convert.vegalite_to_svg(specification)
    # the view box alone decides the proportions; the style sheet sets the size
    return Markup(re.sub(r'^<svg ([^>]*?)width="[\d.]+" height="[\d.]+"', r"<svg \1", svg, count=1))


def _lines(curve: Curve) -> alt.LayerChart:
    rows = [{"series": point.series, "x": point.x, "y": point.y} for point in curve.points]
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=alt.X(
            "x:Q",
            title=curve.x_axis,
            scale=alt.Scale(type="log", nice=False, padding=12),
            axis=alt.Axis(values=list(FACTORS), format="~s"),
        ),
        y=alt.Y("y:Q", title=curve.y_axis, scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=5)),
        color=_colors(curve),
    )
    lines = base.mark_line(strokeWidth=2)
    chart = alt.layer(lines, base.mark_point(filled=True, size=45), width=WIDTH, height=CURVE)
    return _styled(chart)


def _colors(figure: Figure | Curve) -> alt.Color:
    scale = alt.Scale(domain=list(figure.series), range=list(SERIES[: len(figure.series)]))
    return alt.Color("series:N", scale=scale, legend=None)


def _chart(figure: Figure) -> alt.LayerChart:
    rows = [
        {"row": bar.row, "series": bar.series, "value": bar.value, "label": bar.label, "order": at}
        for at, bar in enumerate(figure.bars)
    ]
    names = list(dict.fromkeys(bar.row for bar in figure.bars))
    paired = len(figure.bars) > len(names)
    base = alt.Chart(alt.Data(values=rows)).encode(
        x=_value_axis(figure),
        y=alt.Y("row:N", sort=names, title=None, scale=alt.Scale(paddingInner=0.25)),
        color=_colors(figure),
    )
    if paired:
        base = base.encode(yOffset=alt.YOffset("series:N", sort=list(figure.series)))
    bars = base.mark_bar(cornerRadiusEnd=2)
    chart = alt.layer(bars, *_labels(base), width=WIDTH, height=_height(figure, len(names)))
    return _styled(chart)


def _value_axis(figure: Figure) -> alt.X:
    scale = alt.Scale(domain=list(figure.domain), nice=False) if figure.domain else alt.Undefined
    axis = alt.Axis(tickCount=5)
    # unstacked: a stack of bars with round ends refers to a clip path by an id of its own
    return alt.X("value:Q", title=figure.axis, scale=scale, axis=axis, stack=None)


def _labels(base: alt.Chart) -> list[alt.Chart]:
    """Values at the ends of the bars: to the right of positive ones, to the left of negative."""
    sides = (("datum.value >= 0", "left", 4), ("datum.value < 0", "right", -4))
    return [
        base.transform_filter(condition)
        .mark_text(align=align, dx=dx, fontSize=10.5)
        .encode(text="label:N", color=alt.value(INK))
        for condition, align, dx in sides
    ]


def _height(figure: Figure, names: int) -> int:
    return max(len(figure.bars), names) * BAR + names * 7


def _styled(chart: alt.LayerChart) -> alt.LayerChart:
    font = "system-ui, -apple-system, Segoe UI, Roboto, Helvetica, Arial, sans-serif"
    return (
        chart.configure(background="transparent", font=font, padding=8)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            titleColor=INK,
            gridColor=GRID,
            domain=False,
            ticks=False,
            titleFontWeight="normal",
            labelFontSize=11,
            titleFontSize=11,
            labelLimit=150,
        )
        .configure_axisY(grid=False, labelPadding=6)
    )
