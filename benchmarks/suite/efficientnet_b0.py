"""EfficientNet-B0 (Tan and Le 2019): one image of 224 x 224; depthwise filters, gates, SiLU."""

from __future__ import annotations

import torch
from _batch_norms import settle
from torch import Tensor, nn
from transformers import EfficientNetConfig, EfficientNetForImageClassification


class EfficientNetB0(nn.Module):
    """Images to 1000 class scores."""

    def __init__(self) -> None:
        super().__init__()
        config = EfficientNetConfig(
            num_labels=1000,
            image_size=224,
            width_coefficient=1.0,
            depth_coefficient=1.0,
            hidden_dim=1280,
        )
        self.model = EfficientNetForImageClassification(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model, images = EfficientNetB0(), torch.randn(1, 3, 224, 224)
    settle(model, images)
    return model, (images,)
