"""Deep Interest Network (Zhou et al. 2018): 256 candidates against the 100 last goods of each user.

A small perceptron weighs every good of the history by its likeness to the candidate.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

BATCH = 256
HISTORY = 100
GOODS = 60000
CATEGORIES = 800
USERS = 100000
FEATURES = 32


class InterestNetwork(nn.Module):
    """User, candidate, history (goods and categories) and its length to the odds of a click."""

    def __init__(self) -> None:
        super().__init__()
        self.users = nn.Embedding(USERS, FEATURES)
        self.goods = nn.Embedding(GOODS, FEATURES)
        self.categories = nn.Embedding(CATEGORIES, FEATURES)
        item = 2 * FEATURES
        self.likeness = nn.Sequential(
            nn.Linear(4 * item, 80), nn.Sigmoid(), nn.Linear(80, 40), nn.Sigmoid(), nn.Linear(40, 1)
        )
        self.top = nn.Sequential(
            nn.Linear(FEATURES + 3 * item, 200),
            nn.PReLU(200),
            nn.Linear(200, 80),
            nn.PReLU(80),
            nn.Linear(80, 1),
        )

    def forward(
        self, users: Tensor, candidates: Tensor, history: Tensor, lengths: Tensor
    ) -> Tensor:
        """candidates: batch x 2, history: batch x 100 x 2: the number of a good, its category."""
        candidate, past = self._items(candidates), self._items(history)
        query = candidate[:, None].expand(past.shape)
        weights = self.likeness(torch.cat((query, past, query - past, query * past), dim=-1))
        present = torch.arange(HISTORY, device=lengths.device) < lengths[:, None]
        interest = torch.where(present[..., None], weights * past, 0).sum(dim=1)
        vectors = (self.users(users), candidate, interest, candidate * interest)
        return self.top(torch.cat(vectors, dim=-1))

    def _items(self, numbers: Tensor) -> Tensor:
        return torch.cat((self.goods(numbers[..., 0]), self.categories(numbers[..., 1])), dim=-1)


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    users = torch.randint(0, USERS, (BATCH,))
    # log-uniform: few goods are looked at often, most seldom
    goods = (GOODS ** torch.rand(BATCH, HISTORY + 1)).long().clamp(max=GOODS) - 1
    items = torch.stack((goods, goods % CATEGORIES), dim=-1)
    lengths = torch.randint(5, HISTORY + 1, (BATCH,))
    return InterestNetwork().eval(), (users, items[:, 0], items[:, 1:].contiguous(), lengths)
