"""VGG16 (Simonyan and Zisserman, 2014), configuration D, random weights, batch 1."""

import argparse

import torch
from torch import Tensor, nn

#: filters per 3 x 3 convolution; "pool" halves the size
CONFIGURATION = (
    *(64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool"),
    *(512, 512, 512, "pool", 512, 512, 512, "pool"),
)


class VGG16(nn.Module):
    """Input (batch, 3, 224, 224), output (batch, 1000)."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for item in CONFIGURATION:
            if isinstance(item, str):
                layers.append(nn.MaxPool2d(2, stride=2))
                continue
            layers += [nn.Conv2d(channels, item, kernel_size=3, padding=1), nn.ReLU(inplace=True)]
            channels = item
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(4096, 1000),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Class scores of the images."""
        scores: Tensor = self.classifier(torch.flatten(self.features(images), 1))
        return scores


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model and its inputs."""
    torch.manual_seed(0)
    return VGG16().eval(), (torch.rand(1, 3, 224, 224),)


def main() -> None:
    """Run as many inferences as asked for and say what came out."""
    parser = argparse.ArgumentParser(description="VGG16 on one random image")
    parser.add_argument("--inferences", type=int, default=1)
    inferences = parser.parse_args().inferences
    model, inputs = application()
    with torch.no_grad():
        for _ in range(inferences):
            scores = model(*inputs)
            print(f"VGG16: class {int(scores.argmax())} of {scores.shape[1]}")


if __name__ == "__main__":
    main()
