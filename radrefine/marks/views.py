"""What happens to a picture on its way: grey curves, tints, scaling after the marks were burned in, blur, JPEG."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.marks.draw import MarkedImage, jpeg_coded
from radrefine.marks.ink import VISIBLE, strongest
from radrefine.records import Finding, Image, Mask
from radrefine.schema import KINDS

Generator = np.random.Generator

FRINGE = 0.12
"""Scaling and blur leave a fringe around a mark; below this share of the mark's contrast it is not part of the mask."""

# Bars are filled, and their dark ends are as much theirs as the letters on them: only the faintest fringe is left out.
_FILLED_FRINGE = 0.05
# Scaling and sharpening smear a mark's edge over so many pixels.
_SMEAR = 2
# A mark whose strongest pixel changes the picture by less than this many grey levels has faded away.
_FADED = 13
_FILLED = [1 + KINDS.index(kind) for kind in ("ui_bar", "colour_overlay")]


def regraded(picture: Image, rng: Generator) -> Image:
    """Change gain, contrast and gamma of the scan; black surroundings stay black."""
    grey = np.linspace(0, 1, 256)
    if rng.random() < 0.4:  # another gain: dim scans become bright ones, bright ones dim or saturated
        bright = float(np.percentile(picture[::6, ::6], 96)) / 255
        grey = np.minimum(1, grey * float(np.clip(rng.uniform(0.35, 1.1) / max(0.05, bright), 0.4, 4)))
    levels = grey ** float(np.exp(rng.normal(0, 0.3)))
    levels = 0.5 + (levels - 0.5) * float(rng.uniform(0.6, 1.35)) + float(rng.uniform(-0.12, 0.15))
    levels *= np.minimum(1, np.linspace(0, 1, 256) * 10)
    return np.asarray(cv2.LUT(picture, np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)), np.uint8)


def surrounded(picture: Image, field: NDArray[np.uint8], rng: Generator) -> Image:
    """Give the screen around the scan a dark tone, flat or shaded, instead of black."""
    tone = rng.uniform(2, 24, 3) if rng.random() < 0.8 else rng.uniform(20, 70, 3)
    tone = tone if picture.ndim == 3 and rng.random() < 0.4 else np.full(3, tone[0])
    weight = np.asarray(cv2.bitwise_not(field), np.float32)
    if rng.random() < 0.3:
        weight *= np.linspace(float(rng.uniform(0.3, 1)), 1.0, field.shape[0], dtype=np.float32)[:, None]
    planes = [cv2.convertScaleAbs(weight, alpha=float(level) / 255) for level in tone]
    return np.asarray(cv2.add(picture, cv2.merge(planes) if picture.ndim == 3 else planes[0]), np.uint8)


def canvas_size(rng: Generator, size: tuple[int, int]) -> tuple[int, int]:
    """Draw the size of the screen before somebody scaled it to `size`: larger, smaller or the same."""
    choice = rng.random()
    if choice < 0.35:
        return size
    factor = float(rng.uniform(1.1, 2.0)) if choice < 0.65 else float(rng.uniform(0.55, 0.95))
    # Archives that ask for square pictures squeeze wide screens.
    squeeze = float(np.exp(rng.normal(0, 0.12 if rng.random() < 0.75 else 0.32))) if rng.random() < 0.6 else 1.0
    squeeze = float(np.clip(squeeze, 0.6, 1.6))
    rows, columns = round(size[0] * factor * squeeze), round(size[1] * factor / squeeze)
    return max(48, rows), max(48, columns)


def rescaled(marked: MarkedImage, size: tuple[int, int], rng: Generator) -> MarkedImage:
    """Return `marked` scaled to `size`, with its truth."""
    if marked.mask.shape == size:
        return marked
    rows = marked.mask.shape[0]
    small = (cv2.INTER_AREA, cv2.INTER_AREA, cv2.INTER_LINEAR)
    large = (cv2.INTER_CUBIC, cv2.INTER_LINEAR, cv2.INTER_LANCZOS4)
    way = (small if rows > size[0] else large)[int(rng.integers(3))]
    wanted = (size[1], size[0])
    image, clean = (np.asarray(cv2.resize(picture, wanted, interpolation=way), np.uint8) for picture in _pair(marked))
    # Where no ink is the gaps are, and they stay gaps.
    gaps = np.where(_difference(marked.image, marked.clean) < VISIBLE, marked.mask, False).astype(np.uint8)
    gaps = np.asarray(cv2.resize(gaps * 255, wanted, interpolation=cv2.INTER_LINEAR), np.uint8)
    # The rim that scaling adds takes the kind of the marks nearby.
    spread = 2 * int(np.ceil(max(1.0, rows / size[0]))) + 1
    kinds = np.asarray(cv2.dilate(marked.kind_map, np.ones((spread, spread), np.uint8)), np.uint8)
    kinds = np.asarray(cv2.dilate(_scaled(kinds, size), np.ones((3, 3), np.uint8)), np.uint8)
    return _retold(marked, image, clean, kinds, gaps > 127)


def refined_edges(marked: MarkedImage, rng: Generator) -> MarkedImage:
    """Sharpen or blur the finished screen, as a frame grabber or an archive's viewer does."""
    sigma = float(rng.uniform(0.4, 1.1))
    gain = float(rng.uniform(0.4, 1.5)) if rng.random() < 0.5 else -1.0

    def change(picture: Image) -> Image:
        soft = cv2.GaussianBlur(picture, (0, 0), sigma)
        return np.asarray(soft if gain < 0 else cv2.addWeighted(picture, 1 + gain, soft, -gain, 0), np.uint8)

    image, clean = change(marked.image), change(marked.clean)
    gaps = marked.mask & (_difference(marked.image, marked.clean) < VISIBLE)
    kinds = np.asarray(cv2.dilate(marked.kind_map, np.ones((5, 5), np.uint8)), np.uint8)
    return _retold(marked, image, clean, kinds, gaps)


def recoloured(marked: MarkedImage, rng: Generator) -> MarkedImage:
    """Change the grey curve of the finished picture, and tint it slightly where it has colours."""
    grey = np.linspace(0, 1, 256) ** float(np.exp(rng.normal(0, 0.2)))
    grey = float(rng.uniform(0, 0.05)) + grey * float(rng.uniform(0.8, 1.0))
    tint = rng.uniform(0.8, 1.0, 3) if rng.random() < 0.5 else np.ones(3)
    table = np.rint(np.clip(grey[:, None] * tint, 0, 1) * 255).astype(np.uint8)

    def change(picture: Image) -> Image:
        curve = table[None] if picture.ndim == 3 else np.ascontiguousarray(table[:, 0])
        return np.asarray(cv2.LUT(picture, curve), np.uint8)

    return _changed(marked, change)


def coded(marked: MarkedImage, rng: Generator) -> MarkedImage:
    """Code the finished picture as JPEG."""
    quality = int(rng.integers(35, 97))
    return _changed(marked, lambda picture: jpeg_coded(picture, quality))


def _changed(marked: MarkedImage, change: Callable[[Image], Image]) -> MarkedImage:
    return replace(marked, image=change(marked.image), clean=change(marked.clean))


def _scaled(plane: NDArray[np.uint8], size: tuple[int, ...]) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(plane, (size[1], size[0]), interpolation=cv2.INTER_NEAREST), np.uint8)


def _pair(marked: MarkedImage) -> tuple[Image, Image]:
    return marked.image, marked.clean


def _difference(first: Image, second: Image) -> NDArray[np.uint8]:
    return np.asarray(strongest(cv2.absdiff(first, second)), np.uint8)


def _retold(
    marked: MarkedImage,
    image: Image,
    clean: Image,
    kinds: NDArray[np.uint8],
    gaps: Mask,
) -> MarkedImage:
    """Tell the truth again after the picture was resampled.

    Args:
        marked: The picture before.
        image: The picture with marks after.
        clean: The picture without marks after.
        kinds: Kind of the marks in and around which a change is a mark's.
        gaps: Gaps of marks after.
    """
    change = _difference(image, clean)
    peak = cv2.dilate(change, np.ones((7, 7), np.uint8))
    inner = _scaled(marked.mask.view(np.uint8), change.shape) > 0
    filled = (kinds == _FILLED[0]) | (kinds == _FILLED[1])
    least = cv2.convertScaleAbs(peak, alpha=FRINGE)
    if filled.any():
        least = np.where(filled & inner, cv2.convertScaleAbs(peak, alpha=_FILLED_FRINGE), least)
    mask = np.asarray((change >= np.maximum(least, VISIBLE)) | gaps, bool) & (kinds > 0)
    moved = []
    ratio = (change.shape[1] / marked.mask.shape[1], change.shape[0] / marked.mask.shape[0])
    for finding in marked.findings:
        there = _moved(finding, ratio, mask, change)
        if there is not None:
            moved.append(there)
    # A pixel keeps the kind that was there; only the rim that grew takes its neighbour's.
    before = _scaled(marked.kind_map, change.shape)
    kind_map = np.where(mask, np.where(before > 0, before, kinds), 0).astype(np.uint8)
    return MarkedImage(image, mask, moved, kind_map, clean)


def _moved(finding: Finding, ratio: tuple[float, float], mask: Mask, change: NDArray[np.uint8]) -> Finding | None:
    """Return the finding's box on the scaled picture, drawn tight around what is left of it; None if nothing is.

    A mark that faded away is taken out of `mask`, in place.
    """
    left, top = max(0, int(finding.x * ratio[0]) - _SMEAR), max(0, int(finding.y * ratio[1]) - _SMEAR)
    right = min(mask.shape[1], int(np.ceil((finding.x + finding.width) * ratio[0])) + _SMEAR)
    bottom = min(mask.shape[0], int(np.ceil((finding.y + finding.height) * ratio[1])) + _SMEAR)
    part = mask[top:bottom, left:right]
    if not part.any():
        return None
    if change[top:bottom, left:right].max() < _FADED:
        part[:] = False
        return None
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    width, height = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
    x, y = left + int(columns[0]), top + int(rows[0])
    return replace(finding, x=x, y=y, width=width, height=height)
