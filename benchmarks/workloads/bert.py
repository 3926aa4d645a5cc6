"""BERT-base (Devlin et al. 2019) with its pooler and random weights; needs torch alone.

109,482,240 parameters: 12 layers of 768 features, 12 heads, 3072 features in between.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

VOCABULARY = 30522
POSITIONS = 512
SEGMENTS = 2
FEATURES = 768
LAYERS = 12
HEADS = 12
INNER_FEATURES = 3072
EPSILON = 1e-12
DROPOUT = 0.1


class Embeddings(nn.Module):
    """Words, their positions and their segments, added up."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, FEATURES, padding_idx=0)
        self.positions = nn.Embedding(POSITIONS, FEATURES)
        self.segments = nn.Embedding(SEGMENTS, FEATURES)
        self.norm = nn.LayerNorm(FEATURES, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, tokens: Tensor, segments: Tensor) -> Tensor:
        positions = torch.arange(tokens.shape[1], device=tokens.device)
        x = self.words(tokens) + self.segments(segments) + self.positions(positions)
        return self.dropout(self.norm(x))


class Attention(nn.Module):
    """Each position looks at all others, in 12 heads."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Linear(FEATURES, FEATURES)
        self.key = nn.Linear(FEATURES, FEATURES)
        self.value = nn.Linear(FEATURES, FEATURES)
        self.out = nn.Linear(FEATURES, FEATURES)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        query, key, value = (self._heads(part(x)) for part in (self.query, self.key, self.value))
        mixed = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask, dropout_p=DROPOUT if self.training else 0.0
        )
        return self.out(mixed.transpose(1, 2).reshape(x.shape))

    @staticmethod
    def _heads(x: Tensor) -> Tensor:
        return x.view(x.shape[0], x.shape[1], HEADS, FEATURES // HEADS).transpose(1, 2)


class Layer(nn.Module):
    """Attention and a perceptron, each added to its input and then normalized."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.attention_norm = nn.LayerNorm(FEATURES, eps=EPSILON)
        self.inner = nn.Linear(FEATURES, INNER_FEATURES)
        self.outer = nn.Linear(INNER_FEATURES, FEATURES)
        self.norm = nn.LayerNorm(FEATURES, eps=EPSILON)
        self.dropout = nn.Dropout(DROPOUT)

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        x = self.attention_norm(x + self.dropout(self.attention(x, mask)))
        return self.norm(x + self.dropout(self.outer(functional.gelu(self.inner(x)))))


class BertBase(nn.Module):
    """Tokens to one vector for each of them, and the pooled one of the sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = Embeddings()
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.pooler = nn.Linear(FEATURES, FEATURES)

    def forward(
        self, tokens: Tensor, segments: Tensor | None = None, mask: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """mask: batch x tokens, True where a token is one; by default all are."""
        if segments is None:
            segments = torch.zeros_like(tokens)
        x = self.embeddings(tokens, segments)
        visible = None if mask is None else mask[:, None, None, :]
        for layer in self.layers:
            x = layer(x, visible)
        return x, torch.tanh(self.pooler(x[:, 0]))


def bert_base(batch: int = 1, tokens: int = 128) -> tuple[BertBase, tuple[Tensor]]:
    """The model, in training mode as torch makes it, and a batch of inputs for it."""
    return BertBase(), (torch.randint(0, VOCABULARY, (batch, tokens)),)
