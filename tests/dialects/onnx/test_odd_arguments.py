"""No node makes translation fail, however odd its tensors and attributes are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aimatrix import ops
from aimatrix.dialects.onnx import RULES, translate
from aimatrix.dialects.onnx.shapes import output_shapes
from aimatrix.dialects.onnx.unfuse import fused, unfuse
from aimatrix.dialects.raw import RawCall, TensorArg

ATTRIBUTES = (
    "activation activations alpha antialias auto_pad axes axis bits block_size causal ceil_mode"
    " channels_last dft_length dilations direction do_rotary equation gather_axis group is_causal"
    " K k keepdims kernel_shape kv_num_heads layout mode N num_heads onesided output_padding"
    " paddings pads q_num_heads qkv_hidden_sizes reduction signal_ndim strides training_mode"
    " transA transB transBatchA transBatchB unidirectional"
)
TENSORS = st.none() | st.builds(
    TensorArg,
    st.lists(st.integers(0, 9), max_size=5).map(tuple),
    st.sampled_from(["float32", "int64", "uint8", "int4", "string", "bool"]),
)
VALUES = (
    st.none()
    | st.integers(-3, 9)
    | st.floats(allow_nan=True)
    | st.sampled_from(["SAME_UPPER", "VALID", "Relu", "none", "ij,jk->ik", "...a->a...", ""])
    | st.lists(st.integers(-3, 9), max_size=6).map(tuple)
)


@st.composite
def odd_calls(draw: Any) -> RawCall:
    name = draw(st.sampled_from(sorted({*RULES, *fused()})))
    arguments = {
        "inputs": draw(st.lists(TENSORS, max_size=9).map(tuple)),
        "outputs": draw(st.lists(TENSORS, max_size=3).map(tuple)),
        **draw(st.dictionaries(st.sampled_from(ATTRIBUTES.split()), VALUES, max_size=6)),
    }
    return RawCall(name if "::" in name else f"onnx::{name}", arguments, dialect="onnx")


@settings(max_examples=1000, deadline=None)
@given(odd_calls())
def test_an_odd_node_is_known_or_unknown_and_never_an_error(raw: RawCall) -> None:
    for part in unfuse(raw):
        ops.cost(translate(part))
    output_shapes(raw)


@pytest.mark.parametrize("arguments", [{}, {"inputs": ()}, {"inputs": (), "outputs": ()}])
def test_a_node_that_tells_nothing_is_no_error(arguments: dict[str, Any]) -> None:
    for name in {*RULES, *fused()}:
        raw = RawCall(name if "::" in name else f"onnx::{name}", arguments, dialect="onnx")
        for part in unfuse(raw):
            ops.cost(translate(part))
        output_shapes(raw)
