"""Operators that are more to torch than one of its own functions, called with tensors.

The `model.py` of a mix holds the source of those that it needs, so each stands for itself: it uses
torch, and nothing else of ours.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the name by which everybody knows it)
from torch import Tensor


def attention_backward(*tensors: Tensor, is_causal: bool) -> Any:
    """Gradients of queries, keys and values, by the kernel of the CPU."""
    backward = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward
    return backward(*tensors, 0.0, is_causal)


def batch_norm_backward(
    upper: Tensor, x: Tensor, mean: Tensor, deviation: Tensor, weight: Tensor
) -> Any:
    """Gradients of x, weight and bias; deviation: its reciprocal."""
    return torch.ops.aten.native_batch_norm_backward(
        upper, x, weight, None, None, mean, deviation, True, 1e-5, [True] * 3
    )


def layer_norm_backward(
    upper: Tensor, x: Tensor, mean: Tensor, deviation: Tensor, weight: Tensor
) -> Any:
    """Gradients of x, weight and bias, over the last axis; deviation: its reciprocal."""
    shape, moments = [x.shape[-1]], (*x.shape[:-1], 1)
    return torch.ops.aten.native_layer_norm_backward(
        upper, x, shape, mean.view(moments), deviation.view(moments), weight, weight, [True] * 3
    )


def lstm(x: Tensor, hidden: Tensor, cell: Tensor, *weights: Tensor, **layers: Any) -> Any:
    """All steps of an LSTM; x: (steps, batch, features)."""
    return torch.lstm(x, [hidden, cell], weights, **layers)[0]


def gru(x: Tensor, hidden: Tensor, *weights: Tensor, **layers: Any) -> Any:
    """All steps of a GRU; x: (steps, batch, features)."""
    return torch.gru(x, hidden, weights, **layers)[0]


def rnn_tanh(x: Tensor, hidden: Tensor, *weights: Tensor, **layers: Any) -> Any:
    """All steps of a plain recurrent layer; x: (steps, batch, features)."""
    return torch.rnn_tanh(x, hidden, weights, **layers)[0]


def rnn_relu(x: Tensor, hidden: Tensor, *weights: Tensor, **layers: Any) -> Any:
    """All steps of a plain recurrent layer; x: (steps, batch, features)."""
    return torch.rnn_relu(x, hidden, weights, **layers)[0]


def lstm_cell(x: Tensor, hidden: Tensor, cell: Tensor, *weights: Tensor) -> Any:
    """One step of an LSTM."""
    return torch.lstm_cell(x, [hidden, cell], *weights)


def embedding_bag(table: Tensor, index: Tensor, *, bags: int, each: int) -> Any:
    """Sums of ``each`` rows; the last bag takes those that are left over, too."""
    offsets = torch.arange(0, bags * each, each, device=index.device)
    return F.embedding_bag(index, table, offsets, mode="sum")


def cat(*tensors: Tensor, dim: int) -> Any:
    """The tensors joined along an axis."""
    return torch.cat(tensors, dim)


def stack(*tensors: Tensor, dim: int) -> Any:
    """The tensors joined along a new axis."""
    return torch.stack(tensors, dim)


def view(x: Tensor) -> Any:
    """A view, which moves nothing."""
    return x.view(x.shape)


def fill(like: Tensor, *, shape: list[int]) -> Any:
    """Zeros; ``like`` is empty and tells their dtype and device."""
    return like.new_zeros(shape)


def all_of(*tensors: Tensor) -> Any:
    """The logical and of all."""
    result = tensors[0]
    for tensor in tensors[1:]:
        result = torch.logical_and(result, tensor)
    return result


def sum_of(*tensors: Tensor) -> Any:
    """The sum of all."""
    return sum(tensors)


def step(*tensors: Tensor, count: int) -> Any:
    """The first ``count`` tensors changed in place, as an optimizer does in one go."""
    torch._foreach_add_(tensors[:count], 1e-3)
    return tensors[0]


def step_on_two(*tensors: Tensor, count: int) -> Any:
    """The first ``count`` tensors changed in place by as many more, as an optimizer does."""
    torch._foreach_add_(tensors[:count], tensors[count : 2 * count], alpha=1e-3)
    return tensors[0]
