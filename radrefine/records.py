"""Records that pass between the rooms of radrefine."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
"""An image, (H, W) or (H, W, 3) in RGB order, uint8 0-255."""

Mask = NDArray[np.bool_]
"""A mask, (H, W) bool, True = artifact."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One mark found in an image.

    Attributes:
        kind: One of `radrefine.schema.KINDS`.
        x: Left column of the bounding box, px.
        y: Top row of the bounding box, px.
        width: Width of the bounding box, px.
        height: Height of the bounding box, px.
        score: Confidence of the detector, 0 to 1.
        detector: Name of the detector that found it.
        removed: Whether its pixels were replaced.
    """

    kind: str
    x: int
    y: int
    width: int
    height: int
    score: float
    detector: str
    removed: bool = True


@dataclass(frozen=True, slots=True)
class RefineResult:
    """What became of one image.

    Attributes:
        image: The refined image, same shape and dtype as the input; equal to it outside `mask`.
        mask: (H, W) bool, True = replaced pixel.
        findings: The marks found, removed or not.
        residual_score: 0 to 1; how much ink is likely left, 0.5 standing for ten pixels.
    """

    image: Image
    mask: Mask
    findings: list[Finding] = field(default_factory=list)
    residual_score: float = 0.0
