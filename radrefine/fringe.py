"""The colour that coding spread from coloured marks: on a grey picture it would show where they were."""

from typing import Final

import cv2
import numpy as np

from radrefine.areas import grown
from radrefine.artifacts.colours import channel_range
from radrefine.records import Image, Mask

# Channels differ this much where there is any colour, by this much where one sees it, by that much in ink and flow.
_TINGE: Final = 5
_SEEN: Final = 16
_VIVID: Final = 60
# Within so many px of a mark what is vivid may be its own, not flow.
_OWN: Final = 4
# Colours are coded at half the resolution in blocks, 16 px of the picture wide: no colour gets further.
_REACH: Final = 16
# Beyond it, at most this share of the pixels that are no darker than this may have a colour.
_COLOURED: Final = 0.02
_DARK: Final = 32
# In a picture with flow this share of the pixels must be far from it and from marks, and lit, to be judged by.
_JUDGED: Final = 0.2
# Cosine of the angle between hues that are alike.
_ALIKE: Final = 0.85


def grey_but_for(image: Image, mask: Mask) -> Mask:
    """Tell where a picture has no colour but that of marks: nowhere where it has a tint, nor near flow or other marks.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        mask: (H, W) bool, the marks.

    Returns:
        (H, W) bool; False everywhere where the marks have no colour either.
    """
    nowhere = np.zeros_like(mask)
    if image.ndim == 2 or not mask.any():
        return nowhere
    brightest, weakest = channel_range(image)
    colour = np.asarray(cv2.subtract(brightest, weakest), np.uint8)
    if not (colour[mask] >= _TINGE).any():
        return nowhere
    vivid = (colour >= _VIVID) & ~grown(mask, _OWN)
    grey = ~grown(vivid, _REACH)
    lit = grey & ~grown(mask, _REACH) & (brightest >= _DARK)
    judged = np.count_nonzero(lit)
    coloured = np.count_nonzero(lit & (colour >= _TINGE)) > _COLOURED * judged
    unsure = vivid.any() and judged < _JUDGED * mask.size
    return nowhere if coloured or unsure else grey


def spread_colour(image: Image, mask: Mask, kept: Mask) -> Mask:
    """Find what coding tinted around the marks of a picture that is grey but for them.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        mask: (H, W) bool, marks to fill.
        kept: (H, W) bool, marks to leave as they are.

    Returns:
        (H, W) bool, pixels outside `mask` and away from `kept` with a colour that one sees, that of the marks nearby.
    """
    grey = grey_but_for(image, mask)
    if not grey.any():
        return grey
    seen = np.asarray(cv2.subtract(*channel_range(image)) >= _SEEN)
    fringe = np.asarray(seen & grown(mask, _REACH) & ~grown(kept, _REACH) & ~mask & grey)
    # A picture with flow may have fainter flow elsewhere.
    return fringe if grey.all() else fringe & _hued_like_marks(image, mask)


def _hued_like_marks(image: Image, mask: Mask) -> Mask:
    """Tell which pixels have the hue of the marks within reach, or the opposite one, that of ringing; (H, W) bool."""
    red, green, blue = cv2.split(image.astype(np.float32))
    colours = np.stack([red - green, blue - green], axis=2)
    inks = cv2.boxFilter(colours * mask[..., None], -1, (2 * _REACH + 1, 2 * _REACH + 1))
    lengths = np.linalg.norm(colours, axis=2) * np.linalg.norm(inks, axis=2)
    return np.asarray(np.abs((colours * inks).sum(axis=2)) >= _ALIKE * np.maximum(lengths, 1e-6))
