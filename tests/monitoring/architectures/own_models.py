"""Architectures of our own, of plain torch modules: what the model libraries do not have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

Made = tuple[Callable[..., Any], dict[str, Any]]

STEPS, BATCH, INPUTS, HIDDEN = 7, 3, 24, 32


class CellLoop(nn.Module):
    """A recurrent network whose steps are a loop in Python."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(INPUTS, HIDDEN)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        state = None
        for step in x:
            state = self.cell(step, state)
        return state[0]


class Recommender(nn.Module):
    """DLRM: bags of embeddings, products of all pairs of them, and two towers of layers."""

    def __init__(self, tables: int = 5, width: int = 16) -> None:
        super().__init__()
        self.tables = nn.ModuleList(nn.EmbeddingBag(100, width, mode="sum") for _ in range(tables))
        self.bottom = nn.Sequential(nn.Linear(13, 64), nn.ReLU(), nn.Linear(64, width), nn.ReLU())
        pairs = (tables + 1) * tables // 2
        self.top = nn.Sequential(nn.Linear(width + pairs, 64), nn.ReLU(), nn.Linear(64, 1))

    def forward(self, dense: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        bottom = self.bottom(dense)
        offsets = torch.arange(0, rows.numel(), rows.shape[1])
        bags = [table(rows.flatten(), offsets) for table in self.tables]
        features = torch.stack([bottom, *bags], 1)
        products = features @ features.transpose(1, 2)
        first, second = torch.tril_indices(features.shape[1], features.shape[1], -1)
        return torch.sigmoid(self.top(torch.cat([bottom, products[:, first, second]], 1)))


class UNet(nn.Module):
    """Down and up again by transposed convolutions, with connections across."""

    def __init__(self, widths: tuple[int, ...] = (8, 16, 32)) -> None:
        super().__init__()
        self.down = nn.ModuleList(
            self._block(a, b) for a, b in zip((3, *widths), widths, strict=False)
        )
        ups = list(zip(widths[:0:-1], widths[-2::-1], strict=True))
        self.grow = nn.ModuleList(nn.ConvTranspose2d(a, b, 2, stride=2) for a, b in ups)
        self.up = nn.ModuleList(self._block(2 * b, b) for _, b in ups)
        self.last = nn.Conv2d(widths[0], 2, 1)

    @staticmethod
    def _block(inputs: int, outputs: int) -> nn.Module:
        return nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, padding=1), nn.GroupNorm(4, outputs), nn.SiLU()
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        across = []
        for block in self.down:
            x = block(x if not across else nn.functional.max_pool2d(x, 2))
            across.append(x)
        across.pop()
        for grow, block in zip(self.grow, self.up, strict=True):
            x = block(torch.cat([grow(x), across.pop()], 1))
        return self.last(x)


def _sequence() -> dict[str, Any]:
    x = torch.linspace(-1, 1, STEPS * BATCH * INPUTS)
    return {"input": x.reshape(STEPS, BATCH, INPUTS)}


def lstm() -> Made:
    return nn.LSTM(INPUTS, HIDDEN, 2, bidirectional=True).eval(), _sequence()


def gru() -> Made:
    return nn.GRU(INPUTS, HIDDEN, 2).eval(), _sequence()


def cell_loop() -> Made:
    return CellLoop().eval(), {"x": _sequence()["input"]}


def dlrm() -> Made:
    dense = torch.linspace(-1, 1, 8 * 13).reshape(8, 13)
    return Recommender().eval(), {"dense": dense, "rows": torch.arange(8 * 4).reshape(8, 4)}


def unet() -> Made:
    return UNet().eval(), {"x": torch.linspace(-1, 1, 3 * 32 * 32).reshape(1, 3, 32, 32)}


def transformer() -> Made:
    """Torch's own encoder, each layer of which is one operator at inference."""
    layer = nn.TransformerEncoderLayer(INPUTS, 4, HIDDEN, batch_first=True)
    return nn.TransformerEncoder(layer, 2).eval(), {"src": _sequence()["input"]}


MAKERS = {make.__name__: make for make in (lstm, gru, cell_loop, dlrm, unet, transformer)}

_STEP = STEPS * BATCH * HIDDEN
#: multiply-adds of what torch's own counter of operations is blind to
MACS = {
    # four gates, two directions; the second layer takes both directions of the first
    "lstm": 4 * 2 * _STEP * ((INPUTS + HIDDEN) + (2 * HIDDEN + HIDDEN)),
    "gru": 3 * _STEP * ((INPUTS + HIDDEN) + (HIDDEN + HIDDEN)),
    "cell_loop": 4 * _STEP * (INPUTS + HIDDEN),
    # query, key, value and output; scores and what they weigh (BATCH steps); the perceptron
    "transformer": 2 * STEPS * BATCH * INPUTS * (4 * INPUTS + 2 * BATCH + 2 * HIDDEN),
}
