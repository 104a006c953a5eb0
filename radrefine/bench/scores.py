"""Score a mask against the true one, and a fill against what lay under the marks."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from radrefine.areas import grown, window
from radrefine.records import Image, Mask

FOUND_SHARE = 0.5
"""A mark counts as found when the mask covers at least this share of its pixels."""

CONTRASTS = {"under 1": 1.0, "1 to 2": 2.0, "2 to 4": 4.0, "4 and more": math.inf}
"""Bands of contrast, see `mark_contrast`, and where each ends."""

_SURROUNDINGS = 5
# Where the tissue is all of one grey, this many grey levels stand for its spread.
_LEAST_SPREAD = 3.0


@dataclass(slots=True)
class PixelCounts:
    """Pixels summed over images: found, found within the tolerance of the truth, true, true within that of the found.

    Attributes:
        found: Pixels in the masks that were made.
        correct: Of these, pixels at most the tolerance away from a true one.
        true: Pixels in the true masks.
        covered: Of these, pixels at most the tolerance away from a found one.
    """

    found: int = 0
    correct: int = 0
    true: int = 0
    covered: int = 0

    def add(self, found: Mask, truth: Mask, tolerance: int, ignored: Mask | None = None) -> None:
        """Add one image.

        Args:
            found: (H, W) bool.
            truth: (H, W) bool.
            tolerance: Distance in px within which pixels agree.
            ignored: (H, W) bool, pixels to leave out; None leaves none out.
        """
        counted = np.ones(truth.shape, bool) if ignored is None else ~ignored
        self.found += int((found & counted).sum())
        self.correct += int((found & counted & grown(truth, tolerance)).sum())
        self.true += int((truth & counted).sum())
        self.covered += int((truth & counted & grown(found, tolerance)).sum())

    @property
    def precision(self) -> float:
        """Share of the found pixels that are right; 1 where none were found."""
        return self.correct / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the true pixels that were found; 1 where there are none."""
        return self.covered / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


@dataclass(slots=True)
class ObjectCounts:
    """Marks by kind: how many there are and how many were found."""

    true: dict[str, int] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)

    def add(self, mask: Mask, truth: Mask, boxes: Iterable[tuple[str, int, int, int, int]]) -> None:
        """Add the marks of one image.

        Args:
            mask: (H, W) bool, the mask that was made.
            truth: (H, W) bool, the true mask.
            boxes: Kind, x, y, width and height of each true mark.
        """
        for kind, x, y, width, height in boxes:
            place = slice(y, y + height), slice(x, x + width)
            pixels = int(truth[place].sum())
            if not pixels:
                continue
            self.true[kind] = self.true.get(kind, 0) + 1
            covered = int((truth[place] & mask[place]).sum())
            self.found[kind] = self.found.get(kind, 0) + int(covered >= FOUND_SHARE * pixels)

    def share(self, kind: str | None = None) -> float:
        """Return the share found of one kind, or of all; nan where there are none."""
        true = sum(self.true.values()) if kind is None else self.true.get(kind, 0)
        found = sum(self.found.values()) if kind is None else self.found.get(kind, 0)
        return found / true if true else math.nan


def mark_contrast(image: Image, clean: Image, truth: Mask, box: tuple[int, int, int, int]) -> str:
    """Tell how far a mark stands out: the median change that its ink makes over the spread of the tissue around it.

    Args:
        image: (H, W) or (H, W, 3), uint8, with marks.
        clean: What lies under the marks, same shape.
        truth: (H, W) bool, the true mask.
        box: x, y, width and height of the mark, with at least one true pixel.

    Returns:
        One of `CONTRASTS`. The spread is the standard deviation of the clean grey levels in the box and 5 px around it.
    """
    place, around = window(box, 0), window(box, _SURROUNDINGS)
    change = cv2.absdiff(np.ascontiguousarray(image[place]), np.ascontiguousarray(clean[place]))
    change = change if change.ndim == 2 else change.max(axis=2)
    tissue = clean[around] if clean.ndim == 2 else cv2.cvtColor(np.ascontiguousarray(clean[around]), cv2.COLOR_RGB2GRAY)
    contrast = float(np.median(change[truth[place]])) / max(_LEAST_SPREAD, float(tissue.std()))
    return next(name for name, end in CONTRASTS.items() if contrast < end)


def hole_fidelity(filled: Image, clean: Image, hole: Mask) -> tuple[float, float]:
    """Compare a filled image with the clean one inside the holes alone.

    Args:
        filled: (H, W) or (H, W, 3), uint8.
        clean: What lay under the marks, same shape.
        hole: (H, W) bool, the true mask; at least one pixel.

    Returns:
        PSNR in dB (infinite where equal) and mean SSIM (7 px window) over the hole.
    """
    error = float(np.mean((filled[hole].astype(float) - clean[hole].astype(float)) ** 2))
    psnr = math.inf if error == 0 else 10 * math.log10(255**2 / error)
    axis = 2 if filled.ndim == 3 else None
    _, full = structural_similarity(filled, clean, channel_axis=axis, data_range=255, full=True)
    return psnr, float(full[hole].mean())
