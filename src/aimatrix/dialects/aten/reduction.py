"""Reductions, softmax and running sums as PyTorch spells them."""

from __future__ import annotations

from aimatrix.dialects.aten.rule import Arguments, Rule, Translation, axes, quantised, same


def _reduction(name: str, arguments: Arguments) -> Translation:
    kind = name.removeprefix("_").removeprefix("special_").removeprefix("safe_")
    keepdim = bool(arguments.get("keepdim"))
    tensor = arguments.get("self") or arguments["input"]
    return kind, {"input": tensor.shape, "dims": axes(arguments.get("dim")), "keepdim": keepdim}


def _square_norm(_: str, arguments: Arguments) -> Translation:
    """A norm over one axis of weights."""
    shape = arguments["v"].shape
    kept = arguments["dim"] % len(shape)
    dims = tuple(axis for axis in range(len(shape)) if axis != kept)
    return "norm", {"input": shape, "dims": dims, "keepdim": True}


_REDUCTION = Rule("reduction", _reduction, ("dim", "keepdim"))

RULES: dict[str, Rule] = {
    **same(
        _REDUCTION,
        "sum nansum mean nanmean prod amax amin max min aminmax argmax argmin any all"
        " std var std_mean var_mean median nanmedian mode count_nonzero logsumexp"
        " special_logsumexp norm linalg_vector_norm frobenius_norm",
    ),
    **same(_REDUCTION, "softmax _softmax log_softmax _log_softmax special_softmax _safe_softmax"),
    **same(_REDUCTION, "special_log_softmax cumsum cumprod logcumsumexp cummax cummin"),
    "_masked_softmax": _REDUCTION,
    "quantized::softmax": quantised(_REDUCTION, input="qx"),
    "norm_except_dim": Rule("reduction", _square_norm, ("dim",)),
}
