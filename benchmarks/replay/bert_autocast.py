"""The suite's BERT (Devlin et al. 2019) in bfloat16 where torch's autocast chooses it."""

from __future__ import annotations

import _suite  # noqa: F401
import bert
import torch
from torch import Tensor, nn


class Autocast(nn.Module):
    """A network, run under autocast."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, *inputs: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.network(*inputs)


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    network, inputs = bert.application()
    return Autocast(network).eval(), inputs
