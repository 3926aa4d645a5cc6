"""DLRM (Naumov et al. 2019): how likely 512 visitors are to click, from 13 numbers and 26 features.

The tables are as tall as the categories of Criteo's data set (at most 100,000 here), each read at
as many rows as in MLPerf's multi-hot variant; few rows are read often, most seldom.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

BATCH = 512
NUMBERS = 13
FEATURES = 64
# fmt: off
ROWS = (
    1460, 583, 100000, 100000, 305, 24, 12517, 633, 3, 93145, 5683, 100000, 3194,
    27, 14992, 100000, 10, 5652, 2173, 4, 100000, 18, 15, 100000, 105, 100000,
)
HOTS = (3, 2, 1, 2, 6, 1, 1, 1, 1, 7, 3, 8, 1, 6, 9, 5, 1, 1, 1, 12, 100, 27, 10, 3, 1, 1)
# fmt: on


def perceptron(*widths: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers)


class Table(nn.EmbeddingBag):
    """The sum of the rows asked for."""

    def forward(self, rows: Tensor) -> Tensor:
        if torch.onnx.is_in_onnx_export():
            # ONNX has no such operator; the exporter's loops over the bags, several times slower
            return functional.embedding(rows, self.weight).sum(dim=1)
        return super().forward(rows)


class Dlrm(nn.Module):
    """Numbers (batch x 13) and rows of all tables (batch x 215) to probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.bottom = perceptron(NUMBERS, 512, 256, FEATURES)
        self.tables = nn.ModuleList(Table(rows, FEATURES, mode="sum") for rows in ROWS)
        vectors = len(ROWS) + 1
        pairs = torch.tril_indices(vectors, vectors, offset=-1)
        self.register_buffer("pairs", pairs[0] * vectors + pairs[1], persistent=False)
        self.top = perceptron(FEATURES + len(self.pairs), 1024, 1024, 512, 256)
        self.head = nn.Linear(256, 1)

    def forward(self, numbers: Tensor, rows: Tensor) -> Tensor:
        x = self.bottom(numbers)
        bags = [table(part) for table, part in zip(self.tables, rows.split(HOTS, 1), strict=True)]
        vectors = torch.stack([x, *bags], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)
        x = torch.cat((x, products.index_select(1, self.pairs)), dim=1)
        return self.head(self.top(x)).sigmoid()


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    rows = [
        # log-uniform: the r-th row is read about 1/r as often as the first
        (count ** torch.rand(BATCH, hots)).long().clamp(max=count) - 1
        for count, hots in zip(ROWS, HOTS, strict=True)
    ]
    return Dlrm().eval(), (torch.rand(BATCH, NUMBERS).log1p(), torch.cat(rows, dim=1))
