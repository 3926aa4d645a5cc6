"""What the dispatch mode costs under a budget, and how far its estimates are off.

Run: ``python benchmarks/fallback_budget.py [--seconds 20] [--rounds 3]``. Programs that run tiny
operators for some seconds take turns: alone, under the mode with a budget of 5 %, and with none.
Printed are processor time for each operator (of the second half, when sampling has begun) relative
to that alone, and counted / true calls, by operator and phase.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from statistics import median

from aimatrix.monitoring import Run, WindowCount, run_monitored, this_host

PROGRAMS = {
    "600 tiny operators": """
x = torch.randn(8)
def work():
    for _ in range(600):
        torch.relu(x)
TRUE = {"aten::relu forward": 600}
""",
    "tiny training step": """
model = torch.nn.Sequential(*[torch.nn.Linear(8, 8) for _ in range(20)])
sgd = torch.optim.SGD(model.parameters(), lr=1e-3, foreach=False)
x = torch.randn(4, 8)
def work():
    model(x).sum().backward()
    sgd.step()
TRUE = {"aten::addmm forward": 20, "aten::mm backward": 39, "aten::add_ optimizer": 40}
""",
}
FRAME = """
import json, sys, time, torch
torch.set_num_threads(1)
{program}
end, times = time.time() + float(sys.argv[2]), []
while time.time() < end:
    begin = time.process_time()
    work()
    times.append(time.process_time() - begin)
half = times[len(times) // 2:]
outcome = {{"time": sum(half) / len(half), "true": {{k: v * len(times) for k, v in TRUE.items()}}}}
with open(sys.argv[1], "w") as file:
    json.dump(outcome, file)
"""


def run(program: str, seconds: float, budget: float | None) -> tuple[float, dict[str, float]]:
    """Time of a pass, and counted / true calls, under a budget (0: exact, None: alone)."""
    counted: Counter[str] = Counter()

    def count(window: list[WindowCount]) -> None:
        for each in window:
            counted[f"{each.raw.name} {each.raw.phase}"] += each.calls

    with tempfile.TemporaryDirectory() as folder:
        script, outcome = Path(folder) / "program.py", Path(folder) / "outcome.json"
        script.write_text(FRAME.format(program=program))
        command = [sys.executable, str(script), str(outcome), str(seconds)]
        if budget is None:
            subprocess.run(command, check=True)
        else:
            run_monitored(
                command,
                Run("program", this_host(), 3600.0),
                spool=Path(folder) / "spools" / "run",
                attributes={},
                on_window=count,
                capture="dispatch",
                budget=budget,
            )
        found = json.loads(outcome.read_text())
    return found["time"], {name: counted[name] / true for name, true in found["true"].items()}


def main() -> None:
    """Print a line for each program and way to run it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for name, program in PROGRAMS.items():
        ratios: dict[str, list[float]] = {"5%": [], "none": []}
        parts: dict[str, list[dict[str, float]]] = {"5%": [], "none": []}
        for _ in range(options.rounds):
            alone, _ = run(program, 4.0, None)
            for label, budget, seconds in (("5%", 0.05, options.seconds), ("none", 0.0, 4.0)):
                taken, counted = run(program, seconds, budget)
                ratios[label].append(taken / alone)
                parts[label].append(counted)
        for label, found in ratios.items():
            each = {key: [round(part[key], 2) for part in parts[label]] for key in parts[label][0]}
            print(f"{name}, budget {label}: time x {median(found):.3f}; counted / true {each}")


if __name__ == "__main__":
    main()
