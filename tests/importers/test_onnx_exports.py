"""Torch models exported as ONNX, against the same models watched in torch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import pytest
import torch
from onnx_models import macs, operators
from torch import nn

from aimatrix.dialects import aten, translate
from aimatrix.importers.onnx import read
from aimatrix.monitoring import record_calls


class Network(nn.Module):
    """Convolutions, grouped and residual, with what fuses into them, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.second = nn.Conv2d(16, 16, 3, padding=1, groups=4)
        self.last = nn.Linear(16, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.first(x)).relu()
        x = nn.functional.relu6(self.second(x)) + x
        return self.last(nn.functional.max_pool2d(x, 2).mean((2, 3))).softmax(-1)


class Encoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(32, 4, 64, batch_first=True)
        self.layers = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layers(x)


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.all = nn.Linear(32, 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        heads = self.all(x).reshape(x.shape[0], x.shape[1], 3, 4, 8).permute(2, 0, 3, 1, 4)
        query, key, value = heads
        return nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.LSTM(8, 16, 2, batch_first=True, bidirectional=True)
        self.last = nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last(self.layers(x)[0])


MODELS = {
    "network": (Network, (2, 3, 16, 16)),
    "encoder": (Encoder, (2, 7, 32)),
    "attention": (Attention, (2, 7, 32)),
    "recurrent": (Recurrent, (2, 5, 8)),
}


def exported(module: nn.Module, x: torch.Tensor, path: Path, free: bool) -> None:
    dims = ({0: torch.export.Dim("batch", min=1, max=64)},) if free else None
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own, of its versions
        torch.onnx.export(module, (x,), path, dynamic_shapes=dims, dynamo=True, verbose=False)


@pytest.mark.parametrize("free", [False, True], ids=["fixed", "free"])
@pytest.mark.parametrize("name", MODELS)
def test_an_exported_model_has_the_macs_of_the_watched_one(
    name: str, free: bool, tmp_path: Path
) -> None:
    make, shape = MODELS[name]
    module, x = make().eval(), torch.randn(shape)
    exported(module, x, tmp_path / "model.onnx", free)
    dims: Mapping[str, int] = {"batch": shape[0]} if free else {}
    found = [(call.raw, call.calls) for call in read(tmp_path / "model.onnx", dims).calls]
    with torch.no_grad():
        watched = record_calls(lambda: module(x), aten.ATTRIBUTES)
    assert macs(found) == macs((raw, 1) for raw in watched) > 0
    assert "unknown" not in {translate(raw).family for raw, _ in found}


def test_an_exported_network_has_the_convolutions_of_the_watched_one(tmp_path: Path) -> None:
    module, x = Network().eval(), torch.randn(2, 3, 16, 16)
    exported(module, x, tmp_path / "model.onnx", free=False)
    found = [(call.raw, call.calls) for call in read(tmp_path / "model.onnx").calls]
    with torch.no_grad():
        watched = [translate(raw) for raw in record_calls(lambda: module(x), aten.ATTRIBUTES)]
    convolutions = [call for call in watched if call.family == "convolution"]
    assert [c for c in (translate(raw) for raw, _ in found) if c.family == "convolution"] == (
        convolutions
    )
    assert "BatchNormalization" not in operators(found)
