"""ResNet-50 (He et al. 2016): one image of 192 x 192, as a server classifies it."""

from __future__ import annotations

import torch
from _batch_norms import settle
from torch import Tensor, nn
from transformers import ResNetConfig, ResNetForImageClassification


class ResNet50(nn.Module):
    """Images to 1000 class scores."""

    def __init__(self) -> None:
        super().__init__()
        # the defaults are those of ResNet-50, with the stride in the 3x3 convolution
        self.model = ResNetForImageClassification(ResNetConfig(num_labels=1000))

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model, images = ResNet50(), torch.randn(1, 3, 192, 192)
    settle(model, images)
    return model, (images,)
