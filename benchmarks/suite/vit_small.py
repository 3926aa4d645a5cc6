"""ViT-S/16 (Dosovitskiy et al. 2021; Touvron et al. 2021): one image of 192 x 192."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import ViTConfig, ViTForImageClassification


class ViTSmall(nn.Module):
    """Images to 1000 class scores."""

    def __init__(self) -> None:
        super().__init__()
        config = ViTConfig(
            num_labels=1000,
            image_size=192,
            hidden_size=384,
            num_attention_heads=6,
            intermediate_size=1536,
            attn_implementation="sdpa",
        )
        self.model = ViTForImageClassification(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return ViTSmall().eval(), (torch.randn(1, 3, 192, 192),)
