"""Small architectures of kinds that the model libraries here do not have, for `coverage.py`.

Each maker gives the model and the inputs of one inference.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import torch
from torch import nn

F = nn.functional
Made = tuple[Callable[..., Any], dict[str, Any]]


class Diffusion(nn.Module):
    """A denoising U-Net: the time as sines, residual blocks, attention at the bottom."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.width = width
        self.time = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, 2 * width))
        self.begin = nn.Conv2d(3, width, 3, padding=1)
        self.down = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.norm, self.block = nn.GroupNorm(8, 2 * width), nn.Conv2d(2 * width, 2 * width, 3, 1, 1)
        self.mix = nn.Conv2d(2 * width, 6 * width, 1)
        self.last = nn.Conv2d(3 * width, 3, 3, padding=1)

    def forward(self, x: torch.Tensor, step: torch.Tensor) -> torch.Tensor:
        rates = torch.exp(-torch.arange(self.width // 2) / 4)
        angles = step[:, None] * rates
        time = self.time(torch.cat([angles.sin(), angles.cos()], 1))
        fine = self.begin(x)
        coarse = self.down(fine) + time[:, :, None, None]
        coarse = coarse + self.block(F.silu(self.norm(coarse)))
        query, key, value = self.mix(coarse).flatten(2).transpose(1, 2).chunk(3, -1)
        mixed = F.scaled_dot_product_attention(query[:, None], key[:, None], value[:, None])
        coarse = coarse + mixed[:, 0].transpose(1, 2).reshape(coarse.shape)
        return self.last(torch.cat([fine, F.interpolate(coarse, scale_factor=2.0)], 1))


class GraphAttention(nn.Module):
    """A graph network: messages along edges, weighed by a softmax over each node's neighbours."""

    def __init__(self, inputs: int = 16, width: int = 32) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(inputs, width), nn.Linear(width, width)
        self.weigh = nn.Linear(2 * width, 1)

    def forward(self, nodes: torch.Tensor, edges: torch.Tensor) -> torch.Tensor:
        source, target = edges
        x = self.first(nodes)
        scores = F.leaky_relu(self.weigh(torch.cat([x[source], x[target]], 1)), 0.2).exp()
        sums = torch.zeros(len(nodes), 1).index_add(0, target, scores)
        messages = x[source] * (scores / sums[target])
        gathered = torch.zeros_like(x).scatter_add(0, target[:, None].expand_as(messages), messages)
        return self.second(F.relu(gathered))


class Transducer(nn.Module):
    """Speech by an RNN-T: an encoder of sound, a predictor of words, and all pairs of them."""

    def __init__(self, words: int = 40, width: int = 32) -> None:
        super().__init__()
        self.encoder = nn.LSTM(20, width, 2, batch_first=True)
        self.words, self.predictor = nn.Embedding(words, width), nn.GRU(width, width)
        self.join = nn.Linear(width, words)

    def forward(self, sound: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        heard, _ = self.encoder(sound)
        predicted, _ = self.predictor(self.words(words).transpose(0, 1))
        pairs = torch.tanh(heard[:, :, None] + predicted.transpose(0, 1)[:, None])
        return self.join(pairs).log_softmax(-1)


class Detector(nn.Module):
    """A one-stage detector: a pyramid of features, boxes and scores, and the best of them."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        sides = (3, width, width, width)
        pairs = pairwise(sides)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, 2, 1) for a, b in pairs)
        self.across = nn.ModuleList(nn.Conv2d(width, width, 1) for _ in range(3))
        self.boxes, self.scores = nn.Conv2d(width, 4, 3, 1, 1), nn.Conv2d(width, 5, 3, 1, 1)

    def forward(self, x: torch.Tensor) -> Any:
        features = []
        for layer in self.down:
            x = F.relu(layer(x))
            features.append(x)
        above = None
        boxes, scores = [], []
        for feature, across in zip(features[::-1], list(self.across)[::-1], strict=True):
            level = across(feature)
            if above is not None:
                level = level + F.interpolate(above, size=level.shape[-2:], mode="nearest")
            above = level
            boxes.append(self.boxes(level).flatten(2))
            scores.append(self.scores(level).flatten(2))
        box, score = torch.cat(boxes, 2), torch.cat(scores, 2).sigmoid()
        best, which = score.amax(1).topk(20, -1)
        chosen = box.gather(2, which[:, None].expand(-1, 4, -1)).transpose(1, 2)
        corner = torch.maximum(chosen[:, :, None, :2], chosen[:, None, :, :2])
        other = torch.minimum(chosen[:, :, None, 2:], chosen[:, None, :, 2:])
        return (other - corner).clamp(min=0).prod(-1), best


class Experts(nn.Module):
    """A mixture of experts that sorts tokens by their expert."""

    def __init__(self, width: int = 32, experts: int = 4) -> None:
        super().__init__()
        self.router = nn.Linear(width, experts)
        self.up = nn.Parameter(torch.rand(experts, width, 2 * width))
        self.down = nn.Parameter(torch.rand(experts, 2 * width, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate, expert = self.router(x).softmax(-1).max(-1)
        order = torch.argsort(expert)
        rows = torch.bincount(expert, minlength=len(self.up)).tolist()
        parts = x[order].split(rows)
        done = [F.gelu(p @ u) @ d for p, u, d in zip(parts, self.up, self.down, strict=True)]
        return torch.empty_like(x).index_copy(0, order, torch.cat(done)) * gate[:, None]


class FourierOperator(nn.Module):
    """A layer that weighs the lowest frequencies of a field."""

    def __init__(self, width: int = 16, modes: int = 6) -> None:
        super().__init__()
        self.modes = modes
        self.lift, self.skip = nn.Conv2d(1, width, 1), nn.Conv2d(width, width, 1)
        self.weights = nn.Parameter(torch.rand(width, width, modes, modes, dtype=torch.cfloat))

    def forward(self, field: torch.Tensor) -> torch.Tensor:
        x = self.lift(field)
        spectrum = torch.fft.rfft2(x)
        low = spectrum[..., : self.modes, : self.modes]
        kept = torch.einsum("bixy,ioxy->boxy", low, self.weights)
        whole = F.pad(kept, (0, spectrum.shape[-1] - self.modes, 0, x.shape[-2] - self.modes))
        return F.gelu(torch.fft.irfft2(whole, s=x.shape[-2:]) + self.skip(x))


class GaussianProcess(nn.Module):
    """Regression with a kernel: a Cholesky factor, and two systems that it solves."""

    def __init__(self, inputs: int = 8) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(inputs))

    def forward(self, x: torch.Tensor, y: torch.Tensor, at: torch.Tensor) -> torch.Tensor:
        kernel = torch.exp(-(torch.cdist(x * self.scale, x * self.scale) ** 2))
        factor = torch.linalg.cholesky(kernel + torch.eye(len(x)))
        across = torch.exp(-(torch.cdist(at * self.scale, x * self.scale) ** 2))
        mean = across @ torch.cholesky_solve(y, factor)
        spread = torch.linalg.solve_triangular(factor, across.mT, upper=False)
        return mean[:, 0] - spread.square().sum(0) - factor.diagonal().log().sum()


class InvertibleFlow(nn.Module):
    """Glow: a convolution of one place whose matrix has an inverse, and its determinant."""

    def __init__(self, channels: int = 12) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.linalg.qr(torch.rand(channels, channels))[0])
        self.net = nn.Conv2d(channels // 2, channels, 3, padding=1)

    def forward(self, x: torch.Tensor) -> Any:
        x = F.conv2d(F.pixel_unshuffle(x, 2), self.matrix[:, :, None, None])
        first, second = x.chunk(2, 1)
        shift, scale = self.net(first).chunk(2, 1)
        second = (second + shift) * torch.sigmoid(scale + 2)
        determinant = torch.slogdet(self.matrix)[1] + scale.sigmoid().log().sum()
        return torch.cat([first, second], 1), determinant


class Codebook(nn.Module):
    """A quantising autoencoder (VQ-VAE): each place takes the nearest of a book of vectors."""

    def __init__(self, width: int = 16, codes: int = 32) -> None:
        super().__init__()
        self.encode, self.decode = nn.Conv2d(3, width, 4, 4), nn.ConvTranspose2d(width, 3, 4, 4)
        self.book = nn.Embedding(codes, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.encode(x).movedim(1, -1)
        nearest = torch.cdist(z.flatten(0, 2), self.book.weight).argmin(-1)
        chosen = self.book(nearest).view_as(z)
        return self.decode((z + (chosen - z).detach()).movedim(-1, 1)) + F.mse_loss(chosen, z)


class PointCloud(nn.Module):
    """Points, each with its nearest neighbours, and the largest features among these."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.each, self.head = nn.Sequential(nn.Linear(6, width), nn.ReLU()), nn.Linear(width, 10)

    def forward(self, points: torch.Tensor) -> torch.Tensor:
        near = torch.cdist(points, points).topk(8, largest=False).indices
        around = torch.stack([cloud[rows] for cloud, rows in zip(points, near, strict=True)])
        here = points[:, :, None].expand_as(around)
        return self.head(self.each(torch.cat([here, around - here], -1)).amax(2).amax(1))


class Radiance(nn.Module):
    """A field of light (NeRF): places as sines, a perceptron, and light summed along rays."""

    def __init__(self, width: int = 64) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(60, width), nn.ReLU(), nn.Linear(width, 4))

    def forward(self, places: torch.Tensor) -> torch.Tensor:
        angles = (places[..., None] * 2.0 ** torch.arange(10)).flatten(-2)
        color, density = self.net(torch.cat([angles.sin(), angles.cos()], -1)).split([3, 1], -1)
        alpha = 1 - torch.exp(-F.relu(density))
        light = torch.cumprod(1 - alpha + 1e-6, 1)
        return (color.sigmoid() * alpha * light).sum(1)


class SpatialTransformer(nn.Module):
    """Looks at a picture through a grid that it chooses itself."""

    def __init__(self) -> None:
        super().__init__()
        self.look = nn.Sequential(nn.Conv2d(3, 8, 7, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(2))
        self.grid, self.head = nn.Linear(32, 6), nn.Conv2d(3, 4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        theta = self.grid(self.look(x).flatten(1)).view(-1, 2, 3)
        grid = F.affine_grid(theta, list(x.shape), align_corners=False)
        return self.head(F.grid_sample(x, grid, align_corners=False))


class WaveNet(nn.Module):
    """Sound by dilated causal convolutions with gates."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.begin = nn.Conv1d(1, width, 1)
        self.layers = nn.ModuleList(nn.Conv1d(width, 2 * width, 2, dilation=2**i) for i in range(6))
        self.last = nn.Conv1d(width, 32, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.begin(x)
        for layer in self.layers:
            value, gate = layer(F.pad(x, (layer.dilation[0], 0))).chunk(2, 1)
            x = x + value.tanh() * gate.sigmoid()
        return self.last(x)


def _numbers(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


def _of(model: type[nn.Module], **inputs: torch.Tensor) -> Callable[[], Made]:
    return lambda: (model().eval(), inputs)


_TOKENS = torch.arange(2 * 9).reshape(2, 9)
_EDGES = torch.stack([torch.arange(300) % 50, (torch.arange(300) * 7) % 50])

MAKERS: dict[str, Callable[[], Made]] = {
    "diffusion": _of(Diffusion, x=_numbers(2, 3, 16, 16), step=torch.tensor([1.0, 7.0])),
    "graph_attention": _of(GraphAttention, nodes=_numbers(50, 16), edges=_EDGES),
    "transducer": _of(Transducer, sound=_numbers(2, 30, 20), words=_TOKENS),
    "detector": _of(Detector, x=_numbers(2, 3, 64, 64)),
    "experts": _of(Experts, x=_numbers(64, 32)),
    "fourier_operator": _of(FourierOperator, field=_numbers(2, 1, 32, 32)),
    "gaussian_process": _of(
        GaussianProcess, x=_numbers(40, 8), y=_numbers(40, 1), at=_numbers(9, 8)
    ),
    "invertible_flow": _of(InvertibleFlow, x=_numbers(2, 3, 16, 16)),
    "codebook": _of(Codebook, x=_numbers(2, 3, 32, 32)),
    "point_cloud": _of(PointCloud, points=_numbers(2, 64, 3)),
    "radiance": _of(Radiance, places=_numbers(16, 12, 3)),
    "spatial_transformer": _of(SpatialTransformer, x=_numbers(2, 3, 32, 32)),
    "wavenet": _of(WaveNet, x=_numbers(2, 1, 200)),
}
