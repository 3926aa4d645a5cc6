"""BERT-base (Devlin et al. 2019), 3 of its 12 layers: two texts of up to 128 tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel


class Bert(nn.Module):
    """Tokens and their mask to a vector for each token, and the pooled one of the text."""

    def __init__(self) -> None:
        super().__init__()
        self.model = BertModel(BertConfig(num_hidden_layers=3, attn_implementation="sdpa"))

    def forward(self, tokens: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        outputs = self.model(tokens, attention_mask=mask)
        return outputs.last_hidden_state, outputs.pooler_output


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    lengths = torch.tensor([128, 93])  # the shorter text is padded
    mask = (torch.arange(128) < lengths[:, None]).long()
    tokens = torch.randint(1000, 30522, (2, 128)) * mask
    return Bert().eval(), (tokens, mask)
