"""A training step of the suite's DLRM (Naumov et al. 2019): 512 visitors, SGD."""

from __future__ import annotations

from collections.abc import Callable

import _suite  # noqa: F401
import dlrm
import torch
from torch import Tensor, nn
from torch.nn import functional


class Training:
    """Numbers, rows and who clicked to the loss; the weights are better after it."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model.train()
        # little, as the same visitors come again and again
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1e-6)

    def __call__(self, numbers: Tensor, rows: Tensor, clicks: Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.binary_cross_entropy(self.model(numbers, rows), clicks)
        loss.backward()
        self.optimizer.step()
        return loss.detach()


def application() -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    model, (numbers, rows) = dlrm.application()
    clicks = (torch.rand(len(numbers), 1) < 0.03).float()
    return Training(model), (numbers, rows, clicks)
