"""What training would leave in batch normalizations whose weights are random."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def settle(model: nn.Module, *inputs: Tensor) -> None:
    """Set scales to 1 and statistics to those of these inputs; the model is in eval mode after it.

    With the initial statistics (mean 0, variance 1) the values of a deep network with random
    weights grow or vanish from layer to layer, down to denormals, which a CPU computes slowly.
    """
    norms = [part for part in model.eval().modules() if isinstance(part, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.ones_(norm.weight)
        nn.init.zeros_(norm.bias)
        norm.momentum = 1.0
        norm.train()
    with torch.no_grad():
        model(*inputs)
    for norm in norms:
        norm.momentum = 0.1
        norm.eval()
