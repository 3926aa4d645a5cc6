"""The suite's small Mixtral (Jiang et al. 2024), each expert on all tokens that chose it.

How many these are is settled by the tokens' contents, and so are the shapes.
"""

from __future__ import annotations

import _suite  # noqa: F401
import torch
from mixtral_tiny import Experts, Mixtral
from torch import Tensor, nn


class RoutedExperts(Experts):
    """None is refused, and none waits."""

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            tokens, places = torch.where(chosen == index)
            part = expert(x[tokens]) * weights[tokens, places, None]
            mixed = mixed.index_add(0, tokens, part.to(x.dtype))
        return mixed


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model = Mixtral()
    for layer in model.model.model.layers:
        layer.mlp.experts = RoutedExperts()
    return model.eval(), (torch.randint(0, 8000, (4, 32)),)
