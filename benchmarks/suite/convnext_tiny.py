"""ConvNeXt-T (Liu et al. 2022): one image of 160 x 160; 7x7 depthwise filters, LayerNorm, GELU."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from transformers import ConvNextConfig, ConvNextForImageClassification


class ConvNextTiny(nn.Module):
    """Images to 1000 class scores."""

    def __init__(self) -> None:
        super().__init__()
        # the defaults are those of the tiny one; a trained scale of a layer is near 1, not 1e-6
        config = ConvNextConfig(num_labels=1000, layer_scale_init_value=0.5)
        self.model = ConvNextForImageClassification(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return ConvNextTiny().eval(), (torch.randn(1, 3, 160, 160),)
