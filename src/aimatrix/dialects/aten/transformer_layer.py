"""The layers of transformers that PyTorch fuses at inference."""

from __future__ import annotations

from aimatrix.dialects.aten.rule import Arguments, Rule, Translation, same


def _multi_head_attention(_: str, arguments: Arguments) -> Translation:
    batch, query_len, _width = arguments["query"].shape
    return "multi_head_attention", {
        "batch": batch,
        "query_len": query_len,
        "key_len": arguments["key"].shape[1],
        "embed_dim": arguments["embed_dim"],
        "heads": arguments["num_head"],
        "feedforward": 0,
    }


def _encoder_layer(_: str, arguments: Arguments) -> Translation:
    batch, length, _width = arguments["src"].shape
    return "encoder_layer", {
        "batch": batch,
        "query_len": length,
        "key_len": length,
        "embed_dim": arguments["embed_dim"],
        "heads": arguments["num_heads"],
        "feedforward": arguments["ffn_weight_1"].shape[0],
    }


RULES: dict[str, Rule] = {
    **same(
        Rule("transformer_layer", _multi_head_attention, ("embed_dim", "num_head")),
        "_native_multi_head_attention _triton_multi_head_attention",
    ),
    "_transformer_encoder_layer_fwd": Rule(
        "transformer_layer", _encoder_layer, ("embed_dim", "num_heads")
    ),
}
