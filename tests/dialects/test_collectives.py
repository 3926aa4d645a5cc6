"""Collectives, run by torch in a group of two processes with gloo."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from aimatrix import ops
from aimatrix.dialects.aten import translate
from aimatrix.dialects.raw import RawCall, TensorArg

pytest.importorskip("torch")

PROGRAM = """
import json, sys, warnings
import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from aimatrix import ops
from aimatrix.dialects.aten import ATTRIBUTES, translate
from aimatrix.monitoring import record_calls

warnings.simplefilter("ignore")
rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
x, long = torch.rand(6), torch.rand(12)

def run():
    dist.all_reduce(x)
    dist.all_gather([torch.empty(6), torch.empty(6)], x)
    dist.all_gather_into_tensor(torch.empty(12), x)
    dist.reduce_scatter_tensor(torch.empty(6), long)
    dist.all_to_all_single(torch.empty(6), x)
    dist.broadcast(x, 0)
    dist.reduce(x, 0)
    if rank == 0:
        dist.send(x, 1)
    else:
        dist.recv(x, 0)
    dist.scatter(x, [x, x] if rank == 0 else None, 0)
    dist.gather(x, [x.clone(), x.clone()] if rank == 0 else None, 0)
    alone = [dist.new_group([each]) for each in range(2)][rank]
    dist.all_reduce(x, group=alone)
    functional.all_gather_tensor(x, 0, dist.group.WORLD).sum()
    functional.all_reduce(x, "sum", dist.group.WORLD).sum()
    functional.reduce_scatter_tensor(long, "sum", 0, dist.group.WORLD).sum()
    dist.barrier()

calls = [translate(raw) for raw in record_calls(run, ATTRIBUTES)]
costs = [(call, ops.cost(call)) for call in calls]
print(json.dumps({
    "unknown": [call.kind for call in calls if call.family == "unknown"],
    "collectives": [
        [call.kind, cost.bytes_read, cost.bytes_written, call["group_size"]]
        for call, cost in costs if call.family == "collective"
    ],
}))
dist.destroy_process_group()
"""


def test_bytes_and_group_size_of_two_processes(tmp_path: Path) -> None:
    commands = [
        [sys.executable, "-c", PROGRAM, str(rank), str(tmp_path / "meeting")] for rank in range(2)
    ]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE) for command in commands]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    for rank, output in enumerate(outputs):
        seen = json.loads(output.splitlines()[-1])
        assert seen["unknown"] == []
        assert seen["collectives"] == [
            ["all_reduce", 24, 24, 2],
            ["all_gather", 24, 48, 2],
            ["all_gather", 24, 48, 2],
            ["reduce_scatter", 48, 24, 2],
            ["all_to_all", 24, 24, 2],
            ["broadcast", 24, 24, 2],
            ["reduce", 24, 24, 2],
            ["send", 24, 0, 2] if rank == 0 else ["recv", 0, 24, 2],
            ["scatter", 48 if rank == 0 else 0, 24, 2],
            ["gather", 24, 48 if rank == 0 else 0, 2],
            ["all_reduce", 24, 24, 1],
            ["all_gather", 24, 48, 2],
            ["all_reduce", 24, 24, 2],
            ["reduce_scatter", 48, 24, 2],
        ]


def test_what_a_capture_does_not_tell_is_left_out() -> None:
    arguments = {"output_tensors": (None,), "input_tensors": (TensorArg((6,)),)}
    seen = translate(RawCall("c10d::allgather_", arguments))
    assert (seen.kind, seen["group_size"]) == ("all_gather", None)
    assert ops.cost(seen).bytes == 24
    assert ops.cost(seen).warps is None
