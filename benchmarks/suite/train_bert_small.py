"""A training step of a small BERT (Turc et al. 2019): four texts of 128 tokens, AdamW.

Fine-tuning, as it is done most: a class for each text; 4 layers of 256 features.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from transformers import BertConfig, BertForSequenceClassification


class Training:
    """Tokens, their mask and the texts' classes to the loss; the weights are better after it."""

    def __init__(self) -> None:
        config = BertConfig(
            hidden_size=256,
            num_hidden_layers=4,
            num_attention_heads=4,
            intermediate_size=1024,
            num_labels=3,
            attn_implementation="sdpa",
        )
        self.model = BertForSequenceClassification(config).train()
        # little, as the same texts come again and again: once learned they would leave gradients
        # near zero, whose squares are computed slowly
        self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-7)

    def __call__(self, tokens: Tensor, mask: Tensor, classes: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        logits = self.model(tokens, attention_mask=mask).logits
        loss = functional.cross_entropy(logits, classes)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def application() -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    torch.manual_seed(0)
    lengths = torch.tensor([128, 128, 101, 67])  # shorter texts are padded
    mask = (torch.arange(128) < lengths[:, None]).long()
    tokens = torch.randint(1000, 30522, (4, 128)) * mask
    return Training(), (tokens, mask, torch.randint(0, 3, (4,)))
