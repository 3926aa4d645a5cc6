"""PyTorch's operators (``aten::``) as canonical calls: one line per operator in `RULES`.

`translate` never fails: what no rule knows, or what a rule cannot make sense of, is an `unknown`
call that keeps its name. Both what a dispatch mode sees (``aten::convolution``) and outermost
spellings (``aten::conv2d``) are here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import prod
from typing import Any

from aimatrix import ops
from aimatrix.dialects.raw import RawCall, TensorArg
from aimatrix.errors import InputError
from aimatrix.model.calls import OpCall

Arguments = Mapping[str, Any]
#: what a translation gives: the kind inside the family, and the family's attributes
Translation = tuple[str, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Rule:
    """How one operator is translated.

    reads: the arguments besides tensors that a capture has to keep for it.
    """

    family: str
    translate: Callable[[str, Arguments], Translation]
    reads: tuple[str, ...] = ()


def translate(raw: RawCall) -> OpCall:
    """The canonical call of an operator as PyTorch spells it."""
    first = next(_tensors(raw.arguments), None)
    signature = {
        "dtype": first.dtype if first else "float32",
        "phase": raw.phase,
        "device": first.device if first else "cpu",
    }
    rule = RULES.get(_base_name(raw))
    if rule is not None:
        try:
            kind, attributes = rule.translate(_base_name(raw), raw.arguments)
            call = OpCall.create(rule.family, kind, attributes, **signature)
            ops.cost(call)  # a call that has no cost is no call that we understand
            return call
        except (InputError, KeyError, TypeError, ValueError, IndexError, AttributeError):
            pass  # an odd spelling of a known operator: counted, under its own name
    return _unknown(raw, signature)


def _unknown(raw: RawCall, signature: dict[str, str]) -> OpCall:
    inputs = [tensor.shape for tensor in _tensors(raw.arguments)]
    call = OpCall.create("unknown", raw.name, {"inputs": inputs}, **signature)
    try:
        ops.cost(call)
    except InputError:  # a dtype that we do not know: its bytes cannot be told
        call = OpCall.create("unknown", raw.name, {"inputs": []}, **{**signature, "dtype": "none"})
    return call


def _base_name(raw: RawCall) -> str:
    """``aten::relu_`` and ``aten::relu`` are one operator."""
    name = raw.name.removeprefix("aten::")
    return name.rstrip("_") if not name.startswith("__") else name


def _tensors(arguments: Arguments) -> Any:
    for name, value in arguments.items():
        if name == "out":
            continue
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, TensorArg):
                yield item


def _convolution(name: str, arguments: Arguments) -> Translation:
    weight = arguments["weight"].shape
    rank = len(weight) - 2
    batch, in_channels, sides = _batched(arguments["input"].shape, rank)
    groups = arguments.get("groups", 1)
    transposed = bool(arguments.get("transposed")) or name.startswith("conv_transpose")
    kernel, dilation = weight[2:], _per_side(arguments.get("dilation"), rank, 1)
    padding = arguments.get("padding")
    if isinstance(padding, str):
        sides, padding = _named_padding(padding, sides, kernel, dilation)
    attributes = {
        "batch": batch,
        "in_channels": in_channels,
        "out_channels": weight[1] * groups if transposed else weight[0],
        "input_size": sides,
        "kernel_size": kernel,
        "stride": _per_side(arguments.get("stride"), rank, 1),
        "padding": _per_side(padding, rank, 0),
        "dilation": dilation,
        "output_padding": _per_side(arguments.get("output_padding"), rank, 0),
        "groups": groups,
        "bias": arguments.get("bias") is not None,
    }
    return f"conv_transpose{rank}d" if transposed else f"conv{rank}d", attributes


def _named_padding(
    padding: str, sides: tuple[int, ...], kernel: tuple[int, ...], dilation: tuple[int, ...]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """``same`` and ``valid`` in numbers: (input size, padding).

    An odd total of ``same`` pads one element more at the end: torch pads the input first, and
    so do we.
    """
    if padding == "valid":
        return sides, (0,) * len(sides)
    if padding != "same":
        raise ValueError(f"a convolution knows no padding {padding!r}")
    totals = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    padded = tuple(side + total % 2 for side, total in zip(sides, totals, strict=True))
    return padded, tuple(total // 2 for total in totals)


def _batched(shape: tuple[int, ...], rank: int) -> tuple[int, int, tuple[int, ...]]:
    """(batch, channels, sides) of an input that may lack its batch."""
    whole = shape if len(shape) == rank + 2 else (1, *shape)
    if len(whole) != rank + 2:
        raise ValueError(f"an input of rank {len(shape)} for {rank} dimensions")
    return whole[0], whole[1], whole[2:]


def _per_side(value: Any, rank: int, default: int) -> tuple[int, ...]:
    if value is None or value == ():
        return (default,) * rank
    values = value if isinstance(value, tuple) else (value,)
    return values * rank if len(values) == 1 else values


def _linear(_: str, arguments: Arguments) -> Translation:
    *outer, k = arguments["input"].shape
    weight = arguments["weight"].shape
    if weight[-1] != k:
        raise ValueError(f"weights of shape {weight} for inputs of {k} features")
    n = prod(weight[:-1])  # a vector of weights gives one feature
    bias = arguments.get("bias") is not None
    return "linear", {"batch": 1, "m": prod(outer), "n": n, "k": k, "bias": bias}


def _matmul(_: str, arguments: Arguments) -> Translation:
    a, b = arguments["self"].shape, arguments["other"].shape
    return _product(a, b, bias=False)


def _mm(name: str, arguments: Arguments) -> Translation:
    if name in ("addmm", "baddbmm", "addmv"):
        names = {"baddbmm": ("batch1", "batch2"), "addmv": ("mat", "vec")}
        a, b = names.get(name, ("mat1", "mat2"))
        return _product(arguments[a].shape, arguments[b].shape, bias=True)
    second = {"mv": "vec", "dot": "tensor", "vdot": "other"}.get(name, "mat2")
    return _product(arguments["self"].shape, arguments[second].shape, bias=False)


def _product(a: tuple[int, ...], b: tuple[int, ...], *, bias: bool) -> Translation:
    """numpy.matmul's rules: vectors are rows or columns, leading axes broadcast."""
    a = (1, *a) if len(a) == 1 else a
    b = (*b, 1) if len(b) == 1 else b
    if a[-1] != b[-2]:
        raise ValueError(f"shapes {a} and {b} make no product")
    m, k, n = a[-2], a[-1], b[-1]
    if len(b) == 2:  # one right operand: the batch is more rows
        return "mm", {"batch": 1, "m": prod(a[:-1]), "n": n, "k": k, "bias": bias}
    batch = prod(_broadcast(a[:-2], b[:-2]))
    return "bmm", {"batch": batch, "m": m, "n": n, "k": k, "bias": bias}


def _broadcast(a: tuple[int, ...], b: tuple[int, ...]) -> tuple[int, ...]:
    rank = max(len(a), len(b))
    a, b = (1,) * (rank - len(a)) + a, (1,) * (rank - len(b)) + b
    return tuple(max(sizes) for sizes in zip(a, b, strict=True))


def _pooling(name: str, arguments: Arguments) -> Translation:
    kind = name.removeprefix("_").removesuffix("_with_indices")
    rank = int(kind[-2])
    batch, channels, sides = _batched(arguments["self"].shape, rank)
    attributes: dict[str, Any] = {"batch": batch, "channels": channels, "input_size": sides}
    if kind.startswith("adaptive"):
        wanted = _per_side(arguments["output_size"], rank, 1)
        return kind, {
            **attributes,
            "output_size": tuple(w or s for w, s in zip(wanted, sides, strict=True)),
        }
    kernel = _per_side(arguments["kernel_size"], rank, 1)
    return kind, {
        **attributes,
        "kernel_size": kernel,
        "stride": _per_side(arguments.get("stride") or kernel, rank, 1),
        "padding": _per_side(arguments.get("padding"), rank, 0),
        "dilation": _per_side(arguments.get("dilation"), rank, 1),
        "ceil_mode": bool(arguments.get("ceil_mode")),
    }


def _normalization(kind: str) -> Callable[[str, Arguments], Translation]:
    def rule(_: str, arguments: Arguments) -> Translation:
        shape = arguments["input"].shape
        others = (value for name, value in arguments.items() if name != "input")
        parameters = sum(prod(item.shape) for item in others if isinstance(item, TensorArg))
        return kind, {"input": shape, "parameters": parameters}

    return rule


def _elementwise(name: str, arguments: Arguments) -> Translation:
    return name, {"inputs": [tensor.shape for tensor in _tensors(arguments)]}


def _dropout(name: str, arguments: Arguments) -> Translation:
    if arguments.get("train") is False:
        return name, {"inputs": [(0,)]}  # at inference it hands its input on
    return _elementwise(name, arguments)


def _reduction(name: str, arguments: Arguments) -> Translation:
    dim = arguments.get("dim")
    dims = () if dim is None else dim if isinstance(dim, tuple) else (dim,)
    kind = name.removeprefix("_")
    keepdim = bool(arguments.get("keepdim"))
    return kind, {"input": arguments["self"].shape, "dims": dims, "keepdim": keepdim}


def _joining(name: str, arguments: Arguments) -> Translation:
    kind = "stack" if name == "stack" else "cat"
    shapes = [tensor.shape for tensor in arguments["tensors"]]
    return kind, {"inputs": shapes, "dim": arguments.get("dim", 0)}


def _repeat(_: str, arguments: Arguments) -> Translation:
    """Copies in every dimension: a copy of the size of what comes out."""
    repeats = arguments["repeats"]
    shape = arguments["self"].shape
    shape = (1,) * (len(repeats) - len(shape)) + shape
    return "copy", {"inputs": [[s * r for s, r in zip(shape, repeats, strict=True)]]}


def _padding(_: str, arguments: Arguments) -> Translation:
    pads = arguments.get("pad", arguments.get("padding"))
    return "pad", {"inputs": [arguments["self"].shape], "pads": pads}


def _moved(kind: str) -> Callable[[str, Arguments], Translation]:
    def rule(_: str, arguments: Arguments) -> Translation:
        first = next(_tensors(arguments), None)
        shape = first.shape if first else arguments["size"]
        return kind, {"inputs": [shape]}

    return rule


_CONVOLUTION = Rule(
    "convolution",
    _convolution,
    ("stride", "padding", "dilation", "transposed", "output_padding", "groups"),
)
_POOLING = Rule(
    "pooling",
    _pooling,
    ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "output_size"),
)
_ELEMENTWISE = Rule("elementwise", _elementwise)
_REDUCTION = Rule("reduction", _reduction, ("dim", "keepdim"))
_VIEW = Rule("movement", _moved("view"), ("size",))
_COPY = Rule("movement", _moved("copy"))
_FILL = Rule("movement", _moved("fill"), ("size",))
_JOIN = Rule("movement", _joining, ("dim",))


def _same(rule: Rule, names: str) -> dict[str, Rule]:
    return dict.fromkeys(names.split(), rule)


#: base name (in-place spellings stripped of their underscore) -> rule
RULES: dict[str, Rule] = {
    **_same(_CONVOLUTION, "convolution _convolution convolution_overrideable conv1d conv2d conv3d"),
    **_same(_CONVOLUTION, "conv_transpose1d conv_transpose2d conv_transpose3d"),
    **_same(_CONVOLUTION, "mkldnn_convolution cudnn_convolution miopen_convolution"),
    "linear": Rule("matmul", _linear),
    "matmul": Rule("matmul", _matmul),
    **_same(Rule("matmul", _mm), "mm bmm addmm baddbmm mv addmv dot vdot"),
    **_same(_POOLING, "max_pool1d max_pool2d max_pool3d avg_pool1d avg_pool2d avg_pool3d"),
    **_same(_POOLING, "max_pool2d_with_indices max_pool3d_with_indices"),
    **_same(_POOLING, "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d"),
    **_same(_POOLING, "_adaptive_avg_pool2d _adaptive_avg_pool3d"),
    **_same(_POOLING, "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d"),
    **_same(
        Rule("normalization", _normalization("batch_norm")),
        "batch_norm native_batch_norm _native_batch_norm_legit _batch_norm_with_update"
        " _native_batch_norm_legit_no_training cudnn_batch_norm miopen_batch_norm",
    ),
    **_same(Rule("normalization", _normalization("layer_norm")), "layer_norm native_layer_norm"),
    **_same(Rule("normalization", _normalization("group_norm")), "group_norm native_group_norm"),
    "instance_norm": Rule("normalization", _normalization("instance_norm")),
    "rms_norm": Rule("normalization", _normalization("rms_norm")),
    **_same(
        _ELEMENTWISE,
        "relu relu6 elu selu celu gelu silu mish sigmoid tanh hardtanh hardswish hardsigmoid"
        " leaky_relu _prelu_kernel prelu softplus log_sigmoid log_sigmoid_forward threshold"
        " hardshrink softshrink",
    ),
    **_same(
        _ELEMENTWISE,
        "add sub rsub mul div pow maximum minimum fmod remainder addcmul addcdiv lerp"
        " neg abs sign exp expm1 log log1p log2 sqrt rsqrt reciprocal square sin cos erf"
        " floor ceil round trunc clamp clamp_min clamp_max where masked_fill"
        " eq ne lt le gt ge logical_and logical_or logical_not logical_xor"
        " bitwise_and bitwise_or bitwise_not isnan isinf isfinite native_dropout",
    ),
    **_same(
        _ELEMENTWISE,
        "threshold_backward sigmoid_backward tanh_backward gelu_backward silu_backward"
        " hardtanh_backward hardswish_backward hardsigmoid_backward leaky_relu_backward"
        " elu_backward native_dropout_backward",
    ),
    **_same(Rule("elementwise", _dropout, ("train",)), "dropout feature_dropout alpha_dropout"),
    **_same(_REDUCTION, "sum mean prod amax amin argmax argmin any all std var logsumexp"),
    "linalg_vector_norm": Rule("reduction", _reduction, ("dim", "keepdim")),
    **_same(_REDUCTION, "softmax _softmax log_softmax _log_softmax cumsum"),
    **_same(_JOIN, "cat concat concatenate stack"),
    **_same(Rule("movement", _padding, ("pad",)), "constant_pad_nd pad"),
    **_same(
        Rule("movement", _padding, ("padding",)),
        "reflection_pad1d reflection_pad2d reflection_pad3d"
        " replication_pad1d replication_pad2d replication_pad3d",
    ),
    **_same(_COPY, "clone contiguous copy _to_copy to pixel_shuffle pixel_unshuffle"),
    **_same(_COPY, "channel_shuffle roll flip"),
    "repeat": Rule("movement", _repeat, ("repeats",)),
    **_same(_FILL, "fill zero zeros ones full rand randn uniform normal bernoulli"),
    **_same(_FILL, "zeros_like ones_like full_like rand_like randn_like"),
    **_same(
        _VIEW,
        "view _unsafe_view reshape _reshape_alias flatten unflatten t transpose permute"
        " squeeze unsqueeze expand expand_as view_as select slice narrow split"
        " split_with_sizes chunk unbind detach alias lift_fresh as_strided movedim"
        " diagonal empty empty_like empty_strided new_empty",
    ),
}

#: operator name -> the arguments besides tensors that a capture has to keep for it
ATTRIBUTES: dict[str, tuple[str, ...]] = {
    f"aten::{name}{underscore}": rule.reads
    for name, rule in RULES.items()
    if rule.reads
    for underscore in ("", "_")
}
