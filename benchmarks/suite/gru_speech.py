"""Deep Speech 2 (Amodei et al. 2016), at less width: two seconds of two spectrograms to characters.

Two strided convolutions over time and frequency, then three bidirectional GRU layers.
"""

from __future__ import annotations

import torch
from _batch_norms import settle
from torch import Tensor, nn

FREQUENCIES = 161
FRAMES = 200
CHANNELS = 32
UNITS = 256
CHARACTERS = 29


class DeepSpeech(nn.Module):
    """Spectrograms (batch, 1, frequency, frame) to log-probabilities at every other frame."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Sequential(
            nn.Conv2d(1, CHANNELS, (41, 11), stride=(2, 2), padding=(20, 5), bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.Hardtanh(0, 20),
            nn.Conv2d(CHANNELS, CHANNELS, (21, 11), stride=(2, 1), padding=(10, 5), bias=False),
            nn.BatchNorm2d(CHANNELS),
            nn.Hardtanh(0, 20),
        )
        heights = (FREQUENCIES + 3) // 4
        self.gru = nn.GRU(CHANNELS * heights, UNITS, 3, bidirectional=True, batch_first=True)
        self.norm = nn.LayerNorm(2 * UNITS)
        self.head = nn.Linear(2 * UNITS, CHARACTERS)

    def forward(self, spectrograms: Tensor) -> Tensor:
        frames = self.front(spectrograms).flatten(1, 2).transpose(1, 2)
        return self.head(self.norm(self.gru(frames)[0])).log_softmax(dim=-1)


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    model, spectrograms = DeepSpeech(), torch.randn(2, 1, FREQUENCIES, FRAMES)
    settle(model, spectrograms)
    return model, (spectrograms,)
