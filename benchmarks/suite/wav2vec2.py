"""wav2vec 2.0 base (Baevski et al. 2020), 6 of its 12 layers: a second of speech to characters.

Convolutions over the waveform, one of 128 steps for the positions, and a transformer.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import Wav2Vec2Config, Wav2Vec2ForCTC


class Wav2Vec2(nn.Module):
    """Waveforms at 16 kHz to the scores of 32 characters, 50 times a second."""

    def __init__(self) -> None:
        super().__init__()
        # the defaults are those of the base one
        config = Wav2Vec2Config(num_hidden_layers=6, attn_implementation="sdpa")
        self.model = Wav2Vec2ForCTC(config)

    def forward(self, waveforms: Tensor) -> Tensor:
        return self.model(waveforms).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Wav2Vec2().eval(), (torch.randn(1, 16000),)
