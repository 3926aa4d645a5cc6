"""What compiled models do is counted as if they were not compiled, and they stay as they are."""

from __future__ import annotations

import re
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from conftest import Outcome, Watch

PREPARE = """
    import sys, threading, warnings, torch
    from torch import nn
    from torch.utils.checkpoint import checkpoint
    warnings.simplefilter("ignore")
    torch.manual_seed(0)
    torch.set_num_threads(1)
    def compiled(model, **options):
        return torch.compile(model, backend=BACKEND, **options) if BACKEND else model
"""

MODELS = {
    "perceptron": """
        model = compiled(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)))
        for _ in range(5):
            model(torch.randn(3, 8)).sum().backward()
    """,
    "convolutions": """
        model = compiled(nn.Sequential(
            nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(inplace=True),
            nn.MaxPool2d(2), nn.Conv2d(8, 8, 3, groups=2), nn.Dropout(0.5), nn.Flatten(),
            nn.Linear(288, 10),
        ))
        for _ in range(3):
            model(torch.randn(2, 3, 16, 16)).square().sum().backward()
        with torch.inference_mode():
            model(torch.randn(2, 3, 16, 16))
    """,
    "attention": """
        model = compiled(nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True))
        for _ in range(3):
            model(torch.randn(2, 5, 16)).square().sum().backward()
    """,
    "sizes that vary": """
        model = compiled(nn.Sequential(nn.Linear(8, 16), nn.GELU(), nn.Linear(16, 4)), dynamic=True)
        for size in (3, 5, 7, 5, 3, 9):
            model(torch.randn(size, 8)).square().sum().backward()
    """,
    "checkpoints": """
        part = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 8))
        inside = compiled(lambda x: checkpoint(part, x, use_reentrant=False).sin())
        outside = compiled(nn.Sequential(nn.Linear(8, 24), nn.Tanh(), nn.Linear(24, 8)))
        tail = nn.Linear(8, 5)
        for _ in range(3):
            inside(torch.randn(3, 8)).square().sum().backward()
            both = lambda x: tail(outside(x)).sin()
            checkpoint(both, torch.randn(3, 8), use_reentrant=False).square().sum().backward()
    """,
    "a graph break": """
        weight = torch.randn(4, 4, requires_grad=True)
        def branch(x):
            y = x @ weight
            return y if y.sum() > 1e9 else y @ weight.t()
        model = compiled(branch)
        for _ in range(3):
            model(torch.randn(2, 4)).square().sum().backward()
    """,
    "lower precision": """
        model = compiled(nn.Linear(8, 16))
        for _ in range(3):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                result = model(torch.randn(3, 8)).square().sum()
            result.backward()
    """,
    "threads": """
        model, weight = nn.Conv1d(3, 4, 3), torch.randn(2, 3, 9)
        model = compiled(model)
        model(weight)
        def work():
            for _ in range(50):
                model(weight)
        threads = [threading.Thread(target=work) for _ in range(4)]
        for each in threads: each.start()
        for each in threads: each.join()
    """,
}

#: bookkeeping, of compilers and of gradients' layout, in which compiled code differs from eager
OTHERWISE = re.compile(
    "aten::(_to_copy|add_?|as_strided|clone|copy_|detach|(new_)?empty(_strided)?|expand|flatten|full"
    "|item|lift_fresh|promote_types|scalar_tensor|select|t|to|view|zeros)"
)


def program(body: str, backend: str) -> str:
    """The model, compiled with ``backend``; not at all where that is empty."""
    parts = (f"BACKEND = {backend!r}", PREPARE, body)
    return "\n".join(textwrap.dedent(part) for part in parts)


def signatures(outcome: Outcome) -> Counter[tuple[str, str, str]]:
    """(name, phase, arguments) -> calls, without the bookkeeping."""
    counts: Counter[tuple[str, str, str]] = Counter()
    for count in outcome.counts:
        raw = count.raw
        if not OTHERWISE.fullmatch(raw.name):
            counts[raw.name, raw.phase, repr(sorted(raw.arguments.items()))] += count.calls
    return counts


def together(names: list[str]) -> str:
    return "\n".join(textwrap.dedent(MODELS[name]) for name in names)


@pytest.mark.parametrize(
    ("backend", "names"),
    [
        ("aot_eager", ["perceptron", "convolutions", "attention", "sizes that vary"]),
        ("aot_eager", ["checkpoints", "a graph break", "lower precision", "threads"]),
        ("eager", ["perceptron", "convolutions", "threads"]),
        ("inductor", ["convolutions"]),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_compiled_models_count_as_the_same_models_do(
    watch: Watch, backend: str, names: list[str]
) -> None:
    eager = watch(program(together(names), ""), budget=0.0)
    compiled = watch(program(together(names), backend), budget=0.0)
    assert (eager.returncode, eager.stderr) == (0, "")
    assert (compiled.returncode, compiled.stderr) == (0, "")
    assert compiled.calls("aimatrix::uncounted_region") == 0
    assert signatures(compiled) == signatures(eager)


def test_a_compiled_optimizer_counts_in_its_phase(watch: Watch) -> None:
    outcome = watch(
        program(
            """
            model = nn.Linear(4, 4, bias=False)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, foreach=False)
            @compiled
            def step(x):
                model(x).sum().backward()
                optimizer.step()
                optimizer.zero_grad()
            for _ in range(3):
                step(torch.randn(2, 4))
            """,
            "aot_eager",
        ),
        budget=0.0,
    )
    assert outcome.returncode == 0
    assert outcome.calls("aten::linear", phase="forward") == 3
    assert outcome.calls("aten::mm", phase="backward") == 3
    updates = [count for count in outcome.counts if count.raw.phase == "optimizer"]
    assert sum(count.calls for count in updates if count.raw.name == "aten::add_") == 3


def test_compiled_models_do_what_they_would_without_us(watch: Watch, tmp_path: Path) -> None:
    text = program(
        """
        from torch._dynamo.utils import counters
        model = nn.Sequential(nn.Linear(8, 16), nn.Dropout(0.5), nn.ReLU(), nn.Linear(16, 4))
        step = torch.compile(model, backend="aot_eager", fullgraph=True)
        for size in (3, 3, 5, 7):
            x = torch.randn(size, 8, requires_grad=True)
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=size == 5):
                y = step(x)
            y.square().sum().backward()
            print(y.dtype, y.double().sum().item().hex(), x.grad.double().sum().item().hex())
        print([each.grad.double().sum().item().hex() for each in model.parameters()])
        print({name: dict(counter) for name, counter in sorted(counters.items())})
        print(torch._dynamo.explain(model)(x).graph_count, torch.is_grad_enabled())
        print(torch.rand(2).tolist(), torch.is_autocast_enabled("cpu"), threading.active_count())
        try:
            step("no tensor")
        except Exception as error:
            print(type(error).__name__)
        exported = torch.export.export(model.eval(), (torch.randn(2, 8),))
        print(exported.module()(torch.ones(2, 8)).sum().item().hex())
        """,
        "aot_eager",
    )
    outcome = watch(text, budget=0.0)
    plain = subprocess.run(
        [sys.executable, str(tmp_path / "program.py")], capture_output=True, text=True, check=True
    )
    assert outcome.stdout == plain.stdout
    assert outcome.stderr == plain.stderr


def test_what_is_not_known_of_compiled_code_is_told(watch: Watch) -> None:
    outcome = watch(
        program(
            """
            from torch.testing._internal.two_tensor import TwoTensor
            model = compiled(lambda x: (x @ x).relu())
            for _ in range(3):
                model(TwoTensor(torch.ones(2, 2), torch.ones(2, 2)))
            """,
            "aot_eager",
        ),
        budget=0.0,
    )
    assert outcome.returncode == 0
    (line,) = outcome.stderr.splitlines()
    assert "counted by the operators that it calls: an input is of type TwoTensor" in line
    assert outcome.calls("aimatrix::uncounted_region") == 3
    assert outcome.calls("aten::mm") == 6  # as the compiled code calls them


def test_compilers_are_not_imported_by_us(watch: Watch) -> None:
    outcome = watch("import sys, torch; print('torch._dynamo' in sys.modules)")
    assert outcome.stdout == "False\n"
