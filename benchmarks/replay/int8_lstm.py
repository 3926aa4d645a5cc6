"""The suite's LSTM language model (Zaremba et al. 2014), its weights quantized to eight bits.

Activations are quantized as they come (dynamic quantization); packed weights are no tensors.
"""

from __future__ import annotations

import warnings

import _suite  # noqa: F401
import lstm_lm
import torch
from torch import Tensor, nn


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    model, inputs = lstm_lm.application()
    with warnings.catch_warnings():  # torch wants to have moved this to another package some day
        warnings.simplefilter("ignore")
        quantized = torch.ao.quantization.quantize_dynamic(
            model, {nn.LSTM, nn.Linear}, dtype=torch.qint8
        )
    return quantized, inputs
