"""Architectures of `transformers` with random weights: real in structure, small in size.

Each maker gives the model, and the inputs of one inference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import transformers as hf

Made = tuple[Callable[..., Any], dict[str, Any]]

WORDS = {"vocab_size": 99, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
ENCODER = {**WORDS, "intermediate_size": 128, "max_position_embeddings": 64}


def _tokens(batch: int = 2, length: int = 12) -> torch.Tensor:
    return torch.arange(batch * length).reshape(batch, length) % 90 + 2


def _image(side: int = 64) -> torch.Tensor:
    return torch.linspace(-1, 1, 2 * 3 * side * side).reshape(2, 3, side, side)


def _text(model: Any, config: Any) -> Made:
    return model(config).eval(), {"input_ids": _tokens()}


def _picture(model: Any, config: Any) -> Made:
    return model(config).eval(), {"pixel_values": _image()}


def _generating(model: Any, config: Any) -> Made:
    """Five tokens more, one by one, with the cache of keys and values."""
    made = model(config).eval()
    inputs = _tokens(1, 5)
    options = {"attention_mask": torch.ones_like(inputs), "max_new_tokens": 5, "pad_token_id": 0}
    options |= {"do_sample": False, "eos_token_id": None}
    return made.generate, {"inputs": inputs, **options}


def _between(model: Any, config: Any) -> Made:
    """An encoder and a decoder."""
    made = model(config).eval()
    return made, {"input_ids": _tokens(), "decoder_input_ids": _tokens(2, 7)}


def bert() -> Made:
    return _text(hf.BertForSequenceClassification, hf.BertConfig(**ENCODER))


def distilbert() -> Made:
    config = hf.DistilBertConfig(vocab_size=99, dim=64, n_layers=2, n_heads=4, hidden_dim=128)
    return _text(hf.DistilBertModel, config)


def roberta() -> Made:
    return _text(hf.RobertaForMaskedLM, hf.RobertaConfig(**ENCODER))


def albert() -> Made:
    return _text(hf.AlbertModel, hf.AlbertConfig(**ENCODER, embedding_size=32))


def electra() -> Made:
    return _text(hf.ElectraModel, hf.ElectraConfig(**ENCODER, embedding_size=32))


def deberta_v2() -> Made:
    relative = {"relative_attention": True, "pos_att_type": ["p2c", "c2p"]}
    return _text(hf.DebertaV2Model, hf.DebertaV2Config(**ENCODER, **relative))


def gpt2() -> Made:
    config = hf.GPT2Config(vocab_size=99, n_embd=64, n_layer=2, n_head=4, n_positions=64)
    return _generating(hf.GPT2LMHeadModel, config)


def gpt_neox() -> Made:
    return _text(hf.GPTNeoXForCausalLM, hf.GPTNeoXConfig(**ENCODER))


def opt() -> Made:
    config = hf.OPTConfig(**WORDS, ffn_dim=128, word_embed_proj_dim=64, max_position_embeddings=64)
    return _text(hf.OPTForCausalLM, config)


def bloom() -> Made:
    config = hf.BloomConfig(vocab_size=99, hidden_size=64, n_layer=2, n_head=4)
    return _text(hf.BloomForCausalLM, config)


def llama() -> Made:
    """Two heads of queries share one of keys and values."""
    return _generating(hf.LlamaForCausalLM, hf.LlamaConfig(**ENCODER, num_key_value_heads=2))


def qwen2() -> Made:
    return _text(hf.Qwen2ForCausalLM, hf.Qwen2Config(**ENCODER, num_key_value_heads=2))


def gemma2() -> Made:
    config = hf.Gemma2Config(**ENCODER, num_key_value_heads=2, head_dim=16)
    return _text(hf.Gemma2ForCausalLM, config)


def phi() -> Made:
    return _text(hf.PhiForCausalLM, hf.PhiConfig(**ENCODER))


def mixtral() -> Made:
    """A mixture of experts."""
    config = hf.MixtralConfig(**ENCODER, num_key_value_heads=2, num_local_experts=4)
    return _text(hf.MixtralForCausalLM, config)


def t5() -> Made:
    config = hf.T5Config(vocab_size=99, d_model=64, d_kv=16, d_ff=128, num_layers=2, num_heads=4)
    return _between(hf.T5ForConditionalGeneration, config)


def bart() -> Made:
    sides = {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 128))
    }
    config = hf.BartConfig(vocab_size=99, d_model=64, max_position_embeddings=64, **sides)
    return _between(hf.BartForConditionalGeneration, config)


def mamba() -> Made:
    """A state space model: no attention."""
    config = hf.MambaConfig(vocab_size=99, hidden_size=64, num_hidden_layers=2, state_size=8)
    return _text(hf.MambaForCausalLM, config)


VISION = {**WORDS, "intermediate_size": 128, "image_size": 64, "patch_size": 16}
VISION.pop("vocab_size")


def vit() -> Made:
    return _picture(hf.ViTForImageClassification, hf.ViTConfig(**VISION))


def dinov2() -> Made:
    return _picture(hf.Dinov2Model, hf.Dinov2Config(**VISION))


def beit() -> Made:
    return _picture(hf.BeitModel, hf.BeitConfig(**VISION, use_relative_position_bias=True))


def swin() -> Made:
    config = hf.SwinConfig(
        image_size=64, embed_dim=32, depths=[2, 2], num_heads=[2, 4], window_size=4
    )
    return _picture(hf.SwinForImageClassification, config)


def convnext() -> Made:
    config = hf.ConvNextConfig(hidden_sizes=[16, 32, 64, 128], depths=[1, 1, 2, 1])
    return _picture(hf.ConvNextForImageClassification, config)


def resnet() -> Made:
    return _picture(hf.ResNetForImageClassification, hf.ResNetConfig())


def mobilenet_v2() -> Made:
    return _picture(hf.MobileNetV2ForImageClassification, hf.MobileNetV2Config(image_size=64))


def segformer() -> Made:
    config = hf.SegformerConfig(depths=[1, 1, 1, 1], hidden_sizes=[16, 32, 64, 128])
    return _picture(hf.SegformerForSemanticSegmentation, config)


def clip() -> Made:
    text = {**ENCODER, "projection_dim": 32, "eos_token_id": 2}
    config = hf.CLIPConfig(text_config=text, vision_config=VISION, projection_dim=32)
    made = hf.CLIPModel(config).eval()
    return made, {"input_ids": _tokens(), "pixel_values": _image()}


def whisper() -> Made:
    sides = {
        f"{side}_{name}": size
        for side in ("encoder", "decoder")
        for name, size in (("layers", 2), ("attention_heads", 4), ("ffn_dim", 128))
    }
    config = hf.WhisperConfig(
        vocab_size=99,
        d_model=64,
        max_source_positions=50,
        num_mel_bins=20,
        **sides,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    made = hf.WhisperForConditionalGeneration(config).eval()
    sound = torch.linspace(-1, 1, 2 * 20 * 100).reshape(2, 20, 100)
    return made, {"input_features": sound, "decoder_input_ids": _tokens(2, 7)}


def wav2vec2() -> Made:
    config = hf.Wav2Vec2Config(
        **ENCODER, conv_dim=(32,) * 7, num_conv_pos_embeddings=16, num_conv_pos_embedding_groups=4
    )
    made = hf.Wav2Vec2Model(config).eval()
    return made, {"input_values": torch.linspace(-1, 1, 2 * 4000).reshape(2, 4000)}


MAKERS = {
    make.__name__: make
    for make in (
        bert, distilbert, roberta, albert, electra, deberta_v2, gpt2, gpt_neox, opt, bloom, llama,
        qwen2, gemma2, phi, mixtral, t5, bart, mamba, vit, dinov2, beit, swin, convnext, resnet,
        mobilenet_v2, segformer, clip, whisper, wav2vec2,
    )
}  # fmt: skip
