"""Even areas: bars, plates behind text, solid arrows. Tissue has grain everywhere, ink has none."""

from collections.abc import Iterator
from functools import cached_property
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import boxes_of, filled, number_parts
from radrefine.artifacts.colours import to_grey
from radrefine.artifacts.completion import found_level, partly_found
from radrefine.records import Finding, Image, Mask

# Coding and shading leave ink a few grey levels between neighbours, and fewer along a row: magnified tissue changes as
# slowly from pixel to pixel, but goes on changing.
_GRAIN: Final = 4
_ROW_SPREAD: Final = 2.0
# Below this grey level lies the black beside a scan; above that an echo was driven into saturation.
_BLACK, _SATURATED = 12, 250
_NEIGHBOURS: Final = np.ones((3, 3), np.uint8)

# An area is completed when at least this share of it was found; what is smaller than this, px, needs no completing.
_SHARE: Final = 0.3
_LEAST: Final = 12

# A bar is a box: with what is written on it it fills this share of its bounding box, without it that share, and no
# piece of writing takes more than the third: a frame has a scan inside. Then its least size, px, and its greatest share
# of the picture.
_BOX: Final = 0.85
_INK: Final = 0.5
_WORD: Final = 0.25
_SMALLEST: Final = 60
_THINNEST: Final = 3
_LARGEST: Final = 0.45
_BAR_SCORE: Final = 0.97


class EvenAreas:
    """The even areas of a picture, parted from each other once somebody asks for them.

    Args:
        image: (H, W) or (H, W, 3), uint8.
    """

    def __init__(self, image: Image) -> None:
        self._grey = to_grey(image)
        self._even = (_coarsest_step(image) <= _GRAIN) & (self._grey >= _BLACK) & (self._grey < _SATURATED)

    @cached_property
    def _areas(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The number of each pixel's area, 0 for none, and x, y, width, height and size of each number.

        Specks, of which there are hundreds, have a size alone: to measure them takes longer than all the rest.
        """
        count, numbers = cv2.connectedComponentsWithAlgorithm(self._even.view(np.uint8), 4, cv2.CV_32S, cv2.CCL_WU)
        rows, columns = np.divmod(np.flatnonzero(self._even), self._even.shape[1])
        own = np.asarray(numbers, np.int32)[rows, columns]
        sizes = np.bincount(own, minlength=count)
        large = (sizes >= _LEAST)[own]
        boxes = boxes_of(rows[large], columns[large], own[large], count)
        boxes[:, cv2.CC_STAT_AREA] = sizes
        return np.asarray(numbers, np.int32), boxes

    def complete(self, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
        """Raise the logits of areas of which a good part was found to the mean of that part.

        Args:
            logits: (H, W) float32, of "mark".
            least: Logit above which a pixel counts as found.

        Returns:
            (H, W) float32, nowhere below `logits`; an area is raised with its rim.
        """
        found = logits > least
        if not (self._even & found).any():
            return logits
        numbers, boxes = self._areas
        size = boxes[:, cv2.CC_STAT_AREA]
        taken = partly_found(numbers, size, found, _SHARE) & (size >= _LEAST)
        for number in np.flatnonzero(taken).tolist():
            taken[number] = _is_plain(*self._patch(number))
        if not taken.any():
            return logits
        level = found_level(logits, numbers, found, taken)
        return np.maximum(logits, np.asarray(cv2.dilate(level, _NEIGHBOURS), np.float32))

    def bars(self) -> Iterator[tuple[Finding, Mask]]:
        """Find even boxes: bars and panels of the user interface, plates, whatever is written on them included.

        Yields:
            The finding, and the bool mask of the patch within its box.
        """
        if not cv2.erode(self._even.view(np.uint8), _NEIGHBOURS).any():
            return  # as in most scans: nothing is as thick as a bar
        _, boxes = self._areas
        size = boxes[:, cv2.CC_STAT_AREA]
        thick = boxes[:, [cv2.CC_STAT_WIDTH, cv2.CC_STAT_HEIGHT]].min(axis=1) >= _THINNEST
        likely = thick & (size >= _SMALLEST) & (size <= _LARGEST * self._grey.size)
        likely[0] = False
        for number in np.flatnonzero(likely).tolist():
            grey, own = self._patch(number)
            whole = filled(own)
            if whole.sum() < _BOX * own.size or not _is_plain(grey, own) or _holds_much(own, whole):
                continue
            # The gradient took the outermost pixels of the box.
            x, y = boxes[number, :2].tolist()
            left, top = max(0, x - 1), max(0, y - 1)
            part = cv2.dilate(np.pad(whole, 1), _NEIGHBOURS)[top - y + 1 :, left - x + 1 :]
            part = part[: self._grey.shape[0] - top, : self._grey.shape[1] - left]
            height, width = part.shape
            yield Finding("ui_bar", left, top, width, height, _BAR_SCORE, "even", removed=False), np.asarray(part > 0)

    def _patch(self, number: int) -> tuple[NDArray[np.uint8], Mask]:
        """Return the grey levels in the box of an area, and which of them are its own."""
        numbers, boxes = self._areas
        x, y, width, height = boxes[number, :4].tolist()
        place = slice(y, y + height), slice(x, x + width)
        return self._grey[place], np.asarray(numbers[place] == number)


def add_bars(areas: EvenAreas, findings: list[Finding], masks: dict[str, Mask], shape: tuple[int, ...]) -> None:
    """Add the bars of a picture to what was found in it, in place, instead of the pieces of them that were found.

    Args:
        areas: Of the picture.
        findings: The marks.
        masks: One (H, W) bool mask per kind.
        shape: Height and width of the picture, px.
    """
    for bar, part in areas.bars():
        findings[:] = [found for found in findings if found.kind != bar.kind or not _within(found, bar)]
        findings.append(bar)
        mask = masks.setdefault(bar.kind, np.zeros(shape, bool))
        mask[bar.y : bar.y + bar.height, bar.x : bar.x + bar.width] |= part


def _within(inner: Finding, outer: Finding) -> bool:
    right, bottom = outer.x + outer.width, outer.y + outer.height
    across = outer.x <= inner.x and inner.x + inner.width <= right
    return across and outer.y <= inner.y and inner.y + inner.height <= bottom


def _holds_much(own: Mask, whole: NDArray[np.uint8]) -> bool:
    """Tell whether more lies within an area than is written on bars."""
    holes = whole & ~own
    _, boxes, _ = number_parts(holes)
    largest = int(boxes[1:, cv2.CC_STAT_AREA].max(initial=0))
    return own.sum() < _INK * own.size or largest > _WORD * own.size


def _coarsest_step(image: Image) -> NDArray[np.uint8]:
    """Return the largest difference within 3 x 3 pixels, (H, W): of the channel where it is largest."""
    change = cv2.morphologyEx(image, cv2.MORPH_GRADIENT, _NEIGHBOURS)
    if change.ndim == 3:
        red, green, blue = cv2.split(change)
        change = cv2.max(cv2.max(red, green), blue)
    return np.asarray(change, np.uint8)


def _is_plain(grey: NDArray[np.uint8], own: Mask) -> bool:
    """Tell whether an area keeps one grey level along each row; bars shaded from top to bottom do."""
    level = np.where(own, grey, 0).astype(np.float32)
    count = own.sum(axis=1, dtype=np.float32)
    spread = (level * level).sum() - (level.sum(axis=1) ** 2 / np.maximum(count, 1)).sum()
    return bool(spread <= _ROW_SPREAD**2 * count.sum())
