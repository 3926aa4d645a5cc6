"""The page as a whole: complete, self-contained, safe against what stands in files."""

import re
from html.parser import HTMLParser

import pytest
from report_artefacts import Artefacts, make_artefacts

from aimatrix.model.benchmark import Benchmark
from aimatrix.model.profile import Profile
from aimatrix.model.result import RunResult, Validation
from aimatrix.reference import published_tables
from aimatrix.reporting.page import render

HOSTILE = (
    "<script>alert(1)</script>\"'><img src=http://evil.example/x onerror=a()>"
    "{{ 7*7 }}\x00\x1b\u202e"
)


class Page(HTMLParser):
    """The tags, attributes and texts of a page; complains about tags that do not match."""

    VOID = {"meta", "br", "img", "link", "input", "hr"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.headings: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "h2":
            self.headings.append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "h2":
            self.headings[-1] += data


def render_all(artefacts: Artefacts, *, reference: bool = True) -> str:
    return render(
        profile=artefacts.profile,
        benchmark=artefacts.benchmark,
        results=artefacts.results,
        validations=artefacts.validations,
        reference=published_tables() if reference else None,
    )


@pytest.fixture(scope="module")
def page(artefacts: Artefacts) -> str:
    return render_all(artefacts)


@pytest.fixture(scope="module")
def hostile_page() -> str:
    return render_all(make_artefacts(lambda text: text + HOSTILE))


def render_some(
    profile: Profile | None = None,
    benchmark: Benchmark | None = None,
    results: tuple[RunResult, ...] = (),
    validations: tuple[Validation, ...] = (),
) -> str:
    return render(
        profile=profile,
        benchmark=benchmark,
        results=results,
        validations=validations,
        reference=None,
    )


def test_the_page_has_all_sections_in_order(page: str) -> None:
    assert Page(page).headings == [
        "What the benchmark stands for",
        "How well it fits",
        "The model",
        "How well it tells the time",
        "Times per platform",
        "Definitions",
        "Make it again",
    ]


@pytest.mark.parametrize("which", ["page", "hostile_page"])
def test_the_page_needs_nothing_from_outside(which: str, request: pytest.FixtureRequest) -> None:
    text = request.getfixturevalue(which)
    tags = Page(text).tags
    assert not {tag for tag, _ in tags} & {"script", "img", "link", "iframe", "object", "image"}
    for _, attributes in tags:
        assert not {name for name in attributes if name == "src" or name.startswith("on")}
        for name in ("href", "xlink:href"):
            assert (attributes.get(name) or "#").startswith("#")
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'http-equiv="Content-Security-Policy" content="{policy}"' in text
    style = re.findall(r"<style.*?</style>", text, re.DOTALL)
    assert len(style) == 1
    assert "@import" not in style[0]
    assert "url(" not in text


def test_the_page_names_no_address_but_namespaces(page: str) -> None:
    addresses = set(re.findall(r"https?://[^\"'\s<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_text_from_files_is_shown_and_never_obeyed(page: str, hostile_page: str) -> None:
    def kinds(text: str) -> set[tuple[str, tuple[str, ...]]]:
        return {(tag, tuple(sorted(attributes))) for tag, attributes in Page(text).tags}

    # no kind of element and no attribute that the harmless page lacks
    assert kinds(hostile_page) <= kinds(page)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in hostile_page
    assert "{{ 7*7 }}" in hostile_page
    assert not set(hostile_page) & {"\x00", "\x1b", "\u202e"}
    assert "\ufffd" in hostile_page


def test_commands_are_quoted_for_a_shell() -> None:
    page = render_all(make_artefacts(lambda text: f"{text}; rm -rf ~ '$(id)'"))
    assert "--search &#39;default; rm -rf ~ &#39;&#34;&#39;&#34;&#39;$(id)" in page


def test_every_chart_tells_what_it_shows(page: str) -> None:
    labels = [attributes["aria-label"] for tag, attributes in Page(page).tags if tag == "figure"]
    assert len(labels) == 7
    assert labels[0] is not None
    assert labels[0].startswith("MACs of each group. conv2d-224, this profile: 2.16 G;")


def test_tables_have_captions_and_scopes(page: str) -> None:
    tags = Page(page).tags
    count = sum(tag == "table" for tag, _ in tags)
    assert count == sum(tag == "caption" for tag, _ in tags) > 10
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in tags if tag == "th")


def test_missing_parts_have_no_headings(artefacts: Artefacts) -> None:
    always = ["Definitions"]
    assert Page(render_some()).headings == always
    assert Page(render_some(profile=artefacts.profile)).headings == [
        "What the benchmark stands for",
        *always,
        "Make it again",
    ]
    assert Page(render_some(results=tuple(artefacts.results))).headings[0] == "Times per platform"
    only = Page(render_some(validations=tuple(artefacts.validations)))
    assert only.headings[0] == "How well it tells the time"


def test_the_published_figures_appear_with_the_reference_alone(
    artefacts: Artefacts, page: str
) -> None:
    without = render_all(artefacts, reference=False)
    for text in ("2,199,505,920", "1.19 %", "GoogLeNet"):
        assert text in page
        assert text not in without


def test_a_platform_that_could_not_run_shows_its_reason(page: str) -> None:
    assert "no float16 convolution here" in page


def test_artefacts_that_do_not_belong_together_are_named(artefacts: Artefacts, page: str) -> None:
    assert 'class="doubt"' not in page
    foreign = artefacts.results[0].model_copy(update={"benchmark_digest": "0" * 64})
    doubted = render_some(
        profile=artefacts.profile.model_copy(update={"calls": 1}),
        benchmark=artefacts.benchmark,
        results=(foreign,),
    )
    assert "made from another profile" in doubted
    assert "Other benchmarks than this one were run on: torch, float32, 1 thread." in doubted


def test_an_empty_profile_has_a_page(artefacts: Artefacts) -> None:
    empty = artefacts.profile.model_copy(update={"groups": (), "other": (), "unknown": ()})
    assert "What the benchmark stands for" in render_some(profile=empty)


def test_stages_that_miss_their_group_are_named(artefacts: Artefacts, page: str) -> None:
    assert "Not matched to the aim of 0.01 %: stage6 (0.0234 %). No widths were found" in page
    near = tuple(
        stage.model_copy(update={"fitness_error": 1e-4}) for stage in artefacts.benchmark.stages
    )
    assert "Not matched" not in render_some(
        benchmark=artefacts.benchmark.model_copy(update={"stages": near})
    )


def test_the_same_artefacts_give_the_same_page(artefacts: Artefacts, page: str) -> None:
    assert render_all(artefacts) == page
