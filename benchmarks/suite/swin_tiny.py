"""Swin-T (Liu et al. 2021): one image of 224 x 224; attention in shifted windows of 7 x 7."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import SwinConfig, SwinForImageClassification


class SwinTiny(nn.Module):
    """Images to 1000 class scores."""

    def __init__(self) -> None:
        super().__init__()
        # the defaults are those of the tiny one
        config = SwinConfig(num_labels=1000, attn_implementation="sdpa")
        self.model = SwinForImageClassification(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return SwinTiny().eval(), (torch.randn(1, 3, 224, 224),)
