"""How much of real architectures the families know: ``python benchmarks/coverage.py``.

Each architecture runs one inference and, where it has gradients, one step of training (forward,
backward, a fused AdamW step), watched in this process by the dispatch capture. Printed are the
shares of multiply-adds, of bytes and of calls that known families hold, and the five most frequent
unknown operators over all, by calls and by bytes.

What unknown operators do is estimated by other means than ours, in a second run: their
multiply-adds by torch's formulas (`torch.utils.flop_counter`) for all that they call further in,
their bytes by the tensors that they take and give. One whose inside torch does not show and has no
formula for is named as not estimated. (Whether what is known is right is another question: see
tests/dialects/test_real_architectures.py, which compares with the same formulas.)

``--page docs/coverage.md`` writes the tables into that page, ``--summary docs/operators.md`` what
they come to into another. Needs transformers and keras.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.model.calls import OpCall
from aimatrix.monitoring import record_calls

HERE = Path(__file__).resolve().parent
sys.path += [str(HERE / "workloads"), str(HERE.parent / "tests" / "monitoring" / "architectures")]
#: modules that hold ``MAKERS`` -> what they are called in the table
GROUPS = {
    "transformers_models": "transformers",
    "keras_models": "Keras on torch",
    "own_models": "plain torch",
    "kinds": "plain torch",
}
BEGIN, END = "<!-- coverage -->\n", "<!-- end of coverage -->\n"
MOST = 5


@dataclass
class Work:
    """Multiply-adds, bytes and calls."""

    macs: int = 0
    bytes: int = 0
    calls: int = 0

    def add(self, macs: int, moved: int) -> None:
        """One call more."""
        self.macs += macs
        self.bytes += moved
        self.calls += 1


@dataclass
class Coverage:
    """What one run of an architecture did."""

    group: str
    architecture: str
    run: str
    known: Work = field(default_factory=Work)
    unknown: dict[str, Work] = field(default_factory=dict)
    not_estimated: list[str] = field(default_factory=list)

    def share(self, what: str) -> float:
        """The part of ``what`` (macs, bytes or calls) that known families hold."""
        known = getattr(self.known, what)
        whole = known + sum(getattr(work, what) for work in self.unknown.values())
        return known / whole if whole else 1.0


class Inside(TorchDispatchMode):
    """Estimates what the operators of some names do, by their insides and by their tensors."""

    def __init__(self, names: set[str]) -> None:
        super().__init__()
        self.names = names
        self.found: dict[str, Work] = {}
        self.not_estimated: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name
        if name not in self.names:
            return func(*args, **kwargs)
        products = Products()
        with products:
            result = func(*args, **kwargs)
        if products.is_blind:
            self.not_estimated.add(name)
        moved = sum(each.numel() * each.element_size() for each in tensors((args, kwargs, result)))
        self.found.setdefault(name, Work()).add(products.flops // 2, moved)
        return result


class Products(TorchDispatchMode):
    """Operations by torch's own formulas, of an operator or of what it is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.flops = 0
        self.is_blind = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        formula = flop_registry.get(func._overloadpacket)
        if formula is not None:
            result = func(*args, **kwargs)
            self.flops += formula(*args, **kwargs, out_val=result)
            return result
        with self:
            result = func.decompose(*args, **kwargs)
        if result is NotImplemented:
            self.is_blind = True
            return func(*args, **kwargs)
        return result


def tensors(value: Any) -> Iterator[torch.Tensor]:
    """All tensors in ``value``."""
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors(item)


def inference(function: Callable[..., Any], inputs: dict[str, Any]) -> Callable[[], Any]:
    """One inference, as services do it."""

    def run() -> None:
        with torch.inference_mode():
            function(**inputs)

    return run


def training(function: Callable[..., Any], inputs: dict[str, Any]) -> Callable[[], Any] | None:
    """One step of training; None for what has no gradients."""
    module = getattr(function, "__self__", function)
    if not isinstance(module, torch.nn.Module):
        return None
    learned = [each for each in module.parameters() if each.requires_grad]
    if not learned:
        return None
    fused = not any(each.is_complex() for each in learned)  # torch has none of complex numbers
    optimizer = torch.optim.AdamW(learned, lr=1e-6, fused=fused)
    if function is not module:  # a method that generates: its model learns from the same words
        inputs = {"input_ids": inputs["inputs"]}

    def run() -> None:
        given = module.train()(**inputs)
        given = dict(given) if isinstance(given, Mapping) else given
        learnable = [each for each in tensors(given) if each.requires_grad]
        sum(each.abs().mean() for each in learnable).backward()
        optimizer.step()
        optimizer.zero_grad()

    return run


def cover(coverage: Coverage, run: Callable[[], Any]) -> Coverage:
    """Run once to count, and once more to estimate what is unknown."""
    calls = [translate(raw) for raw in record_calls(run, ATTRIBUTES)]
    names = {call.kind for call in calls if call.family == "unknown"}
    for call in calls:
        if call.family != "unknown":
            cost = ops.cost(call)
            coverage.known.add(cost.macs or 0, cost.bytes)
    if names:
        inside = Inside(names)
        with inside:
            run()
        coverage.unknown = inside.found or _bounds(calls)
        coverage.not_estimated = sorted(inside.not_estimated)
    return coverage


def _bounds(calls: list[OpCall]) -> dict[str, Work]:
    """What the calls themselves tell of unknown operators, which a second run did not meet."""
    found: dict[str, Work] = {}
    for call in calls:
        if call.family == "unknown":
            found.setdefault(call.kind, Work()).add(0, ops.cost(call).bytes)
    return found


def measure(only: str | None) -> list[Coverage]:
    """The coverage of all architectures whose name holds ``only``."""
    found = []
    for module, group in GROUPS.items():
        for name, make in importlib.import_module(module).MAKERS.items():
            if only and only not in name:
                continue
            for kind, prepare in (("training", training), ("inference", inference)):
                torch.manual_seed(0)
                run = prepare(
                    *make()
                )  # training first: some keep tensors, and none may be of an inference
                if run is not None:
                    found.append(cover(Coverage(group, name, kind), run))
            print(found[-1].architecture, found[-1].unknown, file=sys.stderr)
            gc.collect()
    return found


def most_frequent(found: list[Coverage], what: str) -> list[tuple[str, int]]:
    """The unknown operators with the most of ``what`` over all, the most first."""
    totals: Counter[str] = Counter()
    for coverage in found:
        for name, work in coverage.unknown.items():
            totals[name] += getattr(work, what)
    return totals.most_common(MOST)


def page_text(found: list[Coverage]) -> str:
    """The tables, in Markdown."""
    lines = ["| architecture | from | run | calls | MACs known | bytes known | calls known |"]
    lines.append("|---|---|---|---:|---:|---:|---:|")
    for each in found:
        calls = each.known.calls + sum(work.calls for work in each.unknown.values())
        shares = " | ".join(f"{each.share(what):.2%}" for what in ("macs", "bytes", "calls"))
        lines.append(f"| {each.architecture} | {each.group} | {each.run} | {calls:,} | {shares} |")
    least = " | ".join(
        f"{min(each.share(what) for each in found):.2%}" for what in ("macs", "bytes", "calls")
    )
    lines.append(f"| *the least of {len(found)} runs* | | | | {least} |")
    lines += ["", *unknown_lines(found)]
    blind = sorted({name for each in found for name in each.not_estimated})
    named = ", ".join(f"`{name}`" for name in blind) or "none"
    lines += ["", f"Unknown operators whose multiply-adds could not be estimated: {named}."]
    return "\n".join(lines) + "\n"


def unknown_lines(found: list[Coverage]) -> list[str]:
    """A paragraph on the most frequent unknown operators by calls, and one by bytes."""
    lines = []
    for what in ("calls", "bytes"):
        top = most_frequent(found, what)
        named = ", ".join(f"`{name}` ({number:,})" for name, number in top) or "none"
        lines += [f"Most frequent unknown operators by {what}: {named}.", ""]
    return lines[:-1]


def summary_text(found: list[Coverage]) -> str:
    """What the table comes to, in Markdown."""
    architectures = len({(each.group, each.architecture) for each in found})
    least = {what: min(each.share(what) for each in found) for what in ("macs", "bytes", "calls")}
    whole = sum(all(each.share(what) == 1 for what in least) for each in found)
    lines = [
        f"{architectures} architectures, {len(found)} runs (inference and training steps): in"
        f" {whole} of them every operator is known. The least that known families hold in any one:"
        f" {least['macs']:.2%} of MACs, {least['bytes']:.2%} of bytes, {least['calls']:.2%} of"
        " calls.",
        "",
        *unknown_lines(found),
    ]
    return "\n".join(lines) + "\n"


def write_into(path: Path, text: str) -> None:
    """Put ``text`` between the marks of a page."""
    page = path.read_text(encoding="utf-8")
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}{text}{END}{after}", encoding="utf-8")


def main() -> None:
    """Measure, print, and write what is asked for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", help="architectures whose name holds this")
    parser.add_argument("--json", type=Path, help="a file to write")
    parser.add_argument("--page", type=Path, help="a page to write the tables into")
    parser.add_argument("--summary", type=Path, help="a page to write what they come to into")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    found = measure(options.only)
    text = page_text(found)
    print(text)
    if options.json:
        options.json.write_text(json.dumps([asdict(each) for each in found], indent=1))
    if options.page:
        write_into(options.page, text)
    if options.summary:
        write_into(options.summary, summary_text(found))


if __name__ == "__main__":
    main()
