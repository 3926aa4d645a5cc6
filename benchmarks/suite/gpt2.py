"""GPT-2 (Radford et al. 2019) with 6 of its 12 layers, as DistilGPT2: a prompt of 128 tokens.

The first step of a generation: only the last token's scores are wanted.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel


class Gpt2(nn.Module):
    """Tokens to the scores of the next one."""

    def __init__(self) -> None:
        super().__init__()
        self.model = GPT2LMHeadModel(GPT2Config(n_layer=6, attn_implementation="sdpa"))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(tokens, use_cache=False, logits_to_keep=1).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Gpt2().eval(), (torch.randint(0, 50257, (1, 128)),)
