"""A graph convolutional network (Kipf and Welling 2017): 5,000 papers and 50,000 citations.

Three layers; each gathers a message for every edge and adds it up at the edge's end.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

NODES = 5000
EDGES = 50000
INPUTS = 500
FEATURES = 128
CLASSES = 40


class GraphConvolution(nn.Module):
    """A node's new features: the weighted sum of its neighbours' and its own, projected."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.project = nn.Linear(inputs, outputs, bias=False)
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor, sources: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
        x = self.project(x)
        messages = x.index_select(0, sources) * weights[:, None]
        return torch.zeros_like(x).index_add(0, targets, messages) + self.bias


class GraphNetwork(nn.Module):
    """Nodes' features and the edges (2 x edge) to class scores of each node."""

    def __init__(self) -> None:
        super().__init__()
        widths = (INPUTS, FEATURES, FEATURES, CLASSES)
        self.layers = nn.ModuleList(map(GraphConvolution, widths, widths[1:]))

    def forward(self, x: Tensor, edges: Tensor) -> Tensor:
        sources, targets = edges[0], edges[1]
        degrees = x.new_zeros(NODES).index_add(0, targets, x.new_ones(edges.shape[1]))
        norms = degrees.rsqrt()  # no node is without its own edge
        weights = norms.index_select(0, sources) * norms.index_select(0, targets)
        for index, layer in enumerate(self.layers):
            x = layer(x if index == 0 else x.relu(), sources, targets, weights)
        return x


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    # squared: few papers are cited by many
    cited = (NODES * torch.rand(EDGES).square()).long()
    own = torch.arange(NODES)
    edges = torch.stack(
        (torch.cat((torch.randint(0, NODES, (EDGES,)), own)), torch.cat((cited, own)))
    )
    # a bag of words: most features are zero
    x = (torch.rand(NODES, INPUTS) < 0.1).float()
    return GraphNetwork().eval(), (x, edges)
