"""Check the filled image, region by region, for what still stands out as a mark would."""

import numpy as np

from radrefine.artifacts.regions import find_regions
from radrefine.artifacts.response import measure_response
from radrefine.artifacts.scorer import load_scorer
from radrefine.records import Image, Mask


def residual_score(image: Image, field: Mask) -> float:
    """Score how much a refined image still looks as if it held a mark.

    Args:
        image: The refined image.
        field: (H, W) bool, the scanned field.

    Returns:
        0 (no region looks like a mark) to 1: the score of the region that looks most like one.
    """
    regions = find_regions(measure_response(image), field)
    scores = load_scorer()(regions)
    return float(np.max(1 - scores[:, 0], initial=0.0))
