"""Training pictures made on the fly: composites of known marks over clean pictures, and clean pictures as they are."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Dataset

from radrefine.artifacts.learned.detector import MAGNIFY
from radrefine.detector.backgrounds import Backgrounds
from radrefine.marks import MarkedImage, add_clutter, composite, jpeg_coded
from radrefine.records import Image, Mask

Sample = tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.float32]]
"""(S, S, 3) image, (S, S) kind (0 = none, else 1 + index in KINDS), (S, S) weight in the loss."""

_REAL_SHARE: Final = 0.7
_CLEAN_SHARE: Final = 0.22
# So many pictures are shown magnified, as the detector sees small ones.
_MAGNIFIED_SHARE: Final = 0.6
_COLOUR_SHARE: Final = 0.45
_PANEL_SHARE: Final = 0.12
# So many pictures are parts of larger screens, up to this many times their side: their marks are larger.
_PART_SHARE: Final = 0.4
_LARGEST_SCREEN: Final = 4.0
# A mark of this many px counts as one pixel each; the pixels of smaller ones count for more, of larger ones for less.
_USUAL_AREA: Final = 60.0


@dataclass(frozen=True)
class Composites(Dataset[Sample]):
    """Samples of one round of training; sample `i` of a round is the same whoever makes it.

    Attributes:
        backgrounds: Clean pictures.
        hardness: How often each of `backgrounds.pictures` is shown without marks, relative to the others.
        seed: Of all choices.
        round: Number of the round.
        count: Samples.
        size: Side of the samples, px; a multiple of 16.
    """

    backgrounds: Backgrounds
    hardness: NDArray[np.float64]
    seed: int
    round: int
    count: int
    size: int = 192

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        """Return sample `index`."""
        cv2.setNumThreads(1)
        rng = np.random.default_rng([self.seed, self.round, index])
        size = round(self.size / MAGNIFY) if rng.random() < _MAGNIFIED_SHARE else self.size
        if rng.random() < _CLEAN_SHARE:
            number = int(rng.choice(len(self.hardness), p=self.hardness / self.hardness.sum()))
            picture = _coloured(self.backgrounds.pictures[number], rng)
            marked = _unmarked(picture, rng, size)
        else:
            marked = draw_composite(self.backgrounds, rng, size)
        return _scaled(_cut(marked, rng, size), self.size)


def draw_composite(
    backgrounds: Backgrounds, rng: np.random.Generator, size: int, *, unmarked: float = 0.04
) -> MarkedImage:
    """Draw marks on a random background.

    Args:
        backgrounds: Clean pictures.
        rng: Source of all choices.
        size: Side of the samples that are cut from the picture, px.
        unmarked: Share of pictures without any mark.

    Returns:
        A composite with sides from `size` to nearly twice that.
    """
    picture = _pick(backgrounds, rng)
    if rng.random() < _PANEL_SHARE:
        picture = _panels(picture, _pick(backgrounds, rng), rng)
    # Half of the pictures are seen whole, with their borders; of the others a part, with larger marks.
    side = size if rng.random() < 0.5 else round(size * float(rng.uniform(1.0, 1.8)))
    shape = round(side * float(rng.uniform(0.9, 1.0))), round(side * float(rng.uniform(0.9, 1.0)))
    screen = (
        round(side * float(np.exp(rng.uniform(0, np.log(_LARGEST_SCREEN))))) if rng.random() < _PART_SHARE else None
    )
    return composite(_coloured(picture, rng), rng, size=shape, unmarked=unmarked, screen=screen)


def pixel_weights(mask: Mask) -> NDArray[np.float32]:
    """Return how much each pixel counts in the loss: small marks as much as large ones, within limits."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    weights = np.ones(count, np.float32)
    weights[1:] = np.clip(np.sqrt(_USUAL_AREA / np.maximum(stats[1:, cv2.CC_STAT_AREA], 1)), 0.35, 3.0)
    return weights[labels]


def _pick(backgrounds: Backgrounds, rng: np.random.Generator) -> NDArray[np.uint8]:
    real = rng.random() < _REAL_SHARE if backgrounds.real and backgrounds.phantoms else bool(backgrounds.real)
    pool = backgrounds.real if real else backgrounds.phantoms
    return pool[int(rng.integers(len(pool)))]


def _coloured(picture: NDArray[np.uint8], rng: np.random.Generator) -> Image:
    """Return the picture in colour at times: plain, or in the sepia or blue of some screens."""
    if rng.random() >= _COLOUR_SHARE:
        return picture
    image = np.repeat(picture[..., None], 3, axis=2)
    if rng.random() < 0.6:
        return image
    tint = 1 - rng.uniform(0, 0.25, 3)
    return np.rint(image * (tint / tint.max())).astype(np.uint8)


def _panels(first: NDArray[np.uint8], second: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Put two pictures side by side, as dual views are, with or without a gap: a seam is no mark."""
    upright = rng.random() < 0.3
    if upright:
        first, second = first.T, second.T
    other = np.asarray(cv2.resize(second, first.shape[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    gap = np.full((first.shape[0], int(rng.choice([0, 0, 1, 2, 4, 10]))), int(rng.choice([0, 0, 30])), np.uint8)
    both = np.hstack([first, gap, other])
    return np.ascontiguousarray(both.T if upright else both)


def _unmarked(picture: Image, rng: np.random.Generator, size: int) -> MarkedImage:
    """Return a clean picture as it is, or randomised like a composite."""
    if rng.random() < 0.5:
        return composite(picture, rng, size=(size, size), unmarked=1.0)
    if rng.random() < 0.3:
        picture = add_clutter(picture, rng)
    if rng.random() < 0.3:
        picture = jpeg_coded(picture, int(rng.integers(40, 96)))
    nothing = np.zeros(picture.shape[:2], np.uint8)
    return MarkedImage(picture, nothing > 0, [], nothing, picture)


def _cut(marked: MarkedImage, rng: np.random.Generator, size: int) -> Sample:
    """Cut a sample out of a picture; one that is smaller is mirrored at its lower and right border, without weight."""
    height, width = marked.mask.shape
    top, left = int(rng.integers(0, max(0, height - size) + 1)), int(rng.integers(0, max(0, width - size) + 1))
    part = slice(top, top + size), slice(left, left + size)
    image, kinds, weights = marked.image[part], marked.kind_map[part], pixel_weights(marked.mask)[part]
    if image.ndim == 2:
        image = np.repeat(image[..., None], 3, axis=2)
    below, right = size - image.shape[0], size - image.shape[1]
    if below or right:
        image = np.pad(image, ((0, below), (0, right), (0, 0)), "reflect")
        kinds = np.pad(kinds, ((0, below), (0, right)))
        weights = np.pad(weights, ((0, below), (0, right)))
    return np.ascontiguousarray(image), np.ascontiguousarray(kinds), np.ascontiguousarray(weights)


def _scaled(sample: Sample, size: int) -> Sample:
    """Scale a sample to a side of `size` px, the image as the detector does it."""
    image, kinds, weights = sample
    if len(image) == size:
        return sample
    return (
        np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8),
        np.asarray(cv2.resize(kinds, (size, size), interpolation=cv2.INTER_NEAREST_EXACT), np.uint8),
        np.asarray(cv2.resize(weights, (size, size), interpolation=cv2.INTER_NEAREST_EXACT), np.float32),
    )
