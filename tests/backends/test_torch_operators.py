"""Single operators in PyTorch: each runs, is what it is to be, and gives the shape it should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from aimatrix import ops
from aimatrix.backends import torch_operators
from aimatrix.dialects import aten
from aimatrix.model.calls import OpCall
from aimatrix.monitoring.in_process import record_calls

sys.path.append(str(Path(__file__).parents[1] / "ops"))
from laid_out import CALLS

# torch tells that oneDNN has no LSTM with projections
pytestmark = pytest.mark.filterwarnings("ignore:LSTM with projections")

#: their output is several tensors, or has another layout than the family tells
OTHERWISE = {"embedding backward", "lstm", "lstm projected", "gru", "lstm_cell", "index_add"}


def run(call: OpCall) -> Any:
    generator = torch.Generator().manual_seed(0)
    operands = torch_operators.operands(call)
    tensors = [torch_operators.tensor(each, call.dtype, generator) for each in operands]
    with torch.inference_mode():
        return torch_operators.function(call)(*tensors)


@pytest.mark.parametrize("name", CALLS)
def test_it_runs_and_gives_the_shape_that_its_family_says(name: str) -> None:
    call = CALLS[name]
    assert not torch_operators.stands_in(call)
    output = run(call)
    first = output[0] if isinstance(output, (tuple, list)) else output
    expected = ops.output_shape(call)
    if expected is not None and name not in OTHERWISE:
        assert tuple(first.shape)[-2:] == tuple(expected)[-2:]
        assert first.numel() == torch.Size(expected).numel()


@pytest.mark.parametrize(
    "name", [name for name in CALLS if CALLS[name].family in ("matmul", "convolution", "attention")]
)
def test_watched_it_is_the_call_that_it_stands_for(name: str) -> None:
    call = CALLS[name]
    seen = [aten.translate(raw) for raw in record_calls(lambda: run(call), aten.ATTRIBUTES)]
    macs = [ops.cost(each).macs or 0 for each in seen if each.family == call.family]
    assert sum(macs) == ops.cost(call).macs


def test_what_cannot_be_laid_out_is_a_copy_of_as_many_bytes() -> None:
    call = OpCall.create(
        "loss", "nll_loss", {"inputs": ((8, 1000),), "outputs": ((),), "indices": 8}
    )
    assert torch_operators.stands_in(call)
    output = run(call)
    assert 2 * output.numel() * 4 == pytest.approx(ops.cost(call).bytes, rel=0.01)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", CALLS)
def test_it_runs_in_less_than_float32(name: str, dtype: str) -> None:
    """As autocast leaves it, in training too."""
    run(CALLS[name].with_dtype(dtype))
