"""Real architectures as plain shapes, and the profiles of their inferences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from aimatrix.analysis.profile import build_profile
from aimatrix.model.calls import OpCall
from aimatrix.model.profile import Profile
from aimatrix.model.workload import WorkloadRecord

WINDOW = datetime(2026, 3, 1, tzinfo=UTC)
Sizes = int | tuple[int, int]


def conv(
    size: Sizes,
    in_channels: int,
    out_channels: int,
    kernel: Sizes = 3,
    stride: int = 1,
    *,
    groups: int = 1,
    padding: Sizes | None = None,
    batch: int = 1,
) -> OpCall:
    """A 2-D convolution on an input of ``size``; half its kernel of padding by default."""
    kernels = _pair(kernel)
    half = (kernels[0] // 2, kernels[1] // 2)
    attributes: dict[str, Any] = {
        "batch": batch,
        "in_channels": in_channels,
        "out_channels": out_channels,
        "input_size": _pair(size),
        "kernel_size": kernels,
        "stride": (stride, stride),
        "padding": half if padding is None else _pair(padding),
        "dilation": (1, 1),
        "output_padding": (0, 0),
        "groups": groups,
        "bias": False,
    }
    return OpCall.create("convolution", "conv2d", attributes)


def profile_of(*models: Iterable[OpCall], inferences: int = 1, **options: Any) -> Profile:
    """The profile of a log in which each model ran ``inferences`` times."""
    return fleet(*((model, inferences) for model in models), **options)


def fleet(*models: tuple[Iterable[OpCall], int], **options: Any) -> Profile:
    """The profile of a log in which each model ran so often."""
    records = [
        WorkloadRecord(call, "aten::conv2d", f"app {number}", "host", WINDOW, 60.0, inferences)
        for number, (calls, inferences) in enumerate(models)
        for call in calls
    ]
    return build_profile(records, **options)


def classic() -> Profile:
    """The poster's: AlexNet, VGG16 and GoogLeNet, grouped convolutions split."""
    return profile_of(
        alexnet(), vgg16(), googlenet(), centers=(224, 112, 56, 28, 14, 7), split_groups=True
    )


def alexnet() -> list[OpCall]:
    return [
        conv(224, 3, 96, 11, 4, padding=0),
        conv(27, 96, 256, 5, groups=2),
        conv(13, 256, 384),
        conv(13, 384, 384, groups=2),
        conv(13, 384, 256, groups=2),
    ]


def vgg16() -> Iterator[OpCall]:
    width = 3
    for size, out, layers in (
        (224, 64, 2),
        (112, 128, 2),
        (56, 256, 3),
        (28, 512, 3),
        (14, 512, 3),
    ):
        for _ in range(layers):
            yield conv(size, width, out)
            width = out


def googlenet() -> Iterator[OpCall]:
    yield conv(224, 3, 64, 7, 2)
    yield conv(56, 64, 64, 1)
    yield conv(56, 64, 192)
    for size, width, one, reduce3, three, reduce5, five, pooled in (
        (28, 192, 64, 96, 128, 16, 32, 32),
        (28, 256, 128, 128, 192, 32, 96, 64),
        (14, 480, 192, 96, 208, 16, 48, 64),
        (14, 512, 160, 112, 224, 24, 64, 64),
        (14, 512, 128, 128, 256, 24, 64, 64),
        (14, 512, 112, 144, 288, 32, 64, 64),
        (14, 528, 256, 160, 320, 32, 128, 128),
        (7, 832, 256, 160, 320, 32, 128, 128),
        (7, 832, 384, 192, 384, 48, 128, 128),
    ):
        yield from (conv(size, width, out, 1) for out in (one, reduce3, reduce5, pooled))
        yield conv(size, reduce3, three)
        yield conv(size, reduce5, five, 5)


def resnet50(batch: int = 1) -> Iterator[OpCall]:
    yield conv(224, 3, 64, 7, 2, batch=batch)
    size, width = 56, 64
    for middle, blocks in ((64, 3), (128, 4), (256, 6), (512, 3)):
        for block in range(blocks):
            stride = 2 if block == 0 and middle > 64 else 1
            yield conv(size, width, middle, 1, batch=batch)
            yield conv(size, middle, middle, 3, stride, batch=batch)
            yield conv(size // stride, middle, 4 * middle, 1, batch=batch)
            if block == 0:
                yield conv(size, width, 4 * middle, 1, stride, batch=batch)
            size, width = size // stride, 4 * middle


def mobilenet_v2() -> Iterator[OpCall]:
    yield conv(224, 3, 32, 3, 2)
    size, width = 112, 32
    for expand, out, blocks, first_stride in (
        (1, 16, 1, 1),
        (6, 24, 2, 2),
        (6, 32, 3, 2),
        (6, 64, 4, 2),
        (6, 96, 3, 1),
        (6, 160, 3, 2),
        (6, 320, 1, 1),
    ):
        for block in range(blocks):
            stride, hidden = first_stride if block == 0 else 1, width * expand
            if expand > 1:
                yield conv(size, width, hidden, 1)
            yield conv(size, hidden, hidden, 3, stride, groups=hidden)
            size //= stride
            yield conv(size, hidden, out, 1)
            width = out
    yield conv(7, 320, 1280, 1)


def unet() -> Iterator[OpCall]:
    """Two convolutions at each level down and up: every count is even."""
    widths, width = (64, 128, 256, 512), 3
    for level, out in enumerate(widths):
        yield conv(256 >> level, width, out)
        yield conv(256 >> level, out, out)
        width = out
    for level, out in ((2, 256), (1, 128), (0, 64)):
        yield conv(256 >> level, 2 * out, out)
        yield conv(256 >> level, out, out)


def inception_tail() -> Iterator[OpCall]:
    """Factorised kernels, as in Inception v3's 17 x 17 modules."""
    for middle in (128, 160, 160, 192):
        yield conv(17, 768, middle, 1)
        yield conv(17, middle, middle, (1, 7))
        yield conv(17, middle, 192, (7, 1))
        yield conv(17, 768, 192, 1)


def segmentation() -> Iterator[OpCall]:
    """Wide images: inputs that are not square."""
    for size, width in (((256, 512), 32), ((128, 256), 64), ((64, 128), 128)):
        yield conv(size, width // 2, width)
        yield conv(size, width, width)
        yield conv(size, width, width)
        yield conv(size, width, 2 * width, 3, 2)


def patches() -> Iterator[OpCall]:
    """ConvNeXt's stem and down-sampling: even kernels and wide depthwise ones."""
    yield conv(224, 3, 96, 4, 4, padding=0)
    for size, width, blocks in ((56, 96, 3), (28, 192, 3), (14, 384, 9), (7, 768, 3)):
        for _ in range(blocks):
            yield conv(size, width, width, 7, groups=width)
        if size > 7:
            yield conv(size, width, 2 * width, 2, 2, padding=0)


def _pair(value: Sizes) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def cifar_resnet() -> Iterator[OpCall]:
    """Narrow layers on small inputs."""
    yield conv(32, 3, 16)
    for size, width in ((32, 16), (16, 32), (8, 64)):
        for _ in range(5):
            yield conv(size, width, width)
        if size > 8:
            yield conv(size, width, 2 * width, 3, 2)


#: name -> its profile
PROFILES = {
    "classic": classic,
    "classic, found centres, unsplit": lambda: profile_of(alexnet(), vgg16(), googlenet()),
    "alexnet": lambda: profile_of(alexnet()),
    "vgg16": lambda: profile_of(vgg16()),
    "resnet50": lambda: profile_of(resnet50()),
    "resnet50 at batch 8": lambda: profile_of(resnet50(8)),
    "two batches": lambda: profile_of(resnet50(8), vgg16()),
    "mobilenet_v2": lambda: profile_of(mobilenet_v2()),
    "unet": lambda: profile_of(unet()),
    "one layer": lambda: profile_of([conv(56, 64, 128)]),
    "one pointwise layer": lambda: profile_of([conv(7, 320, 1280, 1)]),
    "one strided layer": lambda: profile_of([conv(224, 3, 64, 7, 2)]),
    "factorised kernels": lambda: profile_of(inception_tail()),
    "wide images": lambda: profile_of(segmentation()),
    "patches": lambda: profile_of(patches()),
    "narrow": lambda: profile_of(cifar_resnet()),
    "uneven calls": lambda: fleet((alexnet(), 3), (googlenet(), 7)),
    "uneven calls and batches": lambda: fleet(
        (resnet50(8), 10), (vgg16(), 7), (mobilenet_v2(), 13)
    ),
    "a mixed fleet": lambda: profile_of(
        resnet50(), mobilenet_v2(), unet(), inception_tail(), googlenet(), inferences=3
    ),
}
