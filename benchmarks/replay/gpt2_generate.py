"""GPT-2 (Radford et al. 2019) writes: eight tokens after a prompt of 32, the likeliest each time.

Its keys and values are cached: one long step, then short ones whose shapes grow.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import GPT2Config, GPT2LMHeadModel

NEW_TOKENS = 8


class Writer(nn.Module):
    """Tokens to the same and eight more."""

    def __init__(self) -> None:
        super().__init__()
        self.model = GPT2LMHeadModel(GPT2Config(n_layer=6, attn_implementation="sdpa"))

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model.generate(
            tokens,
            attention_mask=torch.ones_like(tokens),
            do_sample=False,
            min_new_tokens=NEW_TOKENS,
            max_new_tokens=NEW_TOKENS,
            pad_token_id=50256,
        )


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Writer().eval(), (torch.randint(0, 50256, (1, 32)),)
