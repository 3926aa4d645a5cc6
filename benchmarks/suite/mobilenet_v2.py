"""MobileNetV2 (Sandler et al. 2018): a batch of four images of 160 x 160."""

from __future__ import annotations

import torch
from _batch_norms import settle
from torch import Tensor, nn
from transformers import MobileNetV2Config, MobileNetV2ForImageClassification


class MobileNetV2(nn.Module):
    """Images to 1000 class scores."""

    def __init__(self) -> None:
        super().__init__()
        # symmetric padding: the network as it was trained in PyTorch
        config = MobileNetV2Config(num_labels=1000, tf_padding=False)
        self.model = MobileNetV2ForImageClassification(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model, images = MobileNetV2(), torch.randn(4, 3, 160, 160)
    settle(model, images)
    return model, (images,)
