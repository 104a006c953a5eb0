"""Fill masked pixels from their surroundings."""

from typing import Final, Literal, get_args

import cv2
import numpy as np

from radrefine.areas import number_parts
from radrefine.errors import UsageError
from radrefine.fringe import grey_but_for
from radrefine.records import Image, Mask
from radrefine.texture import fill_texture

Method = Literal["texture", "telea", "navier-stokes", "biharmonic"]

_FLAGS: Final = {"telea": cv2.INPAINT_TELEA, "navier-stokes": cv2.INPAINT_NS, "biharmonic": cv2.INPAINT_NS}
# A crop, or a hole, with more masked pixels than this would take long to solve, and far from its rim no fill is true.
_MOST_SOLVED: Final = 4000


def check_fill(method: str, radius: int) -> None:
    """Raise UsageError where the method is unknown or the radius, px, is none."""
    if method not in get_args(Method):
        raise UsageError(f"unknown --method {method!r}; choose from {', '.join(get_args(Method))}")
    if radius < 1:
        raise UsageError(f"--radius must be 1 px or more, got {radius}")


def inpaint(image: Image, mask: Mask, *, method: Method = "texture", radius: int = 3) -> Image:
    """Fill the masked pixels of an image; the others keep their values to the bit.

    Works on crops around the holes: a small hole in a large image costs what the hole costs. A picture that is grey but
    for coloured marks is filled with grey: coding spreads colours, and a fill would draw them in from the rim.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        mask: (H, W) bool, True = fill.
        method: `texture`, see `fill_texture`; `telea` (Telea, Journal of Graphics Tools 2004), `navier-stokes`
            (Bertalmio et al., CVPR 2001) or `biharmonic` (Damelin and Hoang, 2018). Holes too large for `texture` are
            filled by `telea`, those too large for `biharmonic` by `navier-stokes`.
        radius: Neighbourhood of `telea` and `navier-stokes` in px, 1 or more.

    Returns:
        A new image of the same shape.

    Raises:
        UsageError: The shapes differ, or the method or radius is unknown.
    """
    if mask.shape != image.shape[:2]:
        raise UsageError(f"expected a mask of shape {image.shape[:2]} for the image, got {mask.shape}")
    check_fill(method, radius)
    filled = image.copy()
    if not mask.any():
        return filled
    if method == "texture":
        small = _small_holes(mask)
        _fill_crops(filled, mask & ~small, "telea", radius)
        filled = fill_texture(filled, small)
    else:
        _fill_crops(filled, mask, method, radius)
    grey = mask & grey_but_for(image, mask)
    if grey.any():
        filled[grey] = cv2.cvtColor(filled, cv2.COLOR_RGB2GRAY)[grey][:, None]
    return filled


def _small_holes(mask: Mask) -> Mask:
    pixels = np.count_nonzero(mask)
    if pixels == mask.size:
        return np.zeros_like(mask)
    if pixels <= _MOST_SOLVED:
        return mask
    labels, boxes, _ = number_parts(mask)
    small = boxes[:, cv2.CC_STAT_AREA] <= _MOST_SOLVED
    small[0] = False
    return np.asarray(small[labels])


def _fill_crops(filled: Image, mask: Mask, method: Method, radius: int) -> None:
    """Fill the holes on crops around them, in place."""
    if not mask.any():
        return
    margin = 2 * radius + 2
    holes = cv2.dilate(mask.astype(np.uint8), np.ones((2 * margin + 1, 2 * margin + 1), np.uint8))
    _, boxes, _ = number_parts(np.asarray(holes, np.uint8))
    for x, y, width, height, _ in boxes[1:]:
        crop = slice(y, y + height), slice(x, x + width)
        hole = mask[crop]
        part = np.ascontiguousarray(filled[crop])
        if method == "biharmonic" and np.count_nonzero(hole) <= _MOST_SOLVED and not hole.all():
            result = _solve(part, hole)
        else:
            result = np.asarray(cv2.inpaint(part, hole.astype(np.uint8), radius, _FLAGS[method]), np.uint8)
        filled[crop][hole] = result[hole]


def _solve(part: Image, hole: Mask) -> Image:
    """Fill by the surface whose Laplacian is as smooth as its rim allows."""
    from skimage.restoration import inpaint_biharmonic

    if part.ndim == 3 and (part == part[..., :1]).all():  # grey in three channels is solved once
        return np.repeat(_solve(part[..., 0], hole)[..., None], 3, axis=2)
    smooth = inpaint_biharmonic(part, hole, channel_axis=2 if part.ndim == 3 else None)
    return np.rint(np.clip(smooth, 0, 1) * 255).astype(np.uint8)
