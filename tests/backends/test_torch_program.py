"""A mix's model.py: short, standalone, safe, and the same work as the torch backend's."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

from aimatrix import ops
from aimatrix.backends import torch_mix, torch_operators
from aimatrix.backends.blocks import is_warm
from aimatrix.backends.torch_blocks import Memory
from aimatrix.backends.torch_compile import TorchCompile
from aimatrix.backends.torch_program import source
from aimatrix.errors import InputError, UnsupportedError
from aimatrix.model.calls import OpCall
from aimatrix.model.mix import MixBenchmark, MixStage
from aimatrix.model.operators import BlockOperator
from aimatrix.model.result import Platform
from mix_builders import gelu, linear, make_mix, make_mix_stage, small_mix

sys.path.append(str(Path(__file__).parents[1] / "ops"))
from laid_out import CALLS, call, convolution

# torch tells that oneDNN has no LSTM with projections
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

Sources = tuple[int | None, ...]
#: an operator that none lays out
LOSS = call("loss", "nll_loss", inputs=((8, 1000),), outputs=((),), indices=8)


def block(name: str, *operators: tuple[OpCall, Sources | None], repeats: int = 1) -> MixStage:
    """A stage of these calls with their sources; None: all operands are the call's own."""
    calls = [call for call, _ in operators]
    stage = make_mix_stage(name, *calls, repeats=repeats, multiplicity=2.5)
    made = [
        BlockOperator.create(call, ops.alone(call) if sources is None else sources)
        for call, sources in operators
    ]
    return stage.model_copy(update={"operators": tuple(made)})


def residual() -> MixStage:
    """What one operator gives goes to several, in another shape, or in part."""
    shape = (2, 12, 5, 5)
    add = call("elementwise", "add", inputs=(shape, shape))
    norm = call("normalization", "batch_norm", input=shape, parameters=48)
    return block(
        "residual",
        (convolution("conv2d", bias=False), None),
        (norm, (0, None, None, None, None)),
        (call("elementwise", "relu", inputs=(shape,)), (1,)),
        (add, (2, 0)),
        (linear(8, 16, 75), (3, None, None)),
        (gelu(100), (4,)),
        repeats=3,
    )


STAGES: dict[str, MixStage] = {
    **{name: block(name, (each, None), repeats=2) for name, each in CALLS.items()},
    "loss": block("loss", (LOSS, None)),
    "chained": block("chained", (linear(8, 32, 16), None), (gelu(8, 32), (0,)), repeats=2),
    "residual": residual(),
    # the one output of several that an operator takes is the first
    "sorted": block("sorted", (CALLS["sort"], None), (gelu(4, 16), (0,))),
}


def loaded(benchmark: MixBenchmark) -> dict[str, Any]:
    names: dict[str, Any] = {"__name__": "model"}
    exec(compile(source(benchmark), "model.py", "exec"), names)
    return names


def outputs(stages: Sequence[tuple[Any, list[torch.Tensor]]]) -> list[torch.Tensor]:
    with torch.inference_mode():
        given = [value for run, tensors in stages for value in run(tensors)]
    return list(_tensors(given))


def _tensors(value: Any) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif value is not None:
        for each in value:
            yield from _tensors(each)


def of_program(benchmark: MixBenchmark, dtype: str = "float32") -> list[torch.Tensor]:
    names = loaded(benchmark)
    memory = names["Memory"]()
    return outputs([(stage.run, stage.tensors(dtype, memory)) for stage in names["STAGES"]])


def of_backend(benchmark: MixBenchmark, dtype: str = "float32") -> list[torch.Tensor]:
    memory = Memory()
    stages = torch_mix.build_stages(benchmark)
    return outputs([(stage.run, stage.tensors(dtype, memory)) for stage in stages])


def assert_same(given: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert len(given) == len(expected) > 0
    for one, other in zip(given, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_gives_what_it_gives_in_the_backend(name: str) -> None:
    benchmark = make_mix(STAGES[name])
    assert_same(of_program(benchmark), of_backend(benchmark))


@pytest.mark.parametrize("name", CALLS)
def test_a_stage_of_one_operator_gives_what_the_operator_gives(name: str) -> None:
    call = CALLS[name]
    operands = [
        torch_operators.block_operand(operand, None, call.dtype, is_warm(call, operand))
        for operand in torch_operators.operands(call)
    ]
    tensors = Memory().block(operands, call.dtype)
    expected = outputs([(lambda own: [torch_operators.function(call)(*own)], tensors)])
    assert_same(of_program(make_mix(block(name, (call, None)))), expected)


def test_all_stages_draw_from_one_generator_in_order() -> None:
    benchmark = make_mix(*STAGES.values())
    assert_same(of_program(benchmark), of_backend(benchmark))


def test_another_dtype_is_that_of_what_was_of_the_benchmarks_alone() -> None:
    names = ("residual", "not", "loss", "fill", "sdpa backward", "embedding")
    benchmark = make_mix(*(STAGES[name] for name in names))
    given = of_program(benchmark, "bfloat16")
    assert_same(given, of_backend(benchmark, "bfloat16"))
    assert {each.dtype for each in given} == {torch.bfloat16, torch.bool}


# what torch imports to compile tells that torch.jit is deprecated
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_compiled_stage_gives_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        TorchCompile().check(Platform(backend="torch-compile"))
    except UnsupportedError as error:
        pytest.skip(str(error))
    benchmark = make_mix(STAGES["embedding"], STAGES["residual"])
    names = loaded(benchmark)
    # torch looks for the module of what it compiles
    monkeypatch.setitem(sys.modules, "model", ModuleType("model"))
    sys.modules["model"].__dict__.update(names)
    memory = names["Memory"]()
    given = outputs(
        [
            (names["compiled"](stage.run, number), stage.tensors("float32", memory))
            for number, stage in enumerate(names["STAGES"])
        ]
    )
    for one, other in zip(given, of_backend(benchmark), strict=True):
        torch.testing.assert_close(one, other)


def large(stages: int, longest: int) -> MixBenchmark:
    """Blocks of all there is, of one to ``longest`` operators."""
    calls = cycle([*CALLS.values(), LOSS])
    return make_mix(
        *(
            block(
                f"a stage with some name {number}",
                *((each, None) for each in islice(calls, 1 + number % longest)),
                repeats=1 + number % 3,
            )
            for number in range(stages)
        )
    )


@pytest.mark.parametrize(("stages", "longest"), [(30, 8), (150, 3), (250, 8)])
def test_it_has_less_than_400_lines(stages: int, longest: int) -> None:
    text = source(large(stages, longest))
    assert len(text.splitlines()) < 400


def test_lines_are_short_where_there_is_room() -> None:
    text = source(make_mix(*STAGES.values()))
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("stages", [3, 60])
def test_nothing_in_it_is_unused(stages: int) -> None:
    tree = ast.parse(source(make_mix(*islice(STAGES.values(), stages))))
    made = {
        name.split(".")[0]
        for node in tree.body
        for name in (
            [alias.asname or alias.name for alias in node.names]
            if isinstance(node, (ast.Import, ast.ImportFrom))
            else [node.name]
            if isinstance(node, (ast.FunctionDef, ast.ClassDef))
            else []
        )
    }
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    assert made - used == set()


def test_it_names_what_it_is_and_nothing_of_ours() -> None:
    text = source(small_mix())
    document = ast.get_docstring(ast.parse(text))
    assert document is not None
    assert "It has 2 stages." in document
    assert "predicted time of the mix = sum over the stages of multiplicity x seconds" in document
    assert "aimatrix" not in text.lower().replace("ai matrix", "")


def run(benchmark: MixBenchmark, folder: Path, *options: str) -> str:
    (folder / "model.py").write_text(source(benchmark), encoding="utf-8")
    # -I: neither PYTHONPATH nor the current folder; and where ours is installed, it is barred
    program = (
        "import runpy, sys\n"
        "sys.modules['aimatrix'] = None\n"
        f"sys.argv = ['model.py', *{options!r}]\n"
        "runpy.run_path(sys.orig_argv[-1], run_name='__main__')\n"
    )
    ended = subprocess.run(
        [sys.executable, "-I", "-c", program, str(folder / "model.py")],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    return ended.stdout


def test_it_runs_where_only_torch_is(tmp_path: Path) -> None:
    out = run(small_mix(), tmp_path, "--threads", "1", "--repetitions", "2")
    linear, gelu, whole, predicted = out.splitlines()
    assert linear.split()[0] == "linear"
    assert linear.split()[2:5] == ["ms", "x", "3"]
    assert gelu.split()[0] == "gelu"
    assert gelu.split()[-1].endswith("%")
    assert whole.startswith("pass: ")
    assert predicted.startswith("predicted time of the mix: ")


def test_its_json_adds_up(tmp_path: Path) -> None:
    words = ("--json", "--threads", "1", "--repetitions", "3", "--dtype", "bfloat16")
    document = json.loads(run(small_mix(), tmp_path, *words))
    stages = document["stages"]
    assert [(row["name"], row["multiplicity"]) for row in stages] == [
        ("linear", 3.0),
        ("gelu", 5.0),
    ]
    times = [row["multiplicity"] * row["seconds"] for row in stages]
    assert min(times) > 0
    assert document["predicted_seconds"] == pytest.approx(sum(times))
    assert [row["share"] for row in stages] == pytest.approx([t / sum(times) for t in times])
    assert document["pass_seconds"] > 0


def test_the_same_benchmark_gives_the_same_text_in_any_process(tmp_path: Path) -> None:
    benchmark = make_mix(*STAGES.values())
    path = tmp_path / "benchmark.json"
    path.write_text(benchmark.model_dump_json(), encoding="utf-8")
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from aimatrix.backends.torch_program import source\n"
        "from aimatrix.model.mix import MixBenchmark\n"
        "text = Path(sys.argv[1]).read_text(encoding='utf-8')\n"
        "sys.stdout.write(source(MixBenchmark.model_validate_json(text)))\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert ended.stdout == source(benchmark)


EVIL = '"""\nevil()\n"); evil(); #'


@pytest.mark.parametrize(
    ("family", "kind", "attributes"),
    [
        ("elementwise", EVIL, {"inputs": ((4,),)}),
        ("elementwise", EVIL, {"inputs": ((4,), (4,))}),
        ("movement", EVIL, {"inputs": ((4,),)}),
        ("sorting", f"topk {EVIL}", {"inputs": ((4,),), "outputs": ((4,),), "indices": 4}),
        ("resampling", f"upsample_{EVIL}", {"inputs": ((1, 1, 4),), "outputs": ((1, 1, 8),), "indices": 0}),  # noqa: E501
        ("reduction", EVIL, {"input": (4,), "dims": (0,), "keepdim": False}),
        ("normalization", EVIL, {"input": (4, 4), "parameters": 8}),
        ("unknown", EVIL, {"inputs": ((4,),)}),
        ("loss", "mse_loss", {"inputs": ((4,),), "outputs": ((),), "indices": 0, EVIL: EVIL}),
    ],
)  # fmt: skip
def test_words_of_a_file_are_not_in_it(family: str, kind: str, attributes: dict[str, Any]) -> None:
    stage = block("harmless", (OpCall.create(family, kind, attributes), None))
    text = source(make_mix(stage).model_copy(update={"aimatrix_version": EVIL}))
    ast.parse(text)
    assert "evil" not in text


def hostile(changes: dict[str, Any], attributes: dict[str, Any], name: str) -> MixBenchmark:
    stage = STAGES[name]
    first = stage.operators[0]
    changed = first.model_copy(update={**changes, "attributes": {**first.attributes, **attributes}})
    return make_mix(stage.model_copy(update={"operators": (changed,)}))


@pytest.mark.parametrize(
    ("changes", "attributes", "name"),
    [
        ({"kind": EVIL}, {}, "conv2d"),
        ({"kind": EVIL}, {}, "max_pool2d"),
        ({"kind": EVIL}, {}, "lstm"),
        ({"kind": EVIL}, {}, "sdpa"),
        ({"kind": EVIL}, {}, "embedding"),
        ({"dtype": EVIL}, {}, "gelu"),
        ({}, {"stride": [EVIL, EVIL]}, "conv2d"),
        ({}, {"groups": EVIL}, "conv2d"),
        ({}, {"dim": EVIL}, "cat"),
        ({}, {"pads": [EVIL, EVIL]}, "pad"),
        ({}, {"dims": [EVIL]}, "mean"),
        ({}, {"keepdim": EVIL}, "mean"),
        ({}, {"output_size": [EVIL, 1]}, "adaptive_avg_pool2d"),
        ({}, {"layers": EVIL}, "lstm"),
        ({}, {"inputs": [[EVIL]]}, "gelu"),
        ({}, {"outputs": [[EVIL]]}, "topk"),
        ({}, {"causal": EVIL}, "sdpa"),
    ],
)
def test_what_is_no_operator_is_refused(
    changes: dict[str, Any], attributes: dict[str, Any], name: str
) -> None:
    with pytest.raises(InputError, match=r"field stages\.0\.operators"):
        source(hostile(changes, attributes, name))


def test_a_name_is_a_string_in_it_whatever_it_is() -> None:
    benchmark = make_mix(small_mix().stages[0].model_copy(update={"name": EVIL}))
    assert loaded(benchmark)["STAGES"][0].name == EVIL
