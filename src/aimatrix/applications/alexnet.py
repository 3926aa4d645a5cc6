"""AlexNet (Krizhevsky et al., 2012) with its two-group convolutions, random weights, batch 1.

The first layer is unpadded on a 224 x 224 input, so that its output is 54 x 54.
"""

import argparse

import torch
from torch import Tensor, nn


class AlexNet(nn.Module):
    """Input (batch, 3, 224, 224), output (batch, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 96, kernel_size=11, stride=4),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),
            nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=2),
            nn.ReLU(inplace=True),
            nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75),
            nn.MaxPool2d(3, stride=2),
            nn.Conv2d(256, 384, kernel_size=3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, stride=2),
        )
        self.classifier = nn.Sequential(
            nn.Dropout(),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, 1000),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Class scores of the images."""
        scores: Tensor = self.classifier(torch.flatten(self.features(images), 1))
        return scores


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model and its inputs."""
    torch.manual_seed(0)
    return AlexNet().eval(), (torch.rand(1, 3, 224, 224),)


def main() -> None:
    """Run as many inferences as asked for and say what came out."""
    parser = argparse.ArgumentParser(description="AlexNet on one random image")
    parser.add_argument("--inferences", type=int, default=1)
    inferences = parser.parse_args().inferences
    model, inputs = application()
    with torch.no_grad():
        for _ in range(inferences):
            scores = model(*inputs)
            print(f"AlexNet: class {int(scores.argmax())} of {scores.shape[1]}")


if __name__ == "__main__":
    main()
