"""T5-small (Raffel et al. 2020): 64 tokens encoded, 24 decoded at once, as in scoring a summary.

Its attention is spelled out in matrix products and a softmax, with a learned bias of the distance.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import T5Config, T5ForConditionalGeneration


class T5Small(nn.Module):
    """The tokens of a text, and those of another so far, to the scores of the latter's next."""

    def __init__(self) -> None:
        super().__init__()
        # the defaults are those of the small one
        config = T5Config(attn_implementation="eager")
        self.model = T5ForConditionalGeneration(config)

    def forward(self, tokens: Tensor, target: Tensor) -> Tensor:
        return self.model(tokens, decoder_input_ids=target, use_cache=False).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    tokens, target = torch.randint(2, 32000, (1, 64)), torch.randint(2, 32000, (1, 24))
    return T5Small().eval(), (tokens, target)
