"""Check a refined image for ink that is left: not found, found and left in place, or filled in part."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from radrefine.areas import grown
from radrefine.artifacts.classical.response import measure_thin
from radrefine.records import Image, Mask

# So many px around a mark are its soft rim. Of those that lie nearest to what was replaced the ones count that still
# stand out by so many grey levels: the stroke was filled in part.
_RIM: Final = 3
_NEAR: Final = 2
_LEFT_RISE: Final = 50
# Pixels of ink left that give a score of 0.5.
_USUAL_COUNT: Final = 10.0


def residual_score(image: Image, mask: Mask, likely: NDArray[np.float32] | None, spared: Mask) -> float:
    """Score how much ink a refined image still holds.

    Args:
        image: The refined image.
        mask: (H, W) bool, the pixels that were replaced.
        likely: (H, W), how likely each pixel belonged to a mark, 0 to 1; None where nobody asked.
        spared: (H, W) bool, marks that are meant to stay.

    Returns:
        0 to 1: 0.5 where ten pixels of ink are to be expected outside of what was replaced and of what is spared.
    """
    if likely is None or not likely.any():
        return 0.0
    doubtful = (likely > 0) & ~grown(spared, _RIM)
    expected = float(likely.sum(where=doubtful & ~grown(mask, _RIM)))
    beside = doubtful & ~mask & grown(mask, _NEAR)
    if beside.any():
        expected += float(likely.sum(where=beside & (measure_thin(image) >= _LEFT_RISE)))
    return expected / (expected + _USUAL_COUNT)
