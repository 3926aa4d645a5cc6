"""FNet (Lee-Thorp et al. 2021) with 6 of its 12 layers: two texts of 128 tokens.

A Fourier transform over tokens and features mixes what attention mixes elsewhere: complex numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import FNetConfig, FNetModel


class FNet(nn.Module):
    """Tokens to features of each."""

    def __init__(self) -> None:
        super().__init__()
        self.model = FNetModel(FNetConfig(num_hidden_layers=6))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(tokens).last_hidden_state


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return FNet().eval(), (torch.randint(0, 32000, (2, 128)),)
