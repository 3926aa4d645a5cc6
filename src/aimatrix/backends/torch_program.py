"""A mix as a program of its own: the text of `model.py`, which needs torch and nothing of ours.

Operators are written as `torch_operators` spells them, with the source of what `torch_mix` runs
them by, so that the program does the same work as the backends.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence

from aimatrix.backends import torch_blocks, torch_functions
from aimatrix.backends.torch_mix import Step, steps
from aimatrix.backends.torch_operators import Setting
from aimatrix.benchmark.check import check_mix
from aimatrix.benchmark.folder import mix_model_source
from aimatrix.model.mix import MixBenchmark, MixStage
from aimatrix.ops.operand import Role

#: lines that the program has at most, if it can
MOST_LINES = 399
#: characters of a line, and whether stages may share one: the first that make it short enough
_LAYOUTS = (
    *((width, False) for width in (100, 120, 140, 160, 200, 300, 400, 800)),
    *((width, True) for width in (200, 300, 400, 800, 1600)),
)
_RUNNING = (
    torch_blocks.Operand,
    torch_blocks.Memory,
    torch_blocks.Op,
    torch_blocks.Stage,
    torch_blocks.compiled,
)


def source(benchmark: MixBenchmark) -> str:
    """The text of ``model.py``.

    Raises InputError for a benchmark that states other work than its operators do.
    """
    # nothing is written below but what the operators' families have checked here
    check_mix(benchmark)
    blocks = [steps(stage, benchmark.dtype) for stage in benchmark.stages]
    names = {step.spelling.function for block in blocks for step in block}
    words = [_words(stage, block) for stage, block in zip(benchmark.stages, blocks, strict=True)]
    definitions = [*_RUNNING, *(getattr(torch_functions, name) for name in _own(names))]
    text = "\n".join(map(inspect.getsource, definitions)).rstrip()
    for width, shared in _LAYOUTS:
        lines = _lines(words, width, shared)
        program = mix_model_source(benchmark, definitions=text, lines=lines)
        if len(program.splitlines()) <= MOST_LINES:
            break
    return program


def _own(names: Iterable[str]) -> list[str]:
    """Those of `torch_functions` among the names of functions."""
    return sorted(name for name in names if "." not in name)


def _words(stage: MixStage, block: Sequence[Step]) -> list[list[str]]:
    """A stage in words that no line breaks: its beginning, then each of its operators."""
    operators = [[f"{word}," for word in _operator(step)] for step in block]
    if stage.repeats > 1:
        operators[-1].append(f"repeats={stage.repeats}),")
    else:
        operators[-1][-1] = f"{operators[-1][-1][:-1]}),"
    times = f"({stage.multiplicity:.7g}, {stage.multiplicity_on_accelerators:.7g}),"
    return [[f"Stage({_literal(stage.name)},", times], *operators]


def _operator(step: Step) -> list[str]:
    spelled = step.spelling
    taken = [_operand(*pair) for pair in zip(step.operands, step.roles, strict=True)]
    first = len(taken) - len(spelled.by_name)
    by_name = zip(spelled.by_name, taken[first:], strict=True)
    arguments = [*taken[:first], *(f"{name}={operand}" for name, operand in by_name)]
    arguments += [f"{name}={_literal(value)}" for name, value in spelled.settings.items()]
    *words, last = [f"Op({spelled.function}", *arguments]
    return [*words, f"{last})"]


def _operand(operand: torch_blocks.Operand, role: Role) -> str:
    sizes = [_literal(size) for size in operand.shape]
    if operand.of is not None:
        return f"y({', '.join([*sizes, f'of={operand.of}'])})"
    if role == "index":
        return f"i({', '.join([*sizes, f'bound={operand.bound}'])})"
    dtype = [] if operand.dtype is None else [f"dtype={_literal(operand.dtype)}"]
    return f"{'x' if operand.warm else 'w'}({', '.join([*sizes, *dtype])})"


def _literal(value: Setting) -> str:
    """A number, a flag, a word, or a list of them, as Python writes it."""
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_literal, value))}]"
    if not isinstance(value, (int, float, str, type(None))):
        raise TypeError(f"{value!r} is no setting of an operator")
    text = repr(value)
    return f'"{text[1:-1]}"' if isinstance(value, str) and '"' not in text else text


def _lines(stages: Iterable[list[list[str]]], width: int, shared: bool) -> list[str]:
    lines: list[str] = []
    for stage in stages:
        whole = "    " + " ".join(word for chunk in stage for word in chunk)
        if shared and lines and len(lines[-1]) + len(whole) <= width:
            lines[-1] += whole[3:]
        else:
            lines += [whole] if len(whole) <= width else _filled(stage, width)
    return lines


def _filled(stage: Iterable[list[str]], width: int) -> list[str]:
    """A stage in lines that end between its operators, or in one that is longer than a line."""
    lines = ["   "]
    for chunk in stage:
        operator = " ".join(chunk)
        for piece in [operator] if len(operator) + 8 <= width else chunk:
            if len(lines[-1]) + 1 + len(piece) > width:
                lines.append("       ")
            lines[-1] += f" {piece}"
    return lines
