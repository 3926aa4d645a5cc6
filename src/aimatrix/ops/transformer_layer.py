"""Layers of transformers that a framework runs as one fused operator, at inference."""

from __future__ import annotations

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import Family, is_count, is_size
from aimatrix.ops.formula import Formula


class TransformerLayer(Family):
    """Kinds: multi_head_attention (projections and attention), encoder_layer (that, and two linear
    layers with normalizations).

    Attributes: batch, query_len, key_len, embed_dim, heads, feedforward (width of the hidden
    linear layer; 0 of multi_head_attention). Tensors between its parts are not counted as moved.
    """

    name = "transformer_layer"
    formulas = (
        Formula(
            output="(batch, query_len, embed_dim)",
            macs=(
                "2 Q E² + 2 S E² + 2 Q key_len E + 2 Q E feedforward, with E = embed_dim,"
                " Q = batch query_len, S = batch key_len"
            ),
            read="inputs and parameters",
            written="output",
            parameters="4 E (E + 1); of encoder_layer + 2 E feedforward + feedforward + 5 E",
            source=(
                "Vaswani et al. 2017, arXiv:1706.03762, section 3; torch.nn.TransformerEncoderLayer"
            ),
        ),
    )
    required = {
        "batch": is_size,
        "query_len": is_size,
        "key_len": is_size,
        "embed_dim": is_count,
        "heads": is_count,
        "feedforward": is_size,
    }

    def check(self, call: OpCall) -> None:
        """As `Family.check`, and that heads divide the features."""
        super().check(call)
        if call.kind not in ("multi_head_attention", "encoder_layer"):
            raise InputError(f"{call.kind!r} is no layer of a transformer")
        if call["embed_dim"] % call["heads"]:
            raise InputError(f"a {call.kind} has features that its heads do not divide")

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        return (call["batch"], call["query_len"], call["embed_dim"])

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        width, hidden = call["embed_dim"], call["feedforward"]
        queries = call["batch"] * call["query_len"]
        keys = call["batch"] * call["key_len"]
        encoder = call.kind == "encoder_layer"
        parameters = 4 * width * width + 4 * width
        if encoder:  # two linear layers, and scale and shift of two normalizations
            parameters += 2 * width * hidden + hidden + width + 4 * width
        # queries and the output's projection, keys and values; scores and their use; both linears
        macs = 2 * queries * width * width + 2 * keys * width * width
        macs += 2 * queries * call["key_len"] * width + 2 * queries * width * hidden
        inputs = queries if encoder else queries + 2 * keys
        return Cost(
            macs=macs,
            bytes_read=(inputs * width + parameters) * itemsize,
            bytes_written=queries * width * itemsize,
            parameters=parameters,
            warps=_warps(call, queries, keys),
        )


def _warps(call: OpCall, queries: int, keys: int) -> int:
    width, hidden = call["embed_dim"], call["feedforward"]
    projections = 2 * launch.gemm_warps(queries * width) + 2 * launch.gemm_warps(keys * width)
    attention = launch.attention_warps(call["query_len"], call["batch"] * call["heads"])
    if call.kind == "multi_head_attention":
        return projections + attention
    linears = launch.gemm_warps(queries * hidden) + launch.gemm_warps(queries * width)
    return projections + attention + linears + 2 * launch.scalar_warps(queries * width)
