"""Single operators in PyTorch: how torch spells each call, and the tensors that it takes.

The tensors are those of `aimatrix.ops.operands`, in that order. What no family lays out is a copy
of as many bytes; `stands_in` says for which calls that is so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 (the name by which everybody knows it)

from aimatrix import ops
from aimatrix.backends import torch_blocks, torch_functions
from aimatrix.backends.blocks import copied
from aimatrix.model.artefact import sides
from aimatrix.model.calls import OpCall
from aimatrix.ops import convolution, matmul
from aimatrix.ops.operand import Operand, activation

Function = Callable[..., Any]
#: a whole number, a flag, a word, or a list of numbers or flags
Setting = int | float | bool | str | list[int] | list[bool] | tuple[int, ...] | None

_FLOATS = ("float64", "float32", "bfloat16", "float16")


@dataclass(frozen=True, slots=True)
class Spelling:
    """How torch runs a call.

    function: a dotted name in torch or in F, torch.nn.functional; or the name of one of
    `torch_functions`. by_name: under which names it takes the last of the operands. settings: what
    it takes besides.
    """

    function: str
    by_name: tuple[str, ...] = ()
    settings: Mapping[str, Setting] = field(default_factory=dict)

    def op(self, taken: Sequence[torch_blocks.Operand]) -> torch_blocks.Op:
        """The operator of a block that takes ``taken``."""
        first = len(taken) - len(self.by_name)
        named = dict(zip(self.by_name, taken[first:], strict=True))
        return torch_blocks.Op(_found(self.function), *taken[:first], **named, **self.settings)


#: elementwise kinds of one operand -> what does as much work on numbers of any sign
_UNARY = {
    **{
        kind: f"torch.{kind}"
        for kind in (
            *("relu", "sigmoid", "tanh", "exp", "erf", "sin", "cos"),
            *("neg", "abs", "log", "sqrt", "rsqrt"),
        )
    },
    **{
        kind: f"F.{kind}"
        for kind in (
            *("gelu", "silu", "relu6", "hardswish", "hardsigmoid"),
            *("leaky_relu", "elu", "softplus"),
        )
    },
    "hardtanh": "F.relu6",
}
_BINARY = frozenset({"add", "sub", "mul", "div", "maximum", "minimum", "eq", "ne", "lt", "gt"})
_REDUCTIONS = {
    "sum": "torch.sum",
    "mean": "torch.mean",
    "var": "torch.var",
    "std": "torch.std",
    "var_mean": "torch.var",
    "amin": "torch.amin",
    "min": "torch.amin",
    "linalg_vector_norm": "torch.linalg.vector_norm",
    "norm": "torch.linalg.vector_norm",
}
_COPY = Spelling("torch.clone")


def operands(call: OpCall) -> tuple[Operand, ...]:
    """The tensors that `function` of the call takes.

    A fill takes an empty one, which tells dtype and device.
    """
    known = None if stands_in(call) else ops.operands(call)
    if known:
        return known
    if known is not None and call.kind == "fill":
        return (activation(0),)
    # of another dtype it may be none that can be copied, or drawn
    return (copied(call, call.dtype if call.dtype in _FLOATS else "float32"),)


def stands_in(call: OpCall) -> bool:
    """Whether a copy of as many bytes runs in the place of a call."""
    known = ops.operands(call)
    return not (known or (known is not None and call.kind == "fill")) or _maker(call) is None


def spelling(call: OpCall) -> Spelling:
    """How torch runs the call, on its `operands`."""
    maker = None if stands_in(call) else _maker(call)
    return _COPY if maker is None else maker(call)


def function(call: OpCall) -> Function:
    """What runs the call, on its `operands`."""
    taken = [block_operand(operand, None, call.dtype) for operand in operands(call)]
    return spelling(call).op(taken).function


def tensor(operand: Operand, dtype: str, generator: torch.Generator) -> torch.Tensor:
    """Random contents for an operand of a call of ``dtype``: small numbers, indices in bounds."""
    return block_operand(operand, None, dtype).draw(dtype, generator)


def block_operand(
    operand: Operand, source: int | None, dtype: str | None, warm: bool = False
) -> torch_blocks.Operand:
    """An operand as blocks have it; dtype: of its call, None for that of the run."""
    dtype = operand.dtype or dtype
    if dtype is not None and dtype.startswith("complex"):
        dtype = "float32"
    if operand.role == "index":
        return torch_blocks.Operand(*operand.shape, of=source, dtype=dtype, bound=operand.bound)
    warm = warm and source is None
    return torch_blocks.Operand(*operand.shape, of=source, dtype=dtype, warm=warm)


def _found(name: str) -> Function:
    """The function of a `Spelling`."""
    root, _, path = name.partition(".")
    homes: dict[str, Any] = {"torch": torch, "F": F}
    found: Function = attrgetter(path)(homes[root]) if path else getattr(torch_functions, root)
    return found


def _maker(call: OpCall) -> Callable[[OpCall], Spelling] | None:
    if call.phase == "backward" and call.kind in _BACKWARD:
        return _BACKWARD[call.kind]
    if call.kind.endswith("_backward") and call.family != "elementwise":
        return _BACKWARD.get(call.kind)
    return _FAMILIES.get(call.family)


def _matmul(call: OpCall) -> Spelling:
    if call.kind == "linear":
        return Spelling("F.linear")
    if matmul.is_batched(call):
        batches = ("batch1", "batch2", "input")
        return Spelling("torch.baddbmm", batches) if call["bias"] else Spelling("torch.bmm")
    matrices = ("mat1", "mat2", "input")
    return Spelling("torch.addmm", matrices) if call["bias"] else Spelling("torch.mm")


def _convolution(call: OpCall) -> Spelling:
    settings = _settings(call, stride=1, padding=0, dilation=1, output_padding=0, groups=1)
    return Spelling(f"F.{call.kind}", settings=settings)


def _settings(call: OpCall, **defaults: Setting) -> dict[str, Setting]:
    """Attributes of the call that torch has under the same names, where they are no defaults."""
    values: dict[str, Any] = {name: call[name] for name in defaults}
    values = {name: sides(v) if isinstance(v, tuple) else v for name, v in values.items()}
    return {name: value for name, value in values.items() if value != defaults[name]}


def _convolution_backward(call: OpCall) -> Spelling:
    return Spelling(
        "torch.ops.aten.convolution_backward",
        settings={
            "bias_sizes": [call["out_channels"]] if call["bias"] else None,
            **{name: list(call[name]) for name in ("stride", "padding", "dilation")},
            "transposed": convolution.is_transposed(call),
            "output_padding": list(call["output_padding"]),
            "groups": call["groups"],
            "output_mask": [call["input_gradient"], call["weight_gradient"], call["bias"]],
        },
    )


def _attention(call: OpCall) -> Spelling:
    settings: dict[str, Setting] = {}
    # one query that sees what came before it sees all keys there are
    if call["causal"] and call["query_len"] == call["key_len"] and call["mask"] is None:
        settings["is_causal"] = True
    if call["heads"] != call["kv_heads"]:
        settings["enable_gqa"] = True
    mask = () if call["mask"] is None else ("attn_mask",)
    return Spelling("F.scaled_dot_product_attention", mask, settings)


def _attention_backward(call: OpCall) -> Spelling:
    return Spelling("attention_backward", settings={"is_causal": call["causal"]})


def _recurrent(call: OpCall) -> Spelling:
    if call.kind.endswith("_cell"):
        return Spelling("lstm_cell" if call.kind == "lstm_cell" else f"torch.{call.kind}")
    return Spelling(
        call.kind,
        settings={
            "has_biases": call["bias"],
            "num_layers": call["layers"],
            "dropout": 0.0,
            "train": False,
            "bidirectional": call["bidirectional"],
            "batch_first": False,
        },
    )


def _embedding(call: OpCall) -> Spelling:
    if call.kind == "embedding":
        return Spelling("F.embedding", ("weight", "input"))
    each = max(1, call["indices"] // max(1, call["outputs"]))
    return Spelling("embedding_bag", settings={"bags": call["outputs"], "each": each})


def _embedding_backward(call: OpCall) -> Spelling:
    settings = {"num_weights": call["rows"], "padding_idx": -1, "scale_grad_by_freq": False}
    return Spelling("torch.ops.aten.embedding_dense_backward", settings=settings)


def _normalization(call: OpCall) -> Spelling:
    scale = ("weight", "bias")
    if call.kind == "batch_norm":
        if len(ops.operands(call) or ()) == 3:
            settings = {"running_mean": None, "running_var": None, "training": True}
            return Spelling("F.batch_norm", scale, settings)
        return Spelling("F.batch_norm", (*scale, "running_mean", "running_var"))
    if call.kind == "instance_norm":
        return Spelling("F.instance_norm", scale)
    if call.kind == "group_norm":
        groups = next(count for count in (32, 16, 8, 4, 2, 1) if call["input"][1] % count == 0)
        return Spelling("F.group_norm", scale, {"num_groups": groups})
    width = {"normalized_shape": [call["input"][-1]]}
    if call.kind == "rms_norm":
        return Spelling("F.rms_norm", ("weight",), width)
    return Spelling("F.layer_norm", scale, width)


def _batch_norm_backward(call: OpCall) -> Spelling:
    return Spelling("batch_norm_backward")


def _layer_norm_backward(call: OpCall) -> Spelling:
    return Spelling("layer_norm_backward")


def _pooling(call: OpCall) -> Spelling:
    if call.kind.startswith("adaptive"):
        return Spelling(f"F.{call.kind}", settings=_settings(call, output_size=None))
    defaults: dict[str, Setting] = {"padding": 0, "ceil_mode": False}
    if call.kind.startswith("max"):
        defaults["dilation"] = 1
    return Spelling(
        f"F.{call.kind}", settings=_settings(call, kernel_size=None, stride=None, **defaults)
    )


def _adaptive_pooling_backward(call: OpCall) -> Spelling:
    return Spelling("torch.ops.aten._adaptive_avg_pool2d_backward")


def _reduction(call: OpCall) -> Spelling:
    dims = list(call["dims"]) or list(range(len(call["input"])))
    if call.kind in ("softmax", "log_softmax"):
        return Spelling(f"torch.{call.kind}", settings={"dim": dims[0] if dims else 0})
    if call.kind in ("cumsum", "cumprod"):
        return Spelling("torch.cumsum", settings={"dim": dims[0] if dims else 0})
    if call.kind in ("argmax", "argmin"):
        return Spelling("torch.argmax", settings={"dim": dims[0]} if call["dims"] else {})
    if call.dtype == "bool" or call.kind in ("any", "all"):
        return Spelling("torch.any")
    if not call["input"]:
        return _COPY
    reduce = _REDUCTIONS.get(call.kind, "torch.amax")
    if not _is_floating(call.dtype) and reduce != "torch.sum":
        reduce = "torch.amax"
    return Spelling(reduce, settings={"dim": dims, "keepdim": call["keepdim"]})


def _elementwise(call: OpCall) -> Spelling:
    count = len(call["inputs"])
    if count == 1:
        return _of_one(call)
    if "outputs" in dict(call.attributes):
        return _step(call)
    if call.dtype == "bool":
        return Spelling("all_of")
    if count == 2:
        return Spelling(f"torch.{call.kind}" if call.kind in _BINARY else "torch.add")
    return Spelling("torch.addcmul" if count == 3 else "sum_of")


def _of_one(call: OpCall) -> Spelling:
    if call.dtype == "bool":
        return Spelling("torch.logical_not")
    if call.kind in _UNARY and _is_floating(call.dtype):
        return Spelling(_UNARY[call.kind])
    return Spelling("torch.mul", settings={"other": 2})


def _step(call: OpCall) -> Spelling:
    """A fused step over many tensors: each output is written in place, as an optimizer does."""
    count = max(1, min(len(call["outputs"]), len(call["inputs"])))
    alike = call["inputs"][:count] == call["inputs"][count : 2 * count]
    return Spelling("step_on_two" if alike else "step", settings={"count": count})


def _movement(call: OpCall) -> Spelling:
    if call.kind == "view":
        return Spelling("view")
    if call.kind in ("cat", "stack"):
        return Spelling(call.kind, settings={"dim": call["dim"]})
    if call.kind == "pad":
        return Spelling("F.pad", settings={"pad": list(call["pads"])})
    if call.kind == "fill":
        return Spelling("fill", settings={"shape": list(call["inputs"][0])})
    return _COPY


def _sorting(call: OpCall) -> Spelling:
    if "topk" in call.kind:
        count = call["outputs"][0][-1] if call["outputs"] and call["outputs"][0] else 1
        return Spelling("torch.topk", settings={"k": count})
    return Spelling("torch.sort")


def _resampling(call: OpCall) -> Spelling:
    word = call.kind.removeprefix("upsample_")[:-2].removesuffix("_exact").lstrip("_")
    mode = word if word in ("linear", "bilinear", "trilinear", "bicubic") else "nearest"
    return Spelling("F.interpolate", settings={"size": list(call["outputs"][0][2:]), "mode": mode})


def _indexing(call: OpCall) -> Spelling:
    if len(ops.operands(call) or ()) == 2:
        return Spelling("torch.index_select", ("index",), {"dim": 0})
    return Spelling("torch.index_add", ("index", "source"), {"dim": 0})


_FAMILIES: dict[str, Callable[[OpCall], Spelling]] = {
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
_BACKWARD: dict[str, Callable[[OpCall], Spelling]] = {
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
