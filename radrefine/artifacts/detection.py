"""What a detector found in one image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from radrefine.records import Finding, Mask


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one image.

    Attributes:
        findings: The marks.
        masks: One (H, W) bool mask per kind of mark that was found.
        shape: Height and width of the image, px.
        likely: (H, W) float32, how likely each pixel belongs to a mark, found or not; 0 where that is out of the
            question. None where nobody asked.
    """

    findings: list[Finding]
    masks: dict[str, Mask]
    shape: tuple[int, ...]
    likely: NDArray[np.float32] | None = None
