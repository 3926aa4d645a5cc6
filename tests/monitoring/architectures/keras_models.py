"""Architectures of `keras.applications` on torch, with random weights and small pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

os.environ["KERAS_BACKEND"] = "torch"
os.environ["KERAS_TORCH_DEVICE"] = "cpu"

import keras

Made = tuple[Callable[..., Any], dict[str, Any]]


def _make(name: str, side: int) -> Made:
    keras.utils.set_random_seed(0)  # its weights do not come from torch's generator
    model = getattr(keras.applications, name)(
        weights=None, include_top=False, input_shape=(side, side, 3), pooling="avg"
    )
    picture = torch.linspace(-1, 1, side * side * 3).reshape(1, side, side, 3)
    return model, {"inputs": picture, "training": False}


#: name -> side of its picture, about the least that it takes
SIDES = {
    "ConvNeXtTiny": 64,
    "EfficientNetB0": 64,
    "InceptionV3": 75,
    "MobileNet": 64,
    "MobileNetV3Small": 64,
    "ResNet50": 64,
    "VGG16": 32,
    "Xception": 71,
}

MAKERS = {name: partial(_make, name, side) for name, side in SIDES.items()}
