"""The backend jax: ONNX's own cases of each operator, the operators of mixes, and its platforms."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from onnx.backend.test.case.node import collect_testcases
from test_onnx_operators import CALLS, MORE, OTHERWISE, alone, built, in_torch

from aimatrix import backends, ops
from aimatrix.backends import onnx_operators
from aimatrix.errors import UnsupportedError
from aimatrix.model.result import Platform
from mix_builders import small_mix

jax = pytest.importorskip("jax")

from aimatrix.backends.jax_graph import JaxModel  # noqa: E402, needs jax
from aimatrix.backends.jax_operators import RULES  # noqa: E402

#: of nothing there is no largest number, and the backend says so in jax's words
EMPTY = {f"test_reduce_{name}" for name in ("max_empty_set", "max_empty_set_bool", "min_empty_set")}


@cache
def cases() -> Sequence[Any]:
    """Nodes with inputs and outputs, as the package onnx has them for whoever runs ONNX."""
    found: Sequence[Any] = collect_testcases(None)
    return found


def of(operator: str) -> list[Any]:
    return [
        case
        for case in cases()
        if case.name not in EMPTY and [n.op_type for n in case.model.graph.node] == [operator]
    ]


def held(values: Sequence[Any]) -> bool:
    """Whether they are arrays of numbers that JAX holds."""
    return all(
        isinstance(value, (np.ndarray, np.generic))
        and value.dtype.kind in "fiub"
        and not (value.dtype.kind == "f" and value.dtype.itemsize > 4)
        for value in values
    )


def run(model: ModelProto, inputs: Sequence[np.ndarray]) -> list[np.ndarray]:
    """What the model computes; whole numbers may be shapes, which have to be known."""
    made = JaxModel(model.SerializeToString(), "float32")
    given = [x if x.dtype.kind in "iu" and x.size <= 64 else made.place(x) for x in inputs]
    return [np.asarray(output) for output in made(made.weights, *given)]


@pytest.mark.filterwarnings("ignore")  # ONNX's cases divide by zero, and are of 64 bits
@pytest.mark.parametrize("operator", sorted(RULES))
def test_it_computes_what_onnx_says(operator: str) -> None:
    """Every case is computed or refused; one at least is computed."""
    computed = 0
    own = [case for case in of(operator) if held([*case.data_sets[0][0], *case.data_sets[0][1]])]
    for case in own:
        inputs, expected = (list(map(np.asarray, values)) for values in case.data_sets[0])
        try:
            outputs = run(case.model, inputs)
        except UnsupportedError:
            continue
        computed += 1
        for output, wanted in zip(outputs, expected, strict=True):
            assert output.shape == wanted.shape, case.name
            np.testing.assert_allclose(
                output.astype(np.float64), wanted.astype(np.float64), rtol=1e-3, atol=1e-5
            )
    assert computed or not own


def test_most_operators_have_cases() -> None:
    assert {operator for operator in RULES if not of(operator)} <= {"GlobalAveragePool", "Gelu"}


@pytest.mark.parametrize("name", [*CALLS, *MORE])
def test_it_computes_what_torch_does(name: str) -> None:
    single = {**CALLS, **MORE}[name]
    model = built(alone(single))
    made = JaxModel(model.content, "float32", model.weights)
    output = np.asarray(made(made.weights, *map(made.place, model.inputs))[0])
    if onnx_operators.stands_in(single):
        assert output.size == ops.cost(single).bytes // 2 // 4
    elif name not in OTHERWISE:
        expected = in_torch(alone(single))[0]
        assert output.shape == expected.shape
        np.testing.assert_allclose(output, expected, rtol=1e-4, atol=1e-5)


def test_what_depends_on_constants_alone_is_computed_once() -> None:
    weight = numpy_helper.from_array(np.ones((2, 3), np.float32), "weight")
    sides = numpy_helper.from_array(np.array([3, 2]), "sides")
    nodes = [
        helper.make_node("Reshape", ["weight", "sides"], ["turned"]),
        helper.make_node("Exp", ["turned"], ["grown"]),
        helper.make_node("MatMul", ["x", "grown"], ["y"]),
    ]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [4, side])
        for name, side in (("x", 3), ("y", 2))
    )
    graph = helper.make_graph(nodes, "small", [x], [y], [weight, sides])
    made = JaxModel(helper.make_model(graph).SerializeToString(), "float32")
    assert [each.shape for each in made.weights] == [(3, 2)]
    text = str(jax.make_jaxpr(made)(made.weights, np.ones((4, 3), np.float32)))
    assert "dot_general" in text
    assert "exp" not in text


def test_an_operator_that_is_not_there_is_named() -> None:
    node = helper.make_node("Det", ["x"], ["y"])
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [2, 2]) for name in "xy")
    model = helper.make_model(helper.make_graph([node], "small", [x], [y]))
    with pytest.raises(UnsupportedError, match="the backend jax has no ONNX operator Det"):
        run(model, [np.eye(2, dtype=np.float32)])


def test_bfloat16_is_computed_in_bfloat16() -> None:
    exact, rounded = (
        backends.get("jax").prepare_mix(small_mix(), Platform(backend="jax", dtype=dtype)).outputs()
        for dtype in ("float32", "bfloat16")
    )
    for one, other in zip(exact, rounded, strict=True):
        far = np.abs(one - other).max() / np.abs(one).max()
        assert 0 < far < 0.05


def test_a_number_of_threads_that_it_cannot_have_is_refused() -> None:
    platform = Platform(backend="jax", threads=10_000)
    with pytest.raises(UnsupportedError, match="not on 10000"):
        backends.get("jax").check(platform)


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system pins no process")
def test_a_process_of_its_own_has_as_many_cores_as_threads() -> None:
    program = (
        "import os; from aimatrix import backends; backends.get('jax').own_process(1);"
        "print(len(os.sched_getaffinity(0)))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "1"
