"""The colour that coding spread from coloured marks: on a grey picture it would show where they were."""

from typing import Final

import cv2
import numpy as np

from radrefine.artifacts.response import channel_range
from radrefine.records import Image, Mask

# Channels differ this much where there is any colour, by this much where one sees it, by that much in ink and flow.
_TINGE: Final = 5
_SEEN: Final = 16
_VIVID: Final = 60
# Within so many px of a mark what is vivid may be its own, not flow.
_OWN: Final = np.ones((9, 9), np.uint8)
# Colours are coded at half the resolution in blocks, 16 px of the picture wide: no colour gets further.
_REACH: Final = np.ones((33, 33), np.uint8)
# Beyond it, at most this share of the pixels that are no darker than this may have a colour.
_COLOURED: Final = 0.02
_DARK: Final = 32


def is_grey_but_for(image: Image, mask: Mask) -> bool:
    """Tell whether marks have a colour and the rest of the picture has none: no tint, no flow, no other marks.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        mask: (H, W) bool, the marks.
    """
    if image.ndim == 2 or not mask.any():
        return False
    brightest, weakest = channel_range(image)
    colour = np.asarray(cv2.subtract(brightest, weakest), np.uint8)
    if not (colour[mask] >= _TINGE).any():
        return False
    lit = (cv2.dilate(mask.view(np.uint8), _REACH) == 0) & (brightest >= _DARK)
    if np.count_nonzero(lit & (colour >= _TINGE)) > _COLOURED * np.count_nonzero(lit):
        return False
    return not (colour[cv2.dilate(mask.view(np.uint8), _OWN) == 0] >= _VIVID).any()


def spread_colour(image: Image, mask: Mask, kept: Mask) -> Mask:
    """Find what coding tinted around the marks of a picture that is grey but for them.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        mask: (H, W) bool, marks to fill.
        kept: (H, W) bool, marks to leave as they are.

    Returns:
        (H, W) bool, pixels outside `mask` and away from `kept` with a colour that one sees.
    """
    if not is_grey_but_for(image, mask):
        return np.zeros_like(mask)
    seen = np.asarray(cv2.subtract(*channel_range(image)) >= _SEEN)
    around, around_kept = (cv2.dilate(marks.view(np.uint8), _REACH) > 0 for marks in (mask, kept))
    return np.asarray(seen & around & ~around_kept & ~mask)
