"""A small Llama (Touvron et al. 2023): the next token after 512, whose keys and values are cached.

Grouped-query attention, RMSNorm, rotary positions, gated perceptrons. One token uses each weight
once, so that the memory sets the time. Each call decodes at the same position: the cache comes in
and the new token's part of it goes out.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 32000
FEATURES = 1024
INNER_FEATURES = 2816
LAYERS = 8
HEADS = 16
CACHED_HEADS = 4  # each serves four heads
HEAD_FEATURES = FEATURES // HEADS
CACHED_TOKENS = 512
ROTARY_BASE = 10000.0
EPSILON = 1e-5


class RMSNorm(nn.Module):
    """Divides by the root mean square, in float32."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(FEATURES))

    def forward(self, x: Tensor) -> Tensor:
        wide = x.float()
        wide = wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + EPSILON)
        return self.weight * wide.to(x.dtype)


class Rotary(nn.Module):
    """Cosines and sines of the angles by which a position turns the features of a head."""

    def __init__(self) -> None:
        super().__init__()
        exponents = torch.arange(0, HEAD_FEATURES, 2) / HEAD_FEATURES
        self.register_buffer("frequencies", ROTARY_BASE**-exponents, persistent=False)

    def forward(self, positions: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        angles = positions[:, None].float() * self.frequencies.float()
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos().to(x.dtype), angles.sin().to(x.dtype)


def turn(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return x * cosines + torch.cat((-second, first), dim=-1) * sines


class Attention(nn.Module):
    """The new token looks at the cached ones and at itself."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(FEATURES, FEATURES, bias=False)
        self.key = nn.Linear(FEATURES, CACHED_HEADS * HEAD_FEATURES, bias=False)
        self.value = nn.Linear(FEATURES, CACHED_HEADS * HEAD_FEATURES, bias=False)
        self.out = nn.Linear(FEATURES, FEATURES, bias=False)

    def forward(
        self, x: Tensor, angles: tuple[Tensor, Tensor], keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        query, key, value = (
            part(x).unflatten(-1, (-1, HEAD_FEATURES)).transpose(1, 2)
            for part in (self.query, self.key, self.value)
        )
        query, key = turn(query, *angles), turn(key, *angles)
        mixed = functional.scaled_dot_product_attention(
            query, self._repeat(keys, key), self._repeat(values, value)
        )
        return self.out(mixed.transpose(1, 2).flatten(2)), key, value

    @staticmethod
    def _repeat(cached: Tensor, new: Tensor) -> Tensor:
        """For each head a copy of those that it shares with others."""
        return torch.cat((cached, new), dim=2).repeat_interleave(HEADS // CACHED_HEADS, dim=1)


class Layer(nn.Module):
    """Attention and a gated perceptron, each of a normalized input, added to it."""

    def __init__(self) -> None:
        super().__init__()
        self.attention_norm = RMSNorm()
        self.attention = Attention()
        self.norm = RMSNorm()
        self.gate = nn.Linear(FEATURES, INNER_FEATURES, bias=False)
        self.up = nn.Linear(FEATURES, INNER_FEATURES, bias=False)
        self.down = nn.Linear(INNER_FEATURES, FEATURES, bias=False)

    def forward(
        self, x: Tensor, angles: tuple[Tensor, Tensor], keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        mixed, key, value = self.attention(self.attention_norm(x), angles, keys, values)
        x = x + mixed
        y = self.norm(x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y)), key, value


class Llama(nn.Module):
    """A token and the cache (layer x batch x head x token x feature) to the next token's scores.

    The token's own keys and values come after the scores.
    """

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, FEATURES)
        self.rotary = Rotary()
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = RMSNorm()
        self.head = nn.Linear(FEATURES, VOCABULARY, bias=False)

    def forward(
        self, token: Tensor, positions: Tensor, keys: Tensor, values: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        x = self.words(token)
        angles = self.rotary(positions, x)
        new_keys, new_values = [], []
        for index, layer in enumerate(self.layers):
            x, key, value = layer(x, angles, keys[index], values[index])
            new_keys.append(key)
            new_values.append(value)
        return self.head(self.norm(x)), torch.stack(new_keys), torch.stack(new_values)


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    token = torch.randint(0, VOCABULARY, (1, 1))
    positions = torch.tensor([CACHED_TOKENS])
    cache = [torch.randn(LAYERS, 1, CACHED_HEADS, CACHED_TOKENS, HEAD_FEATURES) for _ in range(2)]
    return Llama().eval(), (token, positions, *cache)
