"""Check the filled image, pixel by pixel, for what still stands out."""

from typing import Final

import numpy as np

from radrefine.artifacts.response import measure_response
from radrefine.records import Image, Mask

# Share of the field that stands out in an image worth a look; the score is 0.5 there.
_USUAL_SHARE: Final = 0.01


def residual_score(image: Image, field: Mask) -> float:
    """Score how much of a refined image still looks like burned-in strokes.

    Args:
        image: The refined image.
        field: (H, W) bool, the scanned field.

    Returns:
        0 (nothing stands out) to 1; 0.5 where 1 % of the field does.
    """
    response = measure_response(image)
    # Strokes burned in are nearly as bright as the brightest pixels; tissue rarely is.
    bright = response.grey >= 0.8 * float(np.percentile(response.grey, 99.9))
    share = float((response.candidates & bright & field).sum()) / max(1, int(field.sum()))
    return share / (share + _USUAL_SHARE)
