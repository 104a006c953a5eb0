"""The mark detector's network: a small U-Net that works on 2 x 2 blocks of pixels, so that thin strokes stay cheap."""

import copy
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from radrefine.marks import DRAWN_KINDS

BLOCK: Final = 2
"""Pixels along one side of the blocks that the first layer sees as channels."""

KIND_STEP: Final = 4
"""Pixels between two verdicts on the kind of mark."""


class MarkNetwork(nn.Module):
    """Tell, for every pixel, whether it belongs to a mark, and for every 4 x 4 pixels of which kind.

    Two convolutions at each of four scales on the way down, one on the way up, additions instead of concatenations.
    Two more at the coarsest scale look far around, so that bars and frames are seen as wholes: 192,000 parameters.

    Args:
        widths: Channels at a half, a quarter, an eighth and a sixteenth of the resolution.
    """

    def __init__(self, widths: tuple[int, int, int, int] = (12, 24, 40, 64)) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = widths
        self.stem = _layer(3 * BLOCK**2, half)
        self.down2 = nn.Sequential(_layer(half, quarter, stride=2), _layer(quarter, quarter))
        self.down3 = nn.Sequential(_layer(quarter, eighth, stride=2), _layer(eighth, eighth))
        self.down4 = nn.Sequential(_layer(eighth, sixteenth, stride=2), _layer(sixteenth, sixteenth))
        self.near = _layer(sixteenth, sixteenth, dilation=2)
        self.far = _layer(sixteenth, sixteenth, dilation=4)
        self.side4 = nn.Conv2d(sixteenth, eighth, 1)
        self.side3 = nn.Conv2d(eighth, quarter, 1)
        self.side2 = nn.Conv2d(quarter, half, 1)
        self.up = nn.Upsample(scale_factor=2)
        self.up3 = _layer(eighth, eighth)
        self.up2 = _layer(quarter, quarter)
        self.up1 = _layer(half, half)
        self.mark = nn.Conv2d(half, BLOCK**2, 3, padding=1)
        self.kind = nn.Conv2d(quarter, len(DRAWN_KINDS), 1)

    def forward(self, blocks: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits.

        Args:
            blocks: (B, 12, H / 2, W / 2) float, 0 to 1, made by `to_blocks`; H and W multiples of 16.

        Returns:
            (B, 4, H / 2, W / 2) logits of "mark" for the pixels of each block, and (B, 9, H / 4, W / 4) logits of the
            kinds in `DRAWN_KINDS`.
        """
        first = self.stem(blocks)
        second = self.down2(first)
        third = self.down3(second)
        deep = self.down4(third)
        deep = deep + self.near(deep)
        deep = deep + self.far(deep)
        third = self.up3(self.up(self.side4(deep)) + third)
        second = self.up2(self.up(self.side3(third)) + second)
        first = self.up1(self.up(self.side2(second)) + first)
        return self.mark(first), self.kind(second)


def to_blocks(images: Tensor) -> Tensor:
    """Return (B, 3, H, W) images as (B, 12, H / 2, W / 2): the pixels of each 2 x 2 block become channels."""
    return functional.pixel_unshuffle(images, BLOCK)


def to_pixels(logits: Tensor) -> Tensor:
    """Return (B, 4, H / 2, W / 2) logits of blocks as (B, H, W) logits of pixels."""
    return functional.pixel_shuffle(logits, BLOCK)[:, 0]


def fold_norms(network: nn.Module) -> nn.Module:
    """Return a copy of a network, on the CPU, that computes the same with batch normalisation in its convolutions."""
    folded = copy.deepcopy(network).cpu().eval().to(memory_format=torch.contiguous_format)
    for layer in folded.modules():
        if not isinstance(layer, nn.Sequential) or len(layer) < 2:
            continue
        convolution, norm = layer[0], layer[1]
        if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
            layer[0] = fuse_conv_bn_eval(convolution, norm)
            del layer[1]
    return folded


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained numbers."""
    return sum(parameter.numel() for parameter in network.parameters())


def _layer(inputs: int, outputs: int, *, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, stride, dilation, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


__all__ = ["BLOCK", "KIND_STEP", "MarkNetwork", "count_parameters", "fold_norms", "to_blocks", "to_pixels"]
