"""SegFormer-B0 (Xie et al. 2021): each pixel of an image of 256 x 256 to one of 150 classes.

A pyramid of transformers whose attention shortens the keys by strided convolutions, mixed by
depthwise ones; the head joins the four resolutions.
"""

from __future__ import annotations

import torch
from _batch_norms import settle
from torch import Tensor, nn
from transformers import SegformerConfig, SegformerForSemanticSegmentation


class SegformerB0(nn.Module):
    """Images to class scores at a quarter of their resolution."""

    def __init__(self) -> None:
        super().__init__()
        # the defaults are those of B0
        config = SegformerConfig(num_labels=150, attn_implementation="sdpa")
        self.model = SegformerForSemanticSegmentation(config)

    def forward(self, images: Tensor) -> Tensor:
        return self.model(images).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model, images = SegformerB0(), torch.randn(1, 3, 256, 256)
    settle(model, images)
    return model, (images,)
