"""Builders of operator calls for the tests of ops."""

from typing import Any

from aimatrix.model.calls import OpCall


def convolution(
    *,
    batch: int = 1,
    in_channels: int,
    out_channels: int,
    input_size: tuple[int, ...],
    kernel_size: tuple[int, ...],
    transposed: bool = False,
    dtype: str = "float32",
    **more: Any,
) -> OpCall:
    """A convolution; what is not given is torch's default."""
    rank = len(input_size)
    attributes = {
        "stride": (1,) * rank,
        "padding": (0,) * rank,
        "dilation": (1,) * rank,
        "output_padding": (0,) * rank,
        "groups": 1,
        "bias": True,
        **more,
    }
    return OpCall.create(
        "convolution",
        f"conv{'_transpose' if transposed else ''}{rank}d",
        {
            "batch": batch,
            "in_channels": in_channels,
            "out_channels": out_channels,
            "input_size": input_size,
            "kernel_size": kernel_size,
            **attributes,
        },
        dtype=dtype,
    )


def pooling(kind: str, **attributes: Any) -> OpCall:
    """A pooling; what is not given is torch's default."""
    rank = len(attributes["input_size"])
    defaults: dict[str, Any] = {"batch": 1, "channels": 1}
    if not kind.startswith("adaptive"):
        defaults |= {
            "stride": attributes["kernel_size"],
            "padding": (0,) * rank,
            "dilation": (1,) * rank,
            "ceil_mode": False,
        }
    return OpCall.create("pooling", f"{kind}{rank}d", defaults | attributes)


def matmul(kind: str, m: int, n: int, k: int, *, batch: int = 1, bias: bool = False) -> OpCall:
    """A matrix product (batch, m, k) x (batch, k, n)."""
    attributes = {"batch": batch, "m": m, "n": n, "k": k, "bias": bias}
    return OpCall.create("matmul", kind, attributes)


def movement(kind: str, *inputs: tuple[int, ...], **more: Any) -> OpCall:
    """A movement of tensors of these shapes."""
    return OpCall.create("movement", kind, {"inputs": inputs, **more})


def reduction(kind: str, shape: tuple[int, ...], *dims: int, keepdim: bool = False) -> OpCall:
    """A reduction over ``dims`` (none: over all)."""
    return OpCall.create("reduction", kind, {"input": shape, "dims": dims, "keepdim": keepdim})


def attention(kind: str, **attributes: Any) -> OpCall:
    """Attention of one head over one sequence, neither causal nor masked, unless given."""
    defaults = {"batch": 1, "heads": 1, "kv_heads": 1, "causal": False, "mask": None}
    return OpCall.create("attention", kind, defaults | attributes)


def recurrent(kind: str, **attributes: Any) -> OpCall:
    """A recurrent layer in one direction, with bias, unless given otherwise."""
    attributes = {"batch": 1, "steps": 1, "layers": 1, "proj_size": 0, **attributes}
    attributes = {"bidirectional": False, "bias": True, **attributes}
    rows = attributes["batch"] * attributes["steps"]
    return OpCall.create("recurrent", kind, {"rows": rows, **attributes})


def streaming(
    family: str,
    kind: str,
    inputs: tuple[tuple[int, ...], ...],
    outputs: tuple[tuple[int, ...], ...],
    indices: int = 0,
) -> OpCall:
    """An operator that reads and writes these shapes."""
    attributes = {"inputs": inputs, "outputs": outputs, "indices": indices}
    return OpCall.create(family, kind, attributes)
