"""Convolution: 1 to 3 dimensions, grouped, depthwise, dilated, transposed; and its gradients."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from aimatrix.errors import InputError
from aimatrix.model.calls import Cost, OpCall
from aimatrix.ops import launch
from aimatrix.ops.family import LEAST_WIDTH, Family, is_count, is_counts, is_flag, is_sizes
from aimatrix.ops.formula import Formula
from aimatrix.ops.operand import Operand, activation, weight

#: the least first side of an input: rows of an image are shared out among threads
LEAST_SIDE = 8


class Convolution(Family):
    """Kinds: conv1d, conv2d, conv3d, conv_transpose1d, conv_transpose2d, conv_transpose3d.

    Attributes: batch, in_channels, out_channels, groups, bias; and per spatial dimension
    input_size, kernel_size, stride, padding, dilation, output_padding (0 unless transposed).
    A kind with _backward behind has the attributes of its forward call, and which gradients it
    computes: input_gradient, weight_gradient (each as many multiply-adds as forward), bias
    being that of the bias.
    """

    name = "convolution"
    formulas = (
        Formula(
            output="per side (size + 2 padding - dilation (kernel - 1) - 1) // stride + 1",
            macs="N K out x C / G x kernel",
            read="N C in + parameters",
            written="N K out",
            parameters="C K / G x kernel, + K with bias",
            source="shapes: torch.nn.Conv2d; MACs: Chetlur et al. 2014, arXiv:1410.0759",
        ),
        Formula(
            of="transposed",
            output=(
                "per side (size - 1) stride - 2 padding + dilation (kernel - 1) + "
                "output_padding + 1"
            ),
            macs="N C in x K / G x kernel",
            read="N C in + parameters",
            written="N K out",
            parameters="C K / G x kernel, + K with bias",
            source="torch.nn.ConvTranspose2d; Dumoulin and Visin 2016, arXiv:1603.07285, section 4",
        ),
        Formula(
            of="_backward",
            output="as the input",
            macs="as forward, for each of the gradients of input and weights",
            read="the output's gradient; weights for the input's, input for the weights'",
            written="the gradients",
            parameters="as forward, without bias",
            source=(
                "each gradient is a convolution of as many products: Chetlur et al. 2014,"
                " arXiv:1410.0759"
            ),
        ),
    )
    required = {
        "batch": is_count,
        "in_channels": is_count,
        "out_channels": is_count,
        "groups": is_count,
        "bias": is_flag,
        "input_size": is_counts,
        "kernel_size": is_counts,
        "stride": is_counts,
        "padding": is_sizes,
        "dilation": is_counts,
        "output_padding": is_sizes,
    }
    _gradients = {"input_gradient": is_flag, "weight_gradient": is_flag}

    def check(self, call: OpCall) -> None:
        """As `Family.check`; kind and ranks agree, groups divide channels, no output is empty."""
        super().check(call)
        rank = len(call["input_size"])
        if is_backward(call):
            self.check_attributes(call, self._gradients)
        if call.kind.removesuffix("_backward") not in (f"conv{rank}d", f"conv_transpose{rank}d"):
            raise InputError(f"{call.kind!r} is no convolution of {rank} dimensions")
        per_dimension = ("kernel_size", "stride", "padding", "dilation", "output_padding")
        for attribute in per_dimension:
            if len(call[attribute]) != rank:
                raise InputError(f"a {call.kind} has {attribute} of another rank than input_size")
        if call["in_channels"] % call["groups"] or call["out_channels"] % call["groups"]:
            raise InputError(f"a {call.kind} has channels that its groups do not divide")
        if min(output_size(call)) < 1:
            raise InputError(f"a {call.kind} has an input smaller than its kernel")

    def input_size(self, call: OpCall) -> float:
        """The geometric mean of the input's sides."""
        sides = call["input_size"]
        return float(prod(sides) ** (1 / len(sides)))

    def operands(self, call: OpCall) -> tuple[Operand, ...]:
        """Input, weight, bias where there is one; of a backward kind the output's gradient first,
        and no bias.
        """
        inputs = activation(call["batch"], call["in_channels"], *call["input_size"])
        leading, fan = call["out_channels"], call["in_channels"] // call["groups"]
        if is_transposed(call):
            leading, fan = call["in_channels"], call["out_channels"] // call["groups"]
        kernel = weight(leading, fan, *call["kernel_size"])
        if is_backward(call):
            gradient = activation(call["batch"], call["out_channels"], *output_size(call))
            return (gradient, inputs, kernel)
        return (inputs, kernel, *((weight(call["out_channels"]),) if call["bias"] else ()))

    def widths(self, call: OpCall) -> tuple[int, ...]:
        """(channels of a group in, out, batch, sides of the input); of depthwise ones the channels
        once.
        """
        outer = (call["batch"], *call["input_size"])
        if is_depthwise(call):
            return (call["in_channels"], *outer)
        groups = call["groups"]
        return (call["in_channels"] // groups, call["out_channels"] // groups, *outer)

    def least_widths(self, call: OpCall) -> tuple[int, ...]:
        """As `Family.least_widths`; positions are done one after another."""
        filters = zip(call["dilation"], call["kernel_size"], call["stride"], strict=True)
        sides = [
            max(LEAST_SIDE, 2 * (dilation * (kernel - 1) + 1), 2 * stride)
            for dilation, kernel, stride in filters
        ]
        channels = 1 if is_depthwise(call) else 2
        # gradients of weights are sums over positions: less of these asks for more channels
        width = 2 * LEAST_WIDTH if is_backward(call) else LEAST_WIDTH
        return (*[width] * channels, 1, *sides)

    def repeats_in(self, call: OpCall) -> tuple[bool, ...]:
        """As `Family.repeats_in`: positions; of depthwise ones channels too."""
        outer = (True,) * (1 + len(call["input_size"]))
        return (True, *outer) if is_depthwise(call) else (False, False, *outer)

    def with_widths(self, call: OpCall, widths: Sequence[int]) -> OpCall:
        """As `widths` gives them; groups stay, but for depthwise ones, where they are channels."""
        rank = len(call["input_size"])
        *channels, batch = widths[:-rank]
        call = call.replace(batch=batch, input_size=tuple(widths[-rank:]))
        if is_depthwise(call):
            share, width = call["out_channels"] // call["in_channels"], channels[0]
            # one channel would be a convolution that is not depthwise
            width = max(2, width)
            return call.replace(in_channels=width, out_channels=share * width, groups=width)
        inside, outside = (width * call["groups"] for width in channels)
        return call.replace(in_channels=inside, out_channels=outside)

    def fitted(self, call: OpCall, position: int, shape: tuple[int, ...]) -> OpCall | None:
        """As `Family.fitted`: channels out change with those in; None of gradients."""
        if is_backward(call) or position:
            return None
        batch, channels, *size = shape
        old, groups = call["in_channels"], call["groups"]
        outside = max(1, call["out_channels"] * channels // old)
        if is_depthwise(call):
            groups, outside = channels, call["out_channels"] // old * channels
        elif groups == 1 and outside >= LEAST_WIDTH:
            outside -= outside % 16  # as round as filters are
        return call.replace(
            batch=batch,
            in_channels=channels,
            out_channels=outside,
            groups=groups,
            input_size=tuple(size),
        )

    def _output_shape(self, call: OpCall) -> tuple[int, ...]:
        if is_backward(call):
            return (call["batch"], call["in_channels"], *call["input_size"])
        return (call["batch"], call["out_channels"], *output_size(call))

    def _cost(self, call: OpCall, itemsize: int) -> Cost:
        weights = _weights(call)
        parameters = weights + (call["out_channels"] if call["bias"] else 0)
        inputs = call["batch"] * call["in_channels"] * prod(call["input_size"])
        outputs = call["batch"] * call["out_channels"] * prod(output_size(call))
        if is_backward(call):
            return _backward_cost(call, inputs, outputs, itemsize)
        return Cost(
            macs=macs(call),
            bytes_read=(inputs + parameters) * itemsize,
            bytes_written=outputs * itemsize,
            parameters=parameters,
            warps=_warps(call, outputs),
        )


def conv2d(
    *,
    batch: int,
    in_channels: int,
    out_channels: int,
    input_size: tuple[int, int],
    kernel_size: tuple[int, int],
    stride: tuple[int, int],
    padding: tuple[int, int],
    groups: int,
    dtype: str = "float32",
) -> OpCall:
    """A forward 2-D convolution with bias, not dilated: what a benchmark's layers are."""
    attributes = {
        "batch": batch,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "input_size": input_size,
        "kernel_size": kernel_size,
        "stride": stride,
        "padding": padding,
        "dilation": (1, 1),
        "output_padding": (0, 0),
        "groups": groups,
        "bias": True,
    }
    return OpCall.create("convolution", "conv2d", attributes, dtype=dtype)


def output_size(call: OpCall) -> tuple[int, ...]:
    """Output size per spatial dimension (torch.nn.ConvNd and ConvTransposeNd, "Shape").

    Of the forward operator, also where the call is its backward one.
    """
    dimensions = zip(
        call["input_size"],
        call["kernel_size"],
        call["stride"],
        call["padding"],
        call["dilation"],
        call["output_padding"],
        strict=True,
    )
    rule = _transposed_size if is_transposed(call) else _size
    return tuple(rule(*dimension) for dimension in dimensions)


def macs(call: OpCall) -> int:
    """Multiply-adds of the forward operator: positions of the kernel x weights behind one channel.

    A convolution does in_channels / groups x kernel for each output element; a transposed one
    does out_channels / groups x kernel for each input element.
    """
    kernel = prod(call["kernel_size"])
    if is_transposed(call):
        inputs = call["batch"] * call["in_channels"] * prod(call["input_size"])
        return int(inputs * (call["out_channels"] // call["groups"]) * kernel)
    outputs = call["batch"] * call["out_channels"] * prod(output_size(call))
    return int(outputs * (call["in_channels"] // call["groups"]) * kernel)


def is_transposed(call: OpCall) -> bool:
    """Whether the call is a transposed convolution."""
    return call.kind.startswith("conv_transpose")


def is_backward(call: OpCall) -> bool:
    """Whether the call computes gradients of a convolution."""
    return call.kind.endswith("_backward")


def is_depthwise(call: OpCall) -> bool:
    """Whether each input channel is filtered alone (groups = in_channels > 1)."""
    return bool(call["groups"] == call["in_channels"] > 1)


def split_groups(call: OpCall) -> tuple[OpCall, int]:
    """A grouped convolution as ``groups`` equal ones of one group: (one of them, how many).

    Depthwise ones stay whole: they are an operator of their own, not many convolutions.
    """
    groups = call["groups"]
    if groups == 1 or is_depthwise(call):
        return call, 1
    single = call.replace(
        groups=1,
        in_channels=call["in_channels"] // groups,
        out_channels=call["out_channels"] // groups,
    )
    return single, groups


def _size(size: int, kernel: int, stride: int, padding: int, dilation: int, _: int) -> int:
    return (size + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1


def _transposed_size(
    size: int, kernel: int, stride: int, padding: int, dilation: int, output_padding: int
) -> int:
    return (size - 1) * stride - 2 * padding + dilation * (kernel - 1) + output_padding + 1


def _backward_cost(call: OpCall, inputs: int, outputs: int, itemsize: int) -> Cost:
    """Of the gradients: the input's needs the weights, the weights' needs the input."""
    weights, bias = _weights(call), call["out_channels"] if call["bias"] else 0
    to_input, to_weights = call["input_gradient"], call["weight_gradient"]
    read = outputs + to_input * weights + to_weights * inputs
    written = to_input * inputs + to_weights * weights + bias
    warps = 0
    if to_input:
        warps += _warps(call, inputs)
    if to_weights:
        warps += launch.gemm_warps(weights // call["groups"], call["groups"])
    return Cost(
        macs=(to_input + to_weights) * macs(call),
        bytes_read=read * itemsize,
        bytes_written=written * itemsize,
        parameters=weights,
        warps=warps,
    )


def _weights(call: OpCall) -> int:
    return int(
        call["in_channels"] * call["out_channels"] // call["groups"] * prod(call["kernel_size"])
    )


def _warps(call: OpCall, outputs: int) -> int:
    if is_depthwise(call):
        return launch.scalar_warps(outputs)
    return launch.gemm_warps(outputs // call["groups"], call["groups"])
