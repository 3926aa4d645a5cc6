"""A mix's specification states the work that its operators do, or is refused."""

from __future__ import annotations

from typing import Any

import pytest

from aimatrix.benchmark.check import check_mix
from aimatrix.benchmark.folder import mix_readme_text
from aimatrix.errors import InputError
from aimatrix.model.mix import MixBenchmark
from mix_builders import gelu, linear, make_mix, make_mix_stage, small_mix


def changed(**fields: Any) -> MixBenchmark:
    mix = small_mix()
    return make_mix(mix.stages[0], mix.stages[1].model_copy(update=fields))


def test_what_is_stated_is_done() -> None:
    check_mix(small_mix())


@pytest.mark.parametrize("field", ["macs", "bytes", "warps"])
def test_work_that_is_not_done_is_refused(field: str) -> None:
    with pytest.raises(InputError, match=rf"field stages\.1\.{field}: states 7 where"):
        check_mix(changed(**{field: 7}))


@pytest.mark.parametrize(
    ("operator", "told"),
    [
        ({"attributes": {"inputs": "many"}}, "inputs"),
        ({"attributes": {}}, "lacks its attribute inputs"),
        ({"family": "magic"}, "unknown operator family 'magic'"),
        ({"dtype": "float33"}, "unknown dtype"),
        ({"attributes": {"inputs": [[{}]]}}, "inputs"),
    ],
)
def test_operators_that_are_none_are_refused(operator: dict[str, Any], told: str) -> None:
    stage = small_mix().stages[1]
    bad = stage.operators[0].model_copy(update=operator)
    with pytest.raises(InputError, match=rf"field stages\.1\.operators: .*{told}"):
        check_mix(changed(operators=(bad,)))


def test_it_survives_its_file() -> None:
    mix = small_mix()
    assert MixBenchmark.model_validate_json(mix.model_dump_json(), strict=True) == mix


def test_the_readme_tells_each_stage() -> None:
    text = mix_readme_text(
        make_mix(make_mix_stage("one", linear(8, 8, 8)), make_mix_stage("two", gelu(3)))
    )
    assert "| one | 1 | 1 | 512 | 512 |" in text
    assert "| two | 1 | 1 | 0 | 0 | 24 | 24 |" in text
    assert "2 real applications" in text
    assert "python model.py" in text
