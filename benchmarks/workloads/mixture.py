"""A small mixture of experts with random weights; needs torch alone.

Four layers of 256 features; each token goes to 2 of 8 experts, which run one after another on the
tokens that chose them: many small operators whose shapes differ from run to run.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

FEATURES = 256
LAYERS = 4
HEADS = 4
EXPERTS = 8
CHOSEN = 2


class Experts(nn.Module):
    """Perceptrons of which each token takes the likeliest two."""

    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(FEATURES, EXPERTS, bias=False)
        self.experts = nn.ModuleList(
            nn.Sequential(
                nn.Linear(FEATURES, 2 * FEATURES), nn.SiLU(), nn.Linear(2 * FEATURES, FEATURES)
            )
            for _ in range(EXPERTS)
        )

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.router(x).softmax(1).topk(CHOSEN)
        weights = weights / weights.sum(1, keepdim=True)
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            rows, places = torch.where(chosen == index)
            mixed.index_add_(0, rows, expert(x[rows]) * weights[rows, places, None])
        return mixed


class Layer(nn.Module):
    """Attention and experts, each of a normalized input, added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(FEATURES)
        self.inputs = nn.Linear(FEATURES, 3 * FEATURES)
        self.out = nn.Linear(FEATURES, FEATURES)
        self.norm = nn.LayerNorm(FEATURES)
        self.experts = Experts()

    def forward(self, x: Tensor) -> Tensor:
        parts = self.inputs(self.attention_norm(x)).chunk(3, dim=1)
        query, key, value = (part.view(-1, HEADS, FEATURES // HEADS) for part in parts)
        mixed = functional.scaled_dot_product_attention(
            *(part.transpose(0, 1)[None] for part in (query, key, value)), is_causal=True
        )
        x = x + self.out(mixed[0].transpose(0, 1).reshape(x.shape))
        return x + self.experts(self.norm(x))


class Mixture(nn.Module):
    """Tokens of one sequence to features of each."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(1000, FEATURES)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.words(tokens)
        for layer in self.layers:
            x = layer(x)
        return x
