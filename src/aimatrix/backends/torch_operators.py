"""Single operators in PyTorch: a function for each kind of call, and the tensors that it takes.

The tensors are those of `aimatrix.ops.operands`, in that order. What no family lays out is a copy
of as many bytes; `stands_in` says for which calls that is so.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.nn import functional

from aimatrix import ops
from aimatrix.backends.blocks import copied
from aimatrix.model.calls import OpCall
from aimatrix.ops import convolution, matmul
from aimatrix.ops.operand import Operand

Function = Callable[..., Any]

_aten = torch.ops.aten


def _vector_norm(x: Any, dims: list[int], keepdim: bool = False) -> Any:
    return torch.linalg.vector_norm(x, dim=dims, keepdim=keepdim)


#: elementwise kinds of one operand -> what does as much work on numbers of any sign
_UNARY: dict[str, Function] = {
    "relu": torch.relu,
    "gelu": functional.gelu,
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "erf": torch.erf,
    "sin": torch.sin,
    "cos": torch.cos,
    "neg": torch.neg,
    "abs": torch.abs,
    "log": torch.log,
    "sqrt": torch.sqrt,
    "rsqrt": torch.rsqrt,
    "hardtanh": functional.relu6,
    "relu6": functional.relu6,
    "hardswish": functional.hardswish,
    "hardsigmoid": functional.hardsigmoid,
    "leaky_relu": functional.leaky_relu,
    "elu": functional.elu,
    "softplus": functional.softplus,
}
_BINARY: dict[str, Function] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "div": torch.div,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "gt": torch.gt,
}
_REDUCTIONS: dict[str, Function] = {
    "sum": torch.sum,
    "mean": torch.mean,
    "amax": torch.amax,
    "amin": torch.amin,
    "max": torch.amax,
    "min": torch.amin,
    "var": torch.var,
    "std": torch.std,
    "var_mean": torch.var,
    "linalg_vector_norm": _vector_norm,
    "norm": _vector_norm,
}


def operands(call: OpCall) -> tuple[Operand, ...]:
    """The tensors that `function` of the call takes."""
    known = None if stands_in(call) else ops.operands(call)
    return (copied(call),) if known is None else known


def stands_in(call: OpCall) -> bool:
    """Whether a copy of as many bytes runs in the place of a call."""
    return ops.operands(call) is None or _maker(call) is None


def function(call: OpCall) -> Function:
    """What runs the call, on its `operands`."""
    maker = None if stands_in(call) else _maker(call)
    return torch.clone if maker is None else maker(call)


def _maker(call: OpCall) -> Callable[[OpCall], Function] | None:
    if call.phase == "backward" and call.kind in _BACKWARD:
        return _BACKWARD[call.kind]
    if call.kind.endswith("_backward") and call.family != "elementwise":
        return _BACKWARD.get(call.kind)
    return _FAMILIES.get(call.family)


def _matmul(call: OpCall) -> Function:
    if call.kind == "linear":
        return functional.linear
    if matmul.is_batched(call):
        return _bmm_with_bias if call["bias"] else torch.bmm
    return _mm_with_bias if call["bias"] else torch.mm


def _mm_with_bias(x: Any, weight: Any, bias: Any) -> Any:
    return torch.addmm(bias, x, weight)


def _bmm_with_bias(x: Any, y: Any, bias: Any) -> Any:
    return torch.baddbmm(bias, x, y)


def _window(call: OpCall) -> tuple[Any, ...]:
    """stride, padding, dilation, transposed, output_padding, groups."""
    sides = [list(call[name]) for name in ("stride", "padding", "dilation")]
    return (*sides, convolution.is_transposed(call), list(call["output_padding"]), call["groups"])


def _convolution(call: OpCall) -> Function:
    window = _window(call)

    def convolve(x: Any, weight: Any, bias: Any = None) -> Any:
        return torch.convolution(x, weight, bias, *window)

    return convolve


def _convolution_backward(call: OpCall) -> Function:
    window = _window(call)
    bias = [call["out_channels"]] if call["bias"] else None
    wanted = [call["input_gradient"], call["weight_gradient"], call["bias"]]

    def gradients(gradient: Any, x: Any, weight: Any) -> Any:
        return _aten.convolution_backward(gradient, x, weight, bias, *window, wanted)

    return gradients


def _attention(call: OpCall) -> Function:
    grouped = call["heads"] != call["kv_heads"]
    # one query that sees what came before it sees all keys there are
    causal = call["causal"] and call["query_len"] == call["key_len"] and call["mask"] is None

    def attend(queries: Any, keys: Any, values: Any, mask: Any = None) -> Any:
        return functional.scaled_dot_product_attention(
            queries, keys, values, attn_mask=mask, is_causal=causal, enable_gqa=grouped
        )

    return attend


def _attention_backward(call: OpCall) -> Function:
    causal = call["causal"]

    def gradients(*tensors: Any) -> Any:
        return _aten._scaled_dot_product_flash_attention_for_cpu_backward(*tensors, 0.0, causal)

    return gradients


def _recurrent(call: OpCall) -> Function:
    run = getattr(torch, call.kind)
    if call.kind.endswith("_cell"):
        return _lstm_cell if call.kind == "lstm_cell" else run
    has_cell = call.kind.startswith("lstm")
    settings = (call["bias"], call["layers"], 0.0, False, call["bidirectional"], False)

    def unroll(x: Any, *tensors: Any) -> Any:
        states = list(tensors[:2]) if has_cell else tensors[0]
        return run(x, states, list(tensors[1 + has_cell :]), *settings)[0]

    return unroll


def _lstm_cell(x: Any, state: Any, cell: Any, *weights: Any) -> Any:
    return torch.lstm_cell(x, [state, cell], *weights)


def _embedding(call: OpCall) -> Function:
    if call.kind == "embedding":
        return _look_up
    each = max(1, call["indices"] // max(1, call["outputs"]))
    offsets = torch.arange(call["outputs"]) * each

    def bag(table: Any, index: Any) -> Any:
        return functional.embedding_bag(index, table, offsets.to(index.device), mode="sum")

    return bag


def _look_up(table: Any, index: Any) -> Any:
    return functional.embedding(index, table)


def _embedding_backward(call: OpCall) -> Function:
    rows = call["rows"]

    def gradient(upper: Any, index: Any) -> Any:
        return _aten.embedding_dense_backward(upper, index, rows, -1, False)

    return gradient


def _normalization(call: OpCall) -> Function:
    if call.kind == "batch_norm":
        return _batch_norm
    if call.kind == "instance_norm":
        return _instance_norm
    if call.kind == "group_norm":
        groups = next(count for count in (32, 16, 8, 4, 2, 1) if call["input"][1] % count == 0)
        return lambda x, scale, shift: functional.group_norm(x, groups, scale, shift)
    width = [call["input"][-1]]
    if call.kind == "rms_norm":
        return lambda x, scale: functional.rms_norm(x, width, scale)
    return lambda x, scale, shift: functional.layer_norm(x, width, scale, shift)


def _batch_norm(x: Any, scale: Any, shift: Any, mean: Any = None, variance: Any = None) -> Any:
    return functional.batch_norm(x, mean, variance, scale, shift, training=mean is None)


def _instance_norm(x: Any, scale: Any, shift: Any) -> Any:
    return functional.instance_norm(x, weight=scale, bias=shift)


def _batch_norm_backward(call: OpCall) -> Function:
    def gradients(upper: Any, x: Any, mean: Any, deviation: Any, scale: Any) -> Any:
        return _aten.native_batch_norm_backward(
            upper, x, scale, None, None, mean, deviation, True, 1e-5, [True, True, True]
        )

    return gradients


def _layer_norm_backward(call: OpCall) -> Function:
    width = [call["input"][-1]]
    moments = (*call["input"][:-1], 1)

    def gradients(upper: Any, x: Any, mean: Any, deviation: Any, scale: Any) -> Any:
        return _aten.native_layer_norm_backward(
            upper, x, width, mean.view(moments), deviation.view(moments), scale, scale, [True] * 3
        )

    return gradients


def _pooling(call: OpCall) -> Function:
    pool = getattr(functional, call.kind)
    if call.kind.startswith("adaptive"):
        return lambda x: pool(x, call["output_size"])
    settings = {name: call[name] for name in ("stride", "padding", "ceil_mode")}
    if call.kind.startswith("max"):
        settings["dilation"] = call["dilation"]
    return lambda x: pool(x, call["kernel_size"], **settings)


def _adaptive_pooling_backward(call: OpCall) -> Function:
    backward = getattr(_aten, f"_{call.kind}")
    return lambda upper, x: backward(upper, x)


def _reduction(call: OpCall) -> Function:
    dims = list(call["dims"]) or list(range(len(call["input"])))
    if call.kind in ("softmax", "log_softmax"):
        softmax = getattr(torch, call.kind)
        return lambda x: softmax(x, dims[0])
    if call.kind in ("cumsum", "cumprod"):
        return lambda x: torch.cumsum(x, dims[0])
    if call.kind in ("argmax", "argmin"):
        return lambda x: torch.argmax(x, dims[0] if call["dims"] else None)
    if call.dtype == "bool" or call.kind in ("any", "all"):
        return torch.any
    reduce = _REDUCTIONS.get(call.kind, torch.amax)
    if not _is_floating(call.dtype):
        reduce = torch.sum if reduce is torch.sum else torch.amax
    if not call["input"]:
        return torch.clone
    return lambda x: reduce(x, dims, keepdim=call["keepdim"])


def _elementwise(call: OpCall) -> Function:
    count = len(call["inputs"])
    if count == 1:
        if call.dtype == "bool":
            return torch.logical_not
        known = _UNARY.get(call.kind) if _is_floating(call.dtype) else None
        return known or _scaled
    if "outputs" in dict(call.attributes):
        return _step(call)
    if call.dtype == "bool":
        return _all_of
    if count == 2:
        return _BINARY.get(call.kind, torch.add)
    return _sum_of


def _scaled(x: Any) -> Any:
    return x * 2


def _all_of(*tensors: Any) -> Any:
    result = tensors[0]
    for tensor in tensors[1:]:
        result = torch.logical_and(result, tensor)
    return result


def _sum_of(*tensors: Any) -> Any:
    if len(tensors) == 3:
        return torch.addcmul(*tensors)
    return sum(tensors)


def _step(call: OpCall) -> Function:
    """A fused step over many tensors: each output is written in place, as an optimizer does."""
    count = max(1, min(len(call["outputs"]), len(call["inputs"])))

    def step(*tensors: Any) -> Any:
        torch._foreach_add_(list(tensors[:count]), 1e-3)
        return tensors[0]

    def step_on_two(*tensors: Any) -> Any:
        torch._foreach_add_(list(tensors[:count]), list(tensors[count : 2 * count]), alpha=1e-3)
        return tensors[0]

    alike = call["inputs"][:count] == call["inputs"][count : 2 * count]
    return step_on_two if alike else step


def _movement(call: OpCall) -> Function:
    if call.kind == "view":
        return lambda x: x.view(x.shape)
    if call.kind in ("cat", "stack"):
        join = getattr(torch, call.kind)
        return lambda *tensors: join(tensors, call["dim"])
    if call.kind == "pad":
        return lambda x: functional.pad(x, call["pads"])
    if call.kind == "fill":
        shape = call["inputs"][0]
        dtype = getattr(torch, call.dtype)
        return lambda: torch.zeros(shape, dtype=dtype)
    return torch.clone


def _sorting(call: OpCall) -> Function:
    if "topk" in call.kind:
        count = call["outputs"][0][-1] if call["outputs"] and call["outputs"][0] else 1
        return lambda x: torch.topk(x, count)
    return torch.sort


def _resampling(call: OpCall) -> Function:
    word = call.kind.removeprefix("upsample_")[:-2]
    mode = word if word in ("linear", "bilinear", "trilinear", "bicubic") else "nearest"
    size = call["outputs"][0][2:]
    return lambda x: functional.interpolate(x, size=size, mode=mode)


def _indexing(call: OpCall) -> Function:
    if len(ops.operands(call) or ()) == 2:
        return lambda table, index: table.index_select(0, index)
    return lambda table, index, added: table.index_add(0, index, added)


_FAMILIES: dict[str, Callable[[OpCall], Function]] = {
    "matmul": _matmul,
    "convolution": _convolution,
    "attention": _attention,
    "recurrent": _recurrent,
    "embedding": _embedding,
    "normalization": _normalization,
    "pooling": _pooling,
    "reduction": _reduction,
    "elementwise": _elementwise,
    "movement": _movement,
    "sorting": _sorting,
    "resampling": _resampling,
    "indexing": _indexing,
}
_BACKWARD: dict[str, Callable[[OpCall], Function]] = {
    **{f"conv{rank}d_backward": _convolution_backward for rank in (1, 2, 3)},
    **{f"conv_transpose{rank}d_backward": _convolution_backward for rank in (1, 2, 3)},
    "sdpa_backward": _attention_backward,
    "embedding_backward": _embedding_backward,
    "batch_norm_backward": _batch_norm_backward,
    "layer_norm_backward": _layer_norm_backward,
    "adaptive_avg_pool2d_backward": _adaptive_pooling_backward,
}


def _is_floating(dtype: str) -> bool:
    return dtype.startswith(("float", "bfloat"))


def tensor(operand: Operand, dtype: str, generator: torch.Generator) -> torch.Tensor:
    """Random contents for an operand of a call of ``dtype``: small numbers, indices in bounds."""
    kind = getattr(torch, operand.dtype or dtype)
    if operand.role == "index":
        return torch.randint(0, operand.bound, operand.shape, generator=generator)
    if kind.is_complex:
        kind = torch.float32
    if kind.is_floating_point:
        # between 0 and 1: variances and logarithms take no negative ones
        return torch.rand(operand.shape, generator=generator).to(kind)
    if kind == torch.bool:
        return torch.rand(operand.shape, generator=generator) > 0.5
    return torch.randint(0, 100, operand.shape, generator=generator).to(kind)
