"""The medium LSTM language model of Zaremba et al. 2014: 8 texts, 35 steps.

Two layers of 650 units between an embedding and a projection to a vocabulary of 10,000 words.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

VOCABULARY = 10000
FEATURES = 650
LAYERS = 2


class LanguageModel(nn.Module):
    """Words (step x text) and the state before them to scores, and the state after them."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(VOCABULARY, FEATURES)
        self.lstm = nn.LSTM(FEATURES, FEATURES, LAYERS, dropout=0.5)
        self.dropout = nn.Dropout(0.5)
        self.head = nn.Linear(FEATURES, VOCABULARY)

    def forward(self, words: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x, (hidden, cell) = self.lstm(self.dropout(self.words(words)), (hidden, cell))
        return self.head(self.dropout(x)), hidden, cell


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    words = torch.randint(0, VOCABULARY, (35, 8))
    hidden, cell = (torch.randn(LAYERS, 8, FEATURES) * 0.1 for _ in range(2))
    return LanguageModel().eval(), (words, hidden, cell)
