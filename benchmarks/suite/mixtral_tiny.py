"""A small Mixtral (Jiang et al. 2024): four texts of 32 tokens, each token to 2 of 8 experts.

The layers and the router are the real ones. An expert takes at most a fixed number of tokens, those
that want it most, as in GShard (Lepikhin et al. 2020): which tokens is settled by their contents,
the shapes are not, and so the model can be compiled and exported.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import MixtralConfig, MixtralForCausalLM

TOKENS = 4 * 32
FEATURES = 512
INNER_FEATURES = 1024
EXPERTS = 8
CHOSEN = 2
#: an equal share and a quarter more
CAPACITY = TOKENS * CHOSEN * 5 // (EXPERTS * 4)


class Expert(nn.Module):
    """A gated perceptron."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(FEATURES, INNER_FEATURES, bias=False)
        self.up = nn.Linear(FEATURES, INNER_FEATURES, bias=False)
        self.down = nn.Linear(INNER_FEATURES, FEATURES, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.down(functional.silu(self.gate(x)) * self.up(x))


class Experts(nn.Module):
    """Each expert on the tokens that chose it, weighted by how much they want it."""

    def __init__(self) -> None:
        super().__init__()
        self.experts = nn.ModuleList(Expert() for _ in range(EXPERTS))

    def forward(self, x: Tensor, chosen: Tensor, weights: Tensor) -> Tensor:
        mixed = torch.zeros_like(x)
        for index, expert in enumerate(self.experts):
            wanted = (weights * (chosen == index)).sum(dim=1)
            # places that nobody wants are filled with tokens of weight 0
            wanted, tokens = wanted.topk(CAPACITY)
            part = expert(x[tokens]) * wanted[:, None]
            mixed = mixed.index_add(0, tokens, part.to(x.dtype))
        return mixed


class Mixtral(nn.Module):
    """Tokens to the scores of the next one at each place."""

    def __init__(self) -> None:
        super().__init__()
        config = MixtralConfig(
            vocab_size=8000,
            hidden_size=FEATURES,
            intermediate_size=INNER_FEATURES,
            num_hidden_layers=4,
            num_attention_heads=8,
            num_key_value_heads=2,
            num_local_experts=EXPERTS,
            num_experts_per_tok=CHOSEN,
            attn_implementation="sdpa",
        )
        self.model = MixtralForCausalLM(config)
        for layer in self.model.model.layers:
            layer.mlp.experts = Experts()

    def forward(self, tokens: Tensor) -> Tensor:
        return self.model(tokens, use_cache=False).logits


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    return Mixtral().eval(), (torch.randint(0, 8000, (4, 32)),)
