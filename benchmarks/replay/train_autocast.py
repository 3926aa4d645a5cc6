"""The suite's training step of ResNet-18 (He et al. 2016), forward under autocast to bfloat16."""

from __future__ import annotations

from collections.abc import Callable

import _suite  # noqa: F401
import torch
import train_resnet18
from torch import Tensor
from torch.nn import functional


class Training(train_resnet18.Training):
    """Images and their classes to the loss."""

    def __call__(self, images: Tensor, classes: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = functional.cross_entropy(self.model(images).logits, classes)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def application() -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    _, inputs = train_resnet18.application()
    torch.manual_seed(0)
    return Training(), inputs
