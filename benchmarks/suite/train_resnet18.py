"""A training step of ResNet-18 (He et al. 2016): four images of 112 x 112, SGD with momentum."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional
from transformers import ResNetConfig, ResNetForImageClassification


class Training:
    """Images and their classes to the loss, after which the weights are better."""

    def __init__(self) -> None:
        config = ResNetConfig(
            layer_type="basic",
            hidden_sizes=[64, 128, 256, 512],
            depths=[2, 2, 2, 2],
            num_labels=1000,
        )
        self.model = ResNetForImageClassification(config).train()
        # little, as the same images come again and again: once learned they would leave gradients
        # near zero, which are computed slowly
        self.optimizer = torch.optim.SGD(
            self.model.parameters(), lr=1e-7, momentum=0.9, weight_decay=1e-4
        )

    def __call__(self, images: Tensor, classes: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(self.model(images).logits, classes)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def application() -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Training(), (torch.randn(4, 3, 112, 112), torch.randint(0, 1000, (4,)))
