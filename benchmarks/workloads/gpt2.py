"""GPT-2 small (Radford et al. 2019) with random weights and a cache of keys and values.

It needs torch alone. 124,439,808 parameters: 12 layers of 768 features, 12 heads; the output shares
the weights of the embedding.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 50257
POSITIONS = 1024
FEATURES = 768
LAYERS = 12
HEADS = 12

#: keys and values of one layer, so far
Cache = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Each position looks at itself and those before it, in 12 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.inputs = nn.Linear(FEATURES, 3 * FEATURES)
        self.out = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        parts = self.inputs(x).split(FEATURES, dim=2)
        query, key, value = (self._heads(part) for part in parts)
        if cache is not None:
            key, value = torch.cat([cache[0], key], 2), torch.cat([cache[1], value], 2)
        mixed = functional.scaled_dot_product_attention(query, key, value, is_causal=cache is None)
        return self.out(mixed.transpose(1, 2).reshape(x.shape)), (key, value)

    @staticmethod
    def _heads(x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, FEATURES // HEADS).transpose(1, 2)


class Layer(nn.Module):
    """Attention and a perceptron, each of a normalized input, added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(FEATURES)
        self.attention = Attention()
        self.norm = nn.LayerNorm(FEATURES)
        self.inner = nn.Linear(FEATURES, 4 * FEATURES)
        self.outer = nn.Linear(4 * FEATURES, FEATURES)

    def forward(self, x: Tensor, cache: Cache | None) -> tuple[Tensor, Cache]:
        mixed, cache = self.attention(self.attention_norm(x), cache)
        x = x + mixed
        inner = functional.gelu(self.inner(self.norm(x)), approximate="tanh")
        return x + self.outer(inner), cache


class Gpt2(nn.Module):
    """Tokens to the logits of the last one, and the cache of all."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, FEATURES)
        self.positions = nn.Embedding(POSITIONS, FEATURES)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.LayerNorm(FEATURES)

    def forward(
        self, tokens: Tensor, caches: list[Cache] | None = None
    ) -> tuple[Tensor, list[Cache]]:
        begin = 0 if caches is None else caches[0][0].shape[2]
        positions = torch.arange(begin, begin + tokens.shape[1], device=tokens.device)
        x = self.words(tokens) + self.positions(positions)
        kept = []
        for index, layer in enumerate(self.layers):
            x, cache = layer(x, None if caches is None else caches[index])
            kept.append(cache)
        return functional.linear(self.norm(x[:, -1:]), self.words.weight), kept

    def generate(self, tokens: Tensor, count: int) -> Tensor:
        """``tokens`` and the ``count`` that follow, the likeliest each time."""
        logits, caches = self(tokens)
        for _ in range(count - 1):
            tokens = torch.cat([tokens, logits[:, -1:].argmax(2)], 1)
            logits, caches = self(tokens[:, -1:], caches)
        return torch.cat([tokens, logits[:, -1:].argmax(2)], 1)
