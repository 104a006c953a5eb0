"""Coloured ink on grey pictures: frames, coloured text and lines. Tissue has no colour, and flow is told from ink."""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import number_parts
from radrefine.artifacts.colours import channel_range
from radrefine.artifacts.completion import found_level, partly_found
from radrefine.artifacts.flow import VIVID, WEAKEST, are_bars, shows_flow
from radrefine.records import Image, Mask

# Ink differs this much between its channels; a picture in which more than this share of the pixels does is coloured
# itself, by a tint or by flow. So is one in which a larger share of the pixels that are no darker than this differs by
# half as much: the black beside a scan tells nothing.
_INK: Final = 10
_LARGEST: Final = 0.15
_DARK: Final = 32
_TINGE: Final = 5
# Coding spreads the colour of ink to its sides, and faintly over its blocks: ink has so much of the strongest colour
# nearby, and so much of that within a block, or it is a crest of its own.
_RIDGE: Final = 0.2
_NEARBY: Final = np.ones((5, 5), np.uint8)
_RINGING: Final = 0.2
_BLOCK: Final = np.ones((17, 17), np.uint8)
_CREST: Final = 0.8
# What holds a square of this side, px, is no line: flow, or a bar of colours.
_THICK: Final = np.ones((7, 7), np.uint8)
# A line is taken whole when this share of it was found.
_SHARE: Final = 0.08
# Without any of it found, ink has so many pixels that differ this much in the mean, and its logit is so far above that
# of a mark.
_FEWEST: Final = 4
_PLAIN: Final = 14
_RAISED: Final = 2.4
# No larger share of it is as vivid as flow, and it keeps its colour but for this much of the full range.
_VIVID_SHARE: Final = 0.2
_STRAY: Final = 0.12


def complete_coloured(image: Image, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Raise the logits of coloured ink: of lines of which a part was found, and of what can be nothing else.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere below `logits`; the same where the picture is grey or coloured all over.
    """
    if image.ndim == 2:
        return logits
    brightest, weakest = channel_range(image)
    colour = np.asarray(cv2.subtract(brightest, weakest), np.uint8)
    inked = cv2.threshold(colour, _INK - 1, 255, cv2.THRESH_BINARY)[1]
    if not 0 < cv2.countNonZero(inked) <= _LARGEST * colour.size:
        return logits
    strongest = cv2.dilate(colour, _NEARBY)
    ringing = (colour < _RINGING * cv2.dilate(colour, _BLOCK)) & (colour < _CREST * strongest)
    ink = np.asarray((inked > 0) & (colour >= _RIDGE * strongest) & ~ringing)
    ink &= ~_thick(ink, colour)
    numbers = _patches(image, colour, ink)
    sizes = np.bincount(numbers.ravel()).astype(np.int32)
    found = logits > least
    taken = partly_found(numbers, sizes, found, _SHARE)
    raised = np.maximum(logits, found_level(logits, numbers, found, taken)) if taken.any() else logits
    bright = brightest >= _DARK
    if np.count_nonzero(bright & (colour >= _TINGE)) > _LARGEST * np.count_nonzero(bright) or shows_flow(image, found):
        return raised
    plain = _plain_ink(image, colour, numbers, sizes)
    return np.maximum(raised, np.where(plain, least + _RAISED, -np.inf).astype(np.float32)[numbers])


def _patches(image: Image, colour: NDArray[np.uint8], ink: Mask) -> NDArray[np.int32]:
    """Number the patches of coloured ink from 1: bars of colours, else what touches and is of like hue.

    A blue frame that runs into a red vessel is not one with it.
    """
    touching, boxes, _ = number_parts(ink.view(np.uint8))
    bar = are_bars(boxes)[touching] & ink
    warmth = 2 * (image[..., 0].astype(np.int16) - image[..., 2])
    warm = ink & ~bar & (warmth > colour)  # red, yellow
    cold = ink & ~bar & (warmth < -colour.astype(np.int16))  # blue, cyan
    numbers = np.zeros(ink.shape, np.int32)
    first = 0
    for hue in (bar, warm, cold, ink & ~bar & ~warm & ~cold):
        if hue.any():
            count, patches = cv2.connectedComponents(hue.view(np.uint8), connectivity=8)
            numbers[hue] = patches[hue] + first
            first += count - 1
    return numbers


def _thick(ink: Mask, colour: NDArray[np.uint8]) -> Mask:
    """Tell which pixels belong to something thick that may be flow: no bar of colours, and vivid somewhere."""
    thick = cv2.morphologyEx(ink.view(np.uint8), cv2.MORPH_OPEN, _THICK)
    numbers, boxes, _ = number_parts(np.asarray(thick, np.uint8))
    vivid = np.bincount(numbers[colour >= VIVID], minlength=len(boxes)) > 0
    wanted = vivid & ~are_bars(boxes)
    wanted[0] = False
    return np.asarray(wanted[numbers])


def _plain_ink(image: Image, colour: NDArray[np.uint8], numbers: NDArray[np.int32], sizes: NDArray[np.int32]) -> Mask:
    """Tell which patches of colour are ink, whatever was found."""
    count = len(sizes)
    inside = numbers > 0
    own, strength = numbers[inside], colour[inside].astype(np.float64)
    mean = np.bincount(own, strength, minlength=count) / sizes
    likely = (sizes >= _FEWEST) & (mean >= _PLAIN)
    likely[0] = False
    weakest = image[inside].min(axis=1)
    vivid = (strength >= VIVID) & (weakest <= WEAKEST * (weakest + strength))
    likely &= np.bincount(own, vivid, minlength=count) <= _VIVID_SHARE * sizes
    tint = (image[inside] - weakest[:, None]) / strength[:, None]
    # Coding blurs colours where they are faint.
    weight = np.square(strength)
    total = np.maximum(np.bincount(own, weight, minlength=count), 1)
    stray = np.zeros(count)
    for channel in tint.T:
        middle = np.bincount(own, weight * channel, minlength=count) / total
        stray = np.maximum(stray, np.bincount(own, weight * np.square(channel - middle[own]), minlength=count) / total)
    return np.asarray(likely & (stray <= _STRAY**2))
