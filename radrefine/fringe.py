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


def spread_colour(image: Image, mask: Mask, kept: Mask) -> Mask | None:
    """Find what coding tinted around the marks of a picture that is grey otherwise.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        mask: (H, W) bool, marks to fill.
        kept: (H, W) bool, marks to leave as they are.

    Returns:
        (H, W) bool, pixels outside `mask` and away from `kept` with a colour that one sees; None where the marks have
        no colour, or the picture has some far from all marks: a tint, flow, marks that were not found.
    """
    if image.ndim == 2 or not mask.any():
        return None
    brightest, weakest = channel_range(image)
    colour = np.asarray(cv2.subtract(brightest, weakest), np.uint8)
    if not (colour[mask] >= _TINGE).any():
        return None
    around, around_kept = (cv2.dilate(marks.view(np.uint8), _REACH) > 0 for marks in (mask, kept))
    lit = ~around & ~around_kept & (brightest >= _DARK)
    if np.count_nonzero(lit & (colour >= _TINGE)) > _COLOURED * np.count_nonzero(lit):
        return None
    if (colour[cv2.dilate((mask | kept).view(np.uint8), _OWN) == 0] >= _VIVID).any():
        return None
    return np.asarray(around & ~around_kept & ~mask & (colour >= _SEEN))


def in_grey(image: Image, place: Mask) -> Image:
    """Return a picture with some of its pixels in grey, as bright as they were.

    Args:
        image: (H, W, 3) RGB, uint8.
        place: (H, W) bool, which pixels.
    """
    grey = np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
    return np.where(place[..., None], grey[..., None], image)
