"""Each operator as PyTorch spells it, and the canonical call that it has to become."""

from __future__ import annotations

import importlib
import pkgutil
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aimatrix import ops
from aimatrix.dialects import aten
from aimatrix.dialects.aten import ATTRIBUTES, RULES, translate
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.model.calls import OpCall


def call(name: str, **arguments: Any) -> OpCall:
    """The translation of ``aten::name``; lists are the shapes of tensors."""
    return translate(RawCall(f"aten::{name}", {k: argument(v) for k, v in arguments.items()}))


def argument(value: Any) -> Any:
    if isinstance(value, list):
        if value and isinstance(value[0], list):
            return tuple(argument(item) for item in value)
        return TensorArg(tuple(value))
    return value


def attributes(of: OpCall, *names: str) -> list[Any]:
    return [of[name] for name in names]


class TestConvolution:
    def test_as_a_dispatch_mode_sees_it(self) -> None:
        seen = call(
            "convolution",
            input=[2, 4, 15, 16],
            weight=[6, 2, 3, 2],
            bias=[6],
            stride=(2, 1),
            padding=(1, 0),
            dilation=(1, 3),
            transposed=False,
            output_padding=(0, 0),
            groups=2,
        )
        assert (seen.family, seen.kind) == ("convolution", "conv2d")
        assert attributes(seen, "batch", "in_channels", "out_channels", "groups") == [2, 4, 6, 2]
        assert attributes(seen, "stride", "padding", "dilation") == [(2, 1), (1, 0), (1, 3)]
        assert seen["bias"] is True
        assert ops.output_shape(seen) == (2, 6, 8, 13)
        assert ops.cost(seen).macs == 2 * 6 * 8 * 13 * 2 * 3 * 2

    def test_both_spellings_are_one_operator(self) -> None:
        more: dict[str, Any] = {"stride": (2,), "padding": (1,), "dilation": (1,), "groups": 1}
        outer = call("conv2d", input=[1, 3, 9, 9], weight=[8, 3, 3, 3], bias=None, **more)
        inner = call(
            "convolution",
            input=[1, 3, 9, 9],
            weight=[8, 3, 3, 3],
            bias=None,
            transposed=False,
            output_padding=(0, 0),
            **{**more, "stride": (2, 2), "padding": (1, 1), "dilation": (1, 1)},
        )
        assert outer == inner
        assert outer["bias"] is False

    def test_arguments_that_are_left_out_are_torchs_defaults(self) -> None:
        bare = call("conv1d", input=[1, 3, 9], weight=[8, 3, 3])
        assert attributes(bare, "stride", "padding", "dilation", "groups") == [(1,), (0,), (1,), 1]

    @pytest.mark.parametrize(
        ("kernel", "dilation", "padding", "padded"),
        [(3, 1, 1, 9), (5, 2, 4, 9), (4, 1, 1, 10), (2, 3, 1, 10), (1, 1, 0, 9)],
    )
    def test_padding_same_keeps_the_size_even_for_odd_totals(
        self, kernel: int, dilation: int, padding: int, padded: int
    ) -> None:
        seen = call(
            "conv1d", input=[1, 3, 9], weight=[8, 3, kernel], padding="same", dilation=(dilation,)
        )
        assert attributes(seen, "padding", "input_size") == [(padding,), (padded,)]
        assert ops.output_shape(seen) == (1, 8, 9)

    def test_padding_valid_is_none(self) -> None:
        seen = call("conv2d", input=[1, 3, 9, 9], weight=[8, 3, 3, 2], padding="valid")
        assert ops.output_shape(seen) == (1, 8, 7, 8)

    def test_padding_by_another_word_is_unknown(self) -> None:
        seen = call("conv2d", input=[1, 3, 9, 9], weight=[8, 3, 3, 2], padding="reflect")
        assert seen.family == "unknown"

    @pytest.mark.parametrize("rank", [1, 2, 3])
    def test_an_input_may_lack_its_batch(self, rank: int) -> None:
        seen = call(f"conv{rank}d", input=[3] + [9] * rank, weight=[8, 3] + [3] * rank)
        assert seen.kind == f"conv{rank}d"
        assert ops.output_shape(seen) == (1, 8, *[7] * rank)

    @pytest.mark.parametrize("name", ["convolution", "conv_transpose2d"])
    def test_transposed_weights_have_their_channels_the_other_way_round(self, name: str) -> None:
        more = {"transposed": True} if name == "convolution" else {}
        seen = call(
            name,
            input=[1, 4, 7, 7],
            weight=[4, 3, 3, 3],
            stride=(2, 2),
            padding=(1, 1),
            output_padding=(1, 1),
            groups=2,
            **more,
        )
        assert seen.kind == "conv_transpose2d"
        assert attributes(seen, "in_channels", "out_channels") == [4, 6]
        assert ops.output_shape(seen) == (1, 6, 14, 14)
        assert ops.cost(seen).macs == 4 * 49 * 3 * 9


class TestProducts:
    @pytest.mark.parametrize(
        ("shapes", "kind", "batch_m_n_k"),
        [
            (([2, 3], [3, 4]), "mm", (1, 2, 4, 3)),
            (([3], [3, 4]), "mm", (1, 1, 4, 3)),
            (([2, 3], [3]), "mm", (1, 2, 1, 3)),
            (([3], [3]), "mm", (1, 1, 1, 3)),
            (([5, 2, 3], [5, 3, 4]), "bmm", (5, 2, 4, 3)),
            (([5, 1, 2, 3], [6, 3, 4]), "bmm", (30, 2, 4, 3)),
            (([2, 3], [6, 3, 4]), "bmm", (6, 2, 4, 3)),
            (([6, 2, 3], [3, 4]), "mm", (1, 12, 4, 3)),
            (([6, 2, 3], [3]), "mm", (1, 12, 1, 3)),
            (([3], [6, 3, 4]), "bmm", (6, 1, 4, 3)),
        ],
    )
    def test_matmul_of_every_rank(
        self, shapes: tuple[list[int], list[int]], kind: str, batch_m_n_k: tuple[int, ...]
    ) -> None:
        seen = call("matmul", self=shapes[0], other=shapes[1])
        assert (seen.family, seen.kind) == ("matmul", kind)
        assert tuple(attributes(seen, "batch", "m", "n", "k")) == batch_m_n_k

    @pytest.mark.parametrize(
        ("name", "arguments", "macs", "bias"),
        [
            ("mm", {"self": [2, 3], "mat2": [3, 4]}, 24, False),
            ("bmm", {"self": [5, 2, 3], "mat2": [5, 3, 4]}, 120, False),
            ("mv", {"self": [2, 3], "vec": [3]}, 6, False),
            ("dot", {"self": [3], "tensor": [3]}, 3, False),
            ("vdot", {"self": [3], "other": [3]}, 3, False),
            ("addmm", {"self": [4], "mat1": [2, 3], "mat2": [3, 4]}, 24, True),
            ("addmv", {"self": [2], "mat": [2, 3], "vec": [3]}, 6, True),
            ("baddbmm", {"self": [2, 4], "batch1": [5, 2, 3], "batch2": [5, 3, 4]}, 120, True),
            ("linear", {"input": [7, 2, 3], "weight": [4, 3], "bias": [4]}, 168, True),
            ("linear", {"input": [3], "weight": [4, 3], "bias": None}, 12, False),
            ("linear", {"input": [2, 3], "weight": [3]}, 6, False),
        ],
    )
    def test_macs_and_bias(
        self, name: str, arguments: dict[str, list[int]], macs: int, bias: bool
    ) -> None:
        seen = call(name, **arguments)
        assert seen.family == "matmul"
        assert ops.cost(seen).macs == macs
        assert seen["bias"] is bias

    @pytest.mark.parametrize(
        ("name", "arguments"),
        [
            ("mm", {"self": [2, 3], "mat2": [4, 4]}),
            ("linear", {"input": [2, 3], "weight": [4, 5]}),
            ("matmul", {"self": [], "other": [3]}),
        ],
    )
    def test_shapes_that_make_no_product_are_unknown(
        self, name: str, arguments: dict[str, list[int]]
    ) -> None:
        assert call(name, **arguments).family == "unknown"


class TestPooling:
    def test_stride_is_the_kernel_unless_given(self) -> None:
        for stride in ((), None):
            seen = call("avg_pool2d", self=[1, 4, 9, 9], kernel_size=(3, 2), stride=stride)
            assert ops.output_shape(seen) == (1, 4, 3, 4)
        seen = call("avg_pool2d", self=[1, 4, 9, 9], kernel_size=(3,), stride=(1,))
        assert ops.output_shape(seen) == (1, 4, 7, 7)

    def test_max_pool_as_a_dispatch_mode_sees_it(self) -> None:
        seen = call(
            "max_pool2d_with_indices",
            self=[4, 8, 8],
            kernel_size=(3, 3),
            stride=(2, 2),
            padding=(0, 0),
            dilation=(1, 1),
            ceil_mode=True,
        )
        assert (seen.kind, ops.output_shape(seen)) == ("max_pool2d", (1, 4, 4, 4))

    @pytest.mark.parametrize("name", ["adaptive_avg_pool2d", "_adaptive_avg_pool2d"])
    def test_adaptive_pools_have_the_size_that_they_are_asked_for(self, name: str) -> None:
        seen = call(name, self=[2, 4, 8, 8], output_size=(3, 5))
        assert (seen.kind, ops.output_shape(seen)) == ("adaptive_avg_pool2d", (2, 4, 3, 5))

    def test_of_one_and_three_dimensions(self) -> None:
        one = call("max_pool1d", self=[1, 4, 9], kernel_size=(2,))
        three = call("avg_pool3d", self=[1, 4, 4, 4, 4], kernel_size=(2, 2, 2))
        assert ops.output_shape(one) == (1, 4, 4)
        assert ops.output_shape(three) == (1, 4, 2, 2, 2)


class TestAttention:
    QUERY, KEY, VALUE = [2, 8, 5, 16], [2, 4, 7, 16], [2, 4, 7, 12]
    MACS = 2 * 8 * 5 * 7 * (16 + 12)

    @pytest.mark.parametrize(
        "name",
        [
            "scaled_dot_product_attention",
            "_scaled_dot_product_flash_attention",
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_efficient_attention",
            "_scaled_dot_product_cudnn_attention",
            "_scaled_dot_product_attention_math",
        ],
    )
    def test_every_backend_is_the_same_operator(self, name: str) -> None:
        seen = call(name, query=self.QUERY, key=self.KEY, value=self.VALUE, is_causal=True)
        assert (seen.family, seen.kind, seen["causal"]) == ("attention", "sdpa", True)
        assert attributes(seen, "heads", "kv_heads", "query_len", "key_len") == [8, 4, 5, 7]
        assert ops.cost(seen).macs == self.MACS

    @pytest.mark.parametrize("name", ["_flash_attention", "_efficient_attention"])
    def test_backends_with_heads_behind_lengths(self, name: str) -> None:
        query, key, value = ([n, length, h, d] for n, h, length, d in self._shapes())
        seen = call(f"{name}_forward", query=query, key=key, value=value, custom_mask_type=0)
        assert ops.cost(seen).macs == self.MACS
        assert ops.output_shape(seen) == (2, 8, 5, 12)

    def test_gradients(self) -> None:
        seen = call(
            "_scaled_dot_product_efficient_attention_backward",
            grad_out_=[2, 8, 5, 12],
            query=self.QUERY,
            key=self.KEY,
            value=self.VALUE,
        )
        assert (seen.kind, ops.cost(seen).macs) == (
            "sdpa_backward",
            2 * 8 * 5 * 7 * (3 * 16 + 2 * 12),
        )

    def test_packed_sequences_are_known_where_all_are_of_one_length(self) -> None:
        more = {"cum_seq_q": [4], "cum_seq_k": [4], "max_q": 5, "max_k": 7}
        shapes = {"query": [15, 8, 16], "key": [21, 4, 16], "value": [21, 4, 16]}
        seen = call("_flash_attention_forward", **shapes, **more)
        assert (seen["batch"], ops.cost(seen).macs) == (3, 3 * 8 * 5 * 7 * 32)
        ragged = call("_flash_attention_forward", **{**shapes, "query": [13, 8, 16]}, **more)
        assert (ragged.family, ops.cost(ragged).macs) == ("unknown", None)

    def test_its_dtype_is_that_of_the_queries(self) -> None:
        seen = translate(
            RawCall(
                "aten::_scaled_dot_product_flash_attention_backward",
                {
                    "grad_out": TensorArg((1, 1, 2, 3), "float32"),
                    **{
                        name: TensorArg((1, 1, 2, 3), "bfloat16")
                        for name in ("query", "key", "value")
                    },
                },
            )
        )
        assert seen.dtype == "bfloat16"

    def _shapes(self) -> list[list[int]]:
        return [self.QUERY, self.KEY, self.VALUE]


class TestRecurrent:
    def test_a_backends_layers(self) -> None:
        weights = [[28, 5], [28, 7], [28], [28]] * 2
        more: dict[str, Any] = {"mode": 2, "hidden_size": 7, "proj_size": 0, "num_layers": 1}
        more |= {"batch_first": False, "bidirectional": True, "batch_sizes": ()}
        seen = call("_cudnn_rnn", input=[4, 3, 5], weight=weights, hx=[2, 3, 7], **more)
        assert (seen.family, seen.kind, seen["bias"]) == ("recurrent", "lstm", True)
        assert ops.cost(seen).macs == 4 * 3 * 2 * 28 * (5 + 7)
        packed = call(
            "_cudnn_rnn_backward",
            input=[6, 5],
            weight=weights,
            **{**more, "batch_sizes": (3, 2, 1), "mode": 3},
        )
        assert packed.kind == "gru_backward"
        assert ops.cost(packed).macs == 2 * 6 * 2 * 21 * (5 + 7)

    def test_a_single_layer_of_a_backend(self) -> None:
        seen = call(
            "mkldnn_rnn_layer",
            input=[4, 3, 5],
            mode=2,
            hidden_size=7,
            num_layers=2,
            has_biases=True,
            bidirectional=True,
        )
        assert ops.cost(seen).macs == 4 * 3 * 28 * (5 + 7)


class TestTheRest:
    @pytest.mark.parametrize(
        ("name", "kind"),
        [
            ("batch_norm", "batch_norm"),
            ("_native_batch_norm_legit_no_training", "batch_norm"),
            ("native_layer_norm", "layer_norm"),
            ("native_group_norm", "group_norm"),
            ("instance_norm", "instance_norm"),
        ],
    )
    def test_normalizations_count_their_parameters(self, name: str, kind: str) -> None:
        seen = call(name, input=[2, 4, 5, 5], weight=[4], bias=[4], running_mean=None)
        assert (seen.family, seen.kind) == ("normalization", kind)
        assert seen["parameters"] == 8
        assert ops.cost(seen).macs == 0

    def test_elementwise_operators_broadcast(self) -> None:
        seen = call("add", self=[2, 1, 5], other=[3, 1], alpha=1)
        assert ops.output_shape(seen) == (2, 3, 5)
        assert ops.cost(seen).bytes == 4 * (10 + 3 + 30)

    def test_in_place_spellings_are_the_same_operator(self) -> None:
        assert call("relu_", self=[2, 3]) == call("relu", self=[2, 3])

    def test_dropout_does_nothing_at_inference(self) -> None:
        assert ops.cost(call("dropout", input=[2, 3], train=False)).bytes == 0
        assert ops.cost(call("dropout", input=[2, 3], train=True)).bytes == 48

    @pytest.mark.parametrize(
        ("arguments", "output"),
        [
            ({}, ()),
            ({"dim": None}, ()),
            ({"dim": 1}, (2, 4)),
            ({"dim": -1, "keepdim": True}, (2, 3, 1)),
            ({"dim": (0, 2)}, (3,)),
            ({"dim": ()}, ()),
        ],
    )
    def test_reductions_over_none_one_or_some_axes(
        self, arguments: dict[str, Any], output: tuple[int, ...]
    ) -> None:
        assert ops.output_shape(call("mean", self=[2, 3, 4], **arguments)) == output

    def test_softmax_keeps_the_shape(self) -> None:
        seen = call("_softmax", self=[2, 5], dim=1, half_to_float=False)
        assert (seen.kind, ops.output_shape(seen)) == ("softmax", (2, 5))

    def test_joins_and_pads(self) -> None:
        assert ops.output_shape(call("cat", tensors=[[2, 3], [2, 4]], dim=-1)) == (2, 7)
        assert ops.output_shape(call("cat", tensors=[[2, 3], [2, 3]])) == (4, 3)
        assert ops.output_shape(call("stack", tensors=[[2, 3], [2, 3]], dim=1)) == (2, 2, 3)
        padded = call("constant_pad_nd", self=[1, 3, 4, 5], pad=(1, 2, 0, 3))
        assert ops.output_shape(padded) == (1, 3, 7, 8)
        reflected = call("reflection_pad1d", self=[3, 4], padding=(1, 1))
        assert ops.output_shape(reflected) == (3, 6)

    def test_a_fill_writes_its_size_and_reads_nothing(self) -> None:
        for seen in (call("zeros", size=(4, 5)), call("ones_like", self=[4, 5])):
            assert ops.cost(seen).bytes == ops.cost(seen).bytes_written == 80

    def test_repeat_writes_all_copies(self) -> None:
        seen = call("repeat", self=[3, 4], repeats=(2, 1, 5))
        assert ops.output_shape(seen) == (2, 3, 20)

    def test_a_conversion_is_a_copy_only_where_that_is_told(self) -> None:
        x = TensorArg((2, 3))
        assert translate(RawCall("aten::to", {"self": x, "copy": False})).kind == "view"
        assert translate(RawCall("aten::to", {"self": x, "copy": True})).kind == "copy"
        for other in (TensorArg((1,), "float16"), TensorArg((1,), device="cuda")):
            assert translate(RawCall("aten::to", {"self": x, "other": other})).kind == "copy"
        assert translate(RawCall("aten::type_as", {"self": x, "other": x})).kind == "view"
        assert translate(RawCall("aten::_to_copy", {"self": x})).kind == "copy"

    @pytest.mark.parametrize("name", ["view", "t", "permute", "flatten", "detach", "split"])
    def test_views_cost_nothing(self, name: str) -> None:
        seen = call(name, self=[2, 3])
        assert (seen.family, ops.cost(seen).bytes, ops.cost(seen).warps) == ("movement", 0, 0)

    def test_an_overload_may_be_another_operator(self) -> None:
        two = {"self": TensorArg((2, 3)), "other": TensorArg((2, 3))}
        assert translate(RawCall("aten::max", two, overload="other")).family == "elementwise"
        one = {"self": TensorArg((2, 3)), "dim": 1}
        assert translate(RawCall("aten::max", one, overload="dim")).family == "reduction"

    def test_packed_weights_that_tell_nothing_leave_a_layer_unknown(self) -> None:
        seen = translate(RawCall("quantized::linear", {"X": TensorArg((2, 3), "quint8")}))
        assert (seen.family, ops.cost(seen).macs) == ("unknown", None)

    def test_quantised_layers_whose_weights_are_tensors(self) -> None:
        linear = translate(
            RawCall(
                "onednn::qlinear_pointwise",
                {"qx": TensorArg((2, 3), "uint8"), "qw": TensorArg((3, 4), "int8")},
            )
        )
        assert (linear.dtype, ops.cost(linear).macs) == ("uint8", 24)
        convolution = translate(
            RawCall(
                "onednn::qconv_pointwise",
                {
                    "qx": TensorArg((1, 3, 8, 8), "uint8"),
                    "qw": TensorArg((4, 3, 3, 3), "int8"),
                    "bias": None,
                    "padding": (1, 1),
                },
            )
        )
        assert (convolution.kind, ops.cost(convolution).macs) == ("conv2d", 64 * 4 * 27)


class TestUnknown:
    def test_keeps_its_name_and_its_inputs(self) -> None:
        seen = translate(
            RawCall(
                "acme::frobnicate_", {"x": TensorArg((2, 3), "bfloat16", "cuda")}, phase="optimizer"
            )
        )
        assert (seen.family, seen.kind) == ("unknown", "acme::frobnicate_")
        assert (seen.dtype, seen.device, seen.phase) == ("bfloat16", "cuda", "optimizer")
        assert ops.cost(seen).macs is None
        assert ops.cost(seen).bytes == 12

    def test_an_operator_of_another_namespace_is_not_atens(self) -> None:
        seen = translate(RawCall("acme::relu", {"self": TensorArg((2, 3))}))
        assert seen.kind == "acme::relu"

    def test_an_odd_call_of_a_known_operator_keeps_its_name(self) -> None:
        seen = call("conv2d", input=[1, 3, 9, 9])
        assert (seen.family, seen.kind) == ("unknown", "aten::conv2d")

    def test_a_dtype_that_nobody_knows_has_no_bytes(self) -> None:
        seen = translate(RawCall("aten::relu", {"self": TensorArg((2, 3), "float3")}))
        assert seen.kind == "aten::relu"
        assert ops.cost(seen).bytes == 0


_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 10**30),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(["same", "", "x", "ij,jk"]),
)
_TENSORS = st.builds(
    TensorArg,
    st.lists(st.integers(0, 9), max_size=6).map(tuple),
    st.sampled_from(["float32", "bfloat16", "no_dtype"]),
)
_VALUES = st.recursive(
    st.one_of(_SCALARS, _TENSORS),
    lambda inner: st.lists(inner, max_size=4).map(tuple),
    max_leaves=6,
)
_NAMES = [
    "input",
    "self",
    "other",
    "weight",
    "bias",
    "mat1",
    "mat2",
    "vec",
    "batch1",
    "batch2",
    "tensors",
    "dim",
    "keepdim",
    "size",
    "pad",
    "padding",
    "stride",
    "kernel_size",
    "output_size",
    "groups",
    "dilation",
    "transposed",
    "output_padding",
    "ceil_mode",
    "train",
    "repeats",
    "query",
    "key",
    "value",
    "hx",
    "params",
    "indices",
    "index",
    "equation",
    "scale_factors",
    "output_mask",
    "grad_output",
    "offsets",
    "target",
    "batch_sizes",
    "num_layers",
    "end",
    "step",
    "n",
    "s",
]


@given(st.sampled_from(sorted(RULES)), st.dictionaries(st.sampled_from(_NAMES), _VALUES))
def test_strange_arguments_never_raise(name: str, arguments: dict[str, Any]) -> None:
    seen = translate(RawCall(f"aten::{name}", arguments))
    assert ops.cost(seen).bytes >= 0
    assert seen.family != "unknown" or seen.kind == f"aten::{name}"


def test_no_operator_has_two_rules() -> None:
    seen: list[str] = []
    for module in pkgutil.iter_modules(aten.__path__):
        seen += getattr(importlib.import_module(f"{aten.__name__}.{module.name}"), "RULES", {})
    assert sorted(seen) == sorted(RULES)


def test_a_capture_is_told_what_each_rule_reads() -> None:
    assert "groups" in ATTRIBUTES["aten::conv2d"]
    assert "dim" in ATTRIBUTES["aten::cat"]
    assert "onednn::qconv_pointwise" in ATTRIBUTES
    assert "aten::relu" not in ATTRIBUTES  # tensors are kept anyway
