"""A latent diffusion U-Net (Rombach et al. 2022): one denoising step, conditioned on a text.

Stable Diffusion's blocks at less width and depth: ResNet blocks with GroupNorm and the embedded
time, self and cross attention at the higher two resolutions and in the middle, skip connections,
upsampling by interpolation. One sample of 32 x 32 latents.
"""

from __future__ import annotations

import torch
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn


class Denoiser(nn.Module):
    """Noisy latents, time steps and embedded texts to the noise in the latents."""

    def __init__(self) -> None:
        super().__init__()
        self.model = UNet2DConditionModel(
            sample_size=32,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
            block_out_channels=(64, 128, 192),
            layers_per_block=2,
            cross_attention_dim=512,
            attention_head_dim=(2, 4, 6),  # in truth the number of heads, of 32 features each
        )

    def forward(self, latents: Tensor, steps: Tensor, texts: Tensor) -> Tensor:
        return self.model(latents, steps, texts, return_dict=False)[0]


def application() -> tuple[nn.Module, tuple[Tensor, ...]]:
    torch.manual_seed(0)
    latents, steps, texts = torch.randn(1, 4, 32, 32), torch.tensor([481]), torch.randn(1, 77, 512)
    return Denoiser().eval(), (latents, steps, texts)
