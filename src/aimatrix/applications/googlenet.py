"""GoogLeNet (Szegedy et al., 2014) without its auxiliary heads, random weights, batch 1.

Inception modules as in the paper's table 1: true 5 x 5 convolutions in the third branch.
"""

import argparse

import torch
from torch import Tensor, nn

#: per module: input channels; 1x1; 3x3 reduce, 3x3; 5x5 reduce, 5x5; pool projection
MODULES = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def convolution(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1
) -> nn.Sequential:
    """A size-keeping convolution (but for its stride) and its ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, kernel_size, stride, padding=kernel_size // 2),
        nn.ReLU(inplace=True),
    )


def pool() -> nn.MaxPool2d:
    """The network's halving pool."""
    return nn.MaxPool2d(3, stride=2, ceil_mode=True)


class Inception(nn.Module):
    """Four branches side by side, joined along the channels."""

    def __init__(
        self, channels: int, one: int, reduce3: int, three: int, reduce5: int, five: int, proj: int
    ) -> None:
        super().__init__()
        self.branch1 = convolution(channels, one, 1)
        self.branch3 = nn.Sequential(
            convolution(channels, reduce3, 1), convolution(reduce3, three, 3)
        )
        self.branch5 = nn.Sequential(
            convolution(channels, reduce5, 1), convolution(reduce5, five, 5)
        )
        self.branch_pool = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), convolution(channels, proj, 1)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Input (batch, channels, height, width), the same size out."""
        branches = (self.branch1, self.branch3, self.branch5, self.branch_pool)
        return torch.cat([branch(x) for branch in branches], dim=1)


class GoogLeNet(nn.Module):
    """Input (batch, 3, 224, 224), output (batch, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        modules = {name: Inception(*widths) for name, widths in MODULES.items()}
        self.features = nn.Sequential(
            convolution(3, 64, 7, stride=2),
            pool(),
            nn.LocalResponseNorm(5),
            convolution(64, 64, 1),
            convolution(64, 192, 3),
            nn.LocalResponseNorm(5),
            pool(),
            *(modules[name] for name in ("3a", "3b")),
            pool(),
            *(modules[name] for name in ("4a", "4b", "4c", "4d", "4e")),
            pool(),
            *(modules[name] for name in ("5a", "5b")),
            nn.AdaptiveAvgPool2d(1),
        )
        self.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(0.4), nn.Linear(1024, 1000))

    def forward(self, images: Tensor) -> Tensor:
        """Class scores of the images."""
        scores: Tensor = self.classifier(self.features(images))
        return scores


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model and its inputs."""
    torch.manual_seed(0)
    return GoogLeNet().eval(), (torch.rand(1, 3, 224, 224),)


def main() -> None:
    """Run as many inferences as asked for and say what came out."""
    parser = argparse.ArgumentParser(description="GoogLeNet on one random image")
    parser.add_argument("--inferences", type=int, default=1)
    inferences = parser.parse_args().inferences
    model, inputs = application()
    with torch.no_grad():
        for _ in range(inferences):
            scores = model(*inputs)
            print(f"GoogLeNet: class {int(scores.argmax())} of {scores.shape[1]}")


if __name__ == "__main__":
    main()
