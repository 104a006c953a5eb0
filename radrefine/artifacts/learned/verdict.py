"""Read marks out of what the network says of every pixel: kind, box, score and pixels of each."""

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import boxes_of
from radrefine.records import Finding, Mask

_NAME: Final = "learned"

# In a connected patch of up to this many px, or where this share agrees, all pixels take the kind of the majority.
_SMALL_PATCH: Final = 40
_MAJORITY: Final = 0.7
# Letters of one word and dots of one line are nearer to each other than this, px.
_REACH: Final = {"dotted_line": 7, "text": 5, "body_marker": 7, "ui_bar": 5, "colour_overlay": 5}
_USUAL_REACH: Final = 3
# Logit of a probability of 0.02, below which there is no doubt.
_NEXT_TO_NONE: Final = -3.9


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What goes with the weights; fields of `mark_detector.json` beside its `rims`.

    Attributes:
        kinds: Kind of each channel of the second output.
        threshold: Probability from which a pixel belongs to a mark.
        score: Weights of a mark's score: constant, mean logit, largest logit, logarithm of the area in px.
    """

    kinds: tuple[str, ...]
    threshold: float
    score: tuple[float, float, float, float]

    def __post_init__(self) -> None:
        if not 0 < self.threshold < 1:
            raise ValueError(f"the threshold must lie between 0 and 1, got {self.threshold}")

    @property
    def least_logit(self) -> float:
        """Logit from which a pixel belongs to a mark."""
        return math.log(self.threshold / (1 - self.threshold))


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the network says of a picture.

    Attributes:
        logits: (H, W) float32, logits of "mark".
        kinds: Coarser map of uint8 indices into `DetectorSettings.kinds`.
        step: Pixels of the picture along one side of a cell of `kinds`.
    """

    logits: NDArray[np.float32]
    kinds: NDArray[np.uint8]
    step: float


@dataclass(frozen=True, slots=True)
class KindPixels:
    """The pixels of all marks of one kind.

    Attributes:
        kind: One of `radrefine.schema.KINDS`.
        rows: (N,) rows.
        columns: (N,) columns.
        labels: (N,) number of the mark that each belongs to, from 0.
        count: Marks.
    """

    kind: str
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    labels: NDArray[np.int32]
    count: int


def group_marks(verdict: Verdict, settings: DetectorSettings) -> tuple[list[Finding], dict[str, Mask]]:
    """Group the pixels of marks into marks with kind, box and score.

    Args:
        verdict: What the network says.
        settings: Threshold and weights of the score.

    Returns:
        The marks, and one (H, W) bool mask per kind that was found.
    """
    findings: list[Finding] = []
    masks: dict[str, Mask] = {}
    for part in separate_marks(verdict, settings):
        mask = np.zeros(verdict.logits.shape, bool)
        mask[part.rows, part.columns] = True
        masks[part.kind] = mask
        scores = 1 / (1 + np.exp(-score_features(part, verdict.logits) @ np.asarray(settings.score)))
        boxes = boxes_of(part.rows, part.columns, part.labels, part.count)
        findings += [
            Finding(part.kind, x, y, width, height, round(float(score), 4), _NAME, removed=False)
            for (x, y, width, height, _), score in zip(boxes.tolist(), scores, strict=True)
        ]
    return findings, masks


def separate_marks(verdict: Verdict, settings: DetectorSettings) -> list[KindPixels]:
    """Return the pixels above the threshold, by kind and mark.

    Pixels that touch make a patch; the pixels of a patch agree on a kind where it is small or most of them do. Patches
    of one kind that lie as near as letters of a word or dots of a line make one mark.
    """
    mask = verdict.logits > np.float32(settings.least_logit)
    places = np.flatnonzero(mask)
    if not places.size:
        return []
    rows, columns = np.divmod(places, mask.shape[1])
    patches = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)[1]
    patch = np.asarray(patches[rows, columns], np.int32)
    bottom, right = (side - 1 for side in verdict.kinds.shape)
    cells = (
        np.minimum((rows / verdict.step).astype(np.intp), bottom),
        np.minimum((columns / verdict.step).astype(np.intp), right),
    )
    kinds = _agreed_kinds(patch, verdict.kinds[cells], len(settings.kinds))
    parts = []
    for index in np.unique(kinds):
        own = kinds == index
        kind = settings.kinds[index]
        labels, count = _near_each_other(rows[own], columns[own], _REACH.get(kind, _USUAL_REACH))
        parts.append(KindPixels(kind, rows[own], columns[own], labels, count))
    return parts


def score_features(part: KindPixels, logits: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return what the score of each mark is made of, (count, 4): 1, mean logit, largest logit, log of its area."""
    values = logits[part.rows, part.columns]
    area = np.bincount(part.labels, minlength=part.count)
    mean = np.bincount(part.labels, values, minlength=part.count) / area
    largest = np.full(part.count, -np.inf)
    np.maximum.at(largest, part.labels, values)
    return np.column_stack([np.ones(part.count), mean, largest, np.log(area)])


def likely_pixels(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the probability that each pixel belongs to a mark, 0 to 1; 0 where it is next to none.

    Args:
        logits: (H, W).
    """
    likely = np.zeros(logits.shape, np.float32)
    places = logits > _NEXT_TO_NONE
    likely[places] = 1 / (1 + np.exp(-logits[places]))
    return likely


def _agreed_kinds(patch: NDArray[np.int32], kinds: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    votes = np.bincount(patch * count + kinds, minlength=(int(patch.max()) + 1) * count).reshape(-1, count)
    total = votes.sum(axis=1)
    agreed = (votes.max(axis=1) >= _MAJORITY * total) | (total <= _SMALL_PATCH)
    return np.where(agreed[patch], votes.argmax(axis=1)[patch], kinds).astype(np.uint8)


def _near_each_other(rows: NDArray[np.intp], columns: NDArray[np.intp], reach: int) -> tuple[NDArray[np.int32], int]:
    """Number pixels so that those within `reach` px share a number; return it for each, and how many there are."""
    top, left = int(rows.min()), int(columns.min())
    part = np.zeros((int(rows.max()) - top + 1, int(columns.max()) - left + 1), np.uint8)
    part[rows - top, columns - left] = 1
    near = cv2.dilate(part, np.ones((reach, reach), np.uint8))
    count, labels = cv2.connectedComponents(near, connectivity=8)
    return np.asarray(labels[rows - top, columns - left] - 1, np.int32), count - 1
