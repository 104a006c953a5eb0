"""Colour flow is no mark: what was found in it is left alone. Ink has one hue, flow runs from red to yellow, say."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import number_parts
from radrefine.artifacts.colours import channel_range
from radrefine.records import Image, Mask

# Flow differs this much between its strongest and its weakest channel, which has at most this share of the strongest.
# Green is the channel between, from red over orange to yellow as from blue to cyan, but for what coding blurs.
VIVID: Final = 60
WEAKEST: Final = 0.35
_BLURRED: Final = 8
# Where more than this share of a picture is vivid, the colours are those of an elastogram, or of a photograph.
_LARGEST: Final = 0.3
# Flow fills areas, ink draws lines: what this square does not fit in is no flow.
_CORE: Final = np.ones((3, 3), np.uint8)
# Around such a core, what lies in this square and differs this much between its channels is flow, too.
_NEAR: Final = np.ones((7, 7), np.uint8)
_RIM: Final = 30
# The hue, from 0 (the strongest channel alone) to 1 (two channels as strong), strays by this much in flow; ink keeps
# its hue, however much of the tissue shines through.
_STRAY: Final = 0.06
# What fills this share of its box and is so much longer than wide is a bar of colours.
_BAR: Final = 0.85
_BAR_LENGTH: Final = 1.6
# A patch is left when this share of it lies in flow; of other patches, lines across flow say, only what is this thick.
_INSIDE: Final = 0.6
_THICK: Final = np.ones((3, 3), np.uint8)
# Above this logit the network knows ink when it sees it: coloured marks may lie on flow.
_SURE: Final = 2.5


def leave_flow(image: Image, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
    """Lower the logits of what was found in colour flow below the level of marks.

    Args:
        image: (H, W) or (H, W, 3) RGB, uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.

    Returns:
        (H, W) float32, nowhere above `logits`; `logits` itself where nothing was found in flow.
    """
    if image.ndim == 2:
        return logits
    found = logits > least
    flow = find_flow(image, found)
    if flow is None:
        return logits
    count, patches = cv2.connectedComponents(found.view(np.uint8), connectivity=8)
    sizes = np.bincount(patches.ravel(), minlength=count)
    inside = np.bincount(patches[flow], minlength=count) >= _INSIDE * sizes
    sure = np.zeros(count, bool)
    sure[patches[logits > _SURE]] = True
    inside[0] = False
    thick = cv2.morphologyEx((found & flow & (logits <= _SURE)).view(np.uint8), cv2.MORPH_OPEN, _THICK)
    left = (inside & ~sure)[patches] | (thick > 0)
    return np.where(left, np.minimum(logits, np.float32(least)), logits) if left.any() else logits


def find_flow(image: Image, found: Mask) -> Mask | None:
    """Return where colour flow is that holds something found, with what is coloured within 3 px of it.

    Args:
        image: (H, W, 3) RGB, uint8.
        found: (H, W) bool; flow without any of it is not returned.

    Returns:
        (H, W) bool; None where there is no such flow.
    """
    patches = _vivid_patches(image) if found.any() else None
    if patches is None:
        return None
    held = patches.held(found) & ~are_bars(patches.boxes)
    count, inner = len(held), patches.numbers > 0
    numbers, sizes = patches.numbers[inner], patches.boxes[:, cv2.CC_STAT_AREA]
    hue = (patches.between[inner] - patches.weakest[inner]) / patches.colour[inner]
    mean = np.bincount(numbers, hue, minlength=count) / sizes
    spread = np.bincount(numbers, (hue - mean[numbers]) ** 2, minlength=count) / sizes
    flow = held & (spread > _STRAY**2)
    flow[0] = False
    if not flow.any():
        return None
    near = cv2.dilate(flow[patches.numbers].view(np.uint8), _NEAR) > 0
    return np.asarray(near & (patches.colour >= _RIM))


def shows_flow(image: Image, found: Mask) -> bool:
    """Tell whether a picture has patches in the colours of flow of which nothing was found, whatever their hue does.

    Args:
        image: (H, W, 3) RGB, uint8.
        found: (H, W) bool.
    """
    patches = _vivid_patches(image)
    return patches is not None and bool((~patches.held(found) & ~are_bars(patches.boxes))[1:].any())


def are_bars(boxes: NDArray[np.int32]) -> Mask:
    """Tell which patches are bars of colours: long and straight.

    Args:
        boxes: (N, 5) x, y, width, height and size of each patch, px.

    Returns:
        (N,) bool.
    """
    sides = boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]]
    long = sides.max(axis=1) >= _BAR_LENGTH * sides.min(axis=1)
    return np.asarray(long & (boxes[:, cv2.CC_STAT_AREA] >= _BAR * sides.prod(axis=1)))


@dataclass(frozen=True, slots=True)
class _Patches:
    """Patches of a picture in the colours of flow, neither thin nor all over it.

    Attributes:
        numbers: (H, W) int32, the number of each pixel's patch, 0 for none.
        boxes: (N, 5) x, y, width, height and size of each number.
        weakest, between, colour: (H, W) uint8, weakest channel, the one between, difference of strongest and weakest.
    """

    numbers: NDArray[np.int32]
    boxes: NDArray[np.int32]
    weakest: NDArray[np.uint8]
    between: NDArray[np.uint8]
    colour: NDArray[np.uint8]

    def held(self, found: Mask) -> Mask:
        """Tell which patches touch something found, (N,) bool."""
        touched = self.numbers[cv2.dilate(found.view(np.uint8), _CORE) > 0]
        return np.asarray(np.bincount(touched, minlength=len(self.boxes)) > 0)


def _vivid_patches(image: Image) -> _Patches | None:
    strongest, weakest = channel_range(image)
    colour = cv2.subtract(strongest, weakest)
    vivid = colour >= VIVID
    if not 0 < np.count_nonzero(vivid) <= _LARGEST * vivid.size:
        return None
    red, green, blue = cv2.split(image)
    between = cv2.min(cv2.max(red, blue), cv2.max(green, cv2.min(red, blue)))
    vivid &= (weakest <= WEAKEST * strongest) & (cv2.absdiff(green, between) <= _BLURRED)
    core = cv2.morphologyEx(vivid.view(np.uint8), cv2.MORPH_OPEN, _CORE)
    numbers, boxes, _ = number_parts(np.asarray(core, np.uint8))
    return _Patches(numbers, boxes, weakest, between, colour)  # type: ignore[arg-type]


def lies_in(part: Mask, flow: Mask) -> bool:
    """Tell whether so much of a mark's pixels lies in flow that it is flow; both (H, W) bool."""
    return bool((part & flow).sum() >= _INSIDE * part.sum())
