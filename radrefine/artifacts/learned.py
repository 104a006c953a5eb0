"""Find marks with a small trained network, run by OpenCV: no training package is needed.

The weights and what they were trained on lie in `weights/`: `mark_detector.onnx`, its settings in `mark_detector.json`
and its card.
"""

import hashlib
import json
import threading
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.find import Detection
from radrefine.errors import SourceError
from radrefine.records import Finding, Image, Mask

DETECTOR_NAME: Final = "learned"
"""The name of this detector in findings."""

WEIGHTS: Final = Path(__file__).parent / "weights" / "mark_detector.onnx"
"""The weights that come with the package."""

MAX_SIDE: Final = 1024
"""Longest side at which the network sees a picture, px; larger pictures are scaled down for it."""

# The network halves the resolution four times.
_MULTIPLE: Final = 16
_BLOCK: Final = 2
# In a connected patch of up to this many px, or where this share agrees, all pixels take the kind of the majority.
_SMALL_PATCH: Final = 40
_MAJORITY: Final = 0.7
# Letters of one word and dots of one line are nearer to each other than this, px.
_REACH: Final = {"dotted_line": 7, "text": 5, "body_marker": 7, "ui_bar": 5, "colour_overlay": 5}
_USUAL_REACH: Final = 3
# The soft rim of a mark that was found is no doubt, px; nor does a probability need more digits than this logit gives.
_RIM: Final = 7
_SURE: Final = 30.0


@dataclass(frozen=True, slots=True)
class DetectorSettings:
    """What goes with the weights; the fields of `mark_detector.json`.

    Attributes:
        kinds: Kind of each channel of the second output.
        threshold: Probability from which a pixel belongs to a mark.
        score: Weights of a mark's score: constant, mean logit, largest logit, logarithm of the area in px.
    """

    kinds: tuple[str, ...]
    threshold: float
    score: tuple[float, float, float, float]


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


class MarkDetector:
    """Weights ready to run. One instance serves one thread.

    Args:
        weights: ONNX file, with its settings of the same name ending in `.json` beside it.

    Raises:
        SourceError: A file is missing or is not what its name says.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        try:
            known = json.loads(weights.with_suffix(".json").read_text())
            score = tuple(float(value) for value in known["score"])
            self.settings = DetectorSettings(tuple(known["kinds"]), float(known["threshold"]), score)  # type: ignore[arg-type]
            self._net = _read_network(weights)
        except (OSError, ValueError, KeyError, TypeError, cv2.error) as error:
            raise _bad_weights(weights, error) from None

    def look(self, image: Image) -> Verdict:
        """Return what the network says of a picture.

        Args:
            image: (H, W) or (H, W, 3) RGB, uint8.

        Returns:
            The verdict on every pixel.
        """
        height, width = image.shape[:2]
        scale = min(1.0, MAX_SIDE / max(height, width))
        seen = image
        if scale < 1:
            size = max(1, round(width * scale)), max(1, round(height * scale))
            seen = np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
        self._net.setInput(_blocks(seen))
        marks, kinds = self._net.forward(["mark", "kind"])
        rows, columns = seen.shape[:2]
        logits = _pixels(marks[0])[:rows, :columns]
        coarse = kinds[0].reshape(len(kinds[0]), -1).argmax(axis=0).astype(np.uint8).reshape(kinds.shape[2:])
        if scale < 1:
            logits = np.asarray(cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        return Verdict(logits, coarse, marks.shape[2] * _BLOCK / coarse.shape[0] / scale)

    def find(self, image: Image) -> tuple[list[Finding], dict[str, Mask]]:
        """Find the marks of a picture.

        Args:
            image: (H, W) or (H, W, 3) RGB, uint8.

        Returns:
            The marks with their scores, and one (H, W) bool mask per kind that was found.
        """
        return group_marks(self.look(image), self.settings)


def find_learned(image: Image, weights: str = "") -> Detection:
    """Find burned-in marks with the network.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        weights: ONNX file; the one that comes with the package where empty.

    Returns:
        Findings and masks; nothing is removed here.
    """
    detector = _of_this_thread(weights)
    verdict = detector.look(image)
    findings, masks = group_marks(verdict, detector.settings)
    return Detection(findings, masks, verdict.logits.shape, strongest_doubt(verdict.logits, masks))


def strongest_doubt(logits: NDArray[np.float32], masks: dict[str, Mask]) -> float:
    """Return the probability of the pixel most like a mark among those away from what was found, 0 to 1.

    Args:
        logits: (H, W).
        masks: One (H, W) bool mask per kind of mark that was found.
    """
    if not masks:
        strongest = logits.max()
    else:
        found = np.logical_or.reduce(list(masks.values())).astype(np.uint8)
        away = cv2.dilate(found, np.ones((_RIM, _RIM), np.uint8)) == 0
        strongest = logits.max(where=away, initial=-_SURE)
    return float(1 / (1 + np.exp(-np.clip(strongest, -_SURE, _SURE))))


@cache
def weights_hash(weights: str = "") -> str:
    """Return the first 16 hex digits of the SHA-256 of the weights and their settings."""
    path = Path(weights) if weights else WEIGHTS
    try:
        data = path.read_bytes() + path.with_suffix(".json").read_bytes()
    except OSError as error:
        raise _bad_weights(path, error) from None
    return hashlib.sha256(data).hexdigest()[:16]


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
        findings += [
            Finding(part.kind, *box, round(float(score), 4), DETECTOR_NAME, removed=False)
            for box, score in zip(_boxes(part), scores, strict=True)
        ]
    return findings, masks


def separate_marks(verdict: Verdict, settings: DetectorSettings) -> list[KindPixels]:
    """Return the pixels above the threshold, by kind and mark.

    Pixels that touch make a patch; the pixels of a patch agree on a kind where it is small or most of them do. Patches
    of one kind that lie as near as letters of a word or dots of a line make one mark.
    """
    mask = verdict.logits > np.float32(np.log(settings.threshold / (1 - settings.threshold)))
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


def _boxes(part: KindPixels) -> list[tuple[int, int, int, int]]:
    """Return x, y, width and height of each mark."""
    low = np.full((2, part.count), np.iinfo(np.int64).max)
    high = np.zeros((2, part.count), np.int64)
    for axis, places in enumerate((part.columns, part.rows)):
        np.minimum.at(low[axis], part.labels, places)
        np.maximum.at(high[axis], part.labels, places)
    size = high - low + 1
    return [(int(x), int(y), int(w), int(h)) for x, y, w, h in np.stack([*low, *size], axis=1)]


def _blocks(image: Image) -> NDArray[np.float32]:
    """Return a picture as the network reads it: (1, 12, H / 2, W / 2), 0 to 1, mirrored up to a multiple of 16."""
    below, right = (-side % _MULTIPLE for side in image.shape[:2])
    if below or right:
        image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101), np.uint8)
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    blocks = np.empty((1, 3, _BLOCK, _BLOCK, image.shape[0] // _BLOCK, image.shape[1] // _BLOCK), np.float32)
    for channel, plane in enumerate(planes):
        for row, column in np.ndindex(_BLOCK, _BLOCK):
            np.multiply(plane[row::_BLOCK, column::_BLOCK], np.float32(1 / 255), out=blocks[0, channel, row, column])
    if image.ndim == 2:
        blocks[0, 1:] = blocks[0, 0]
    return blocks.reshape(1, -1, *blocks.shape[-2:])


def _pixels(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (4, H / 2, W / 2) values of blocks as (H, W) values of pixels."""
    _, height, width = blocks.shape
    pixels = np.empty((height * _BLOCK, width * _BLOCK), np.float32)
    for number, (row, column) in enumerate(np.ndindex(_BLOCK, _BLOCK)):
        pixels[row::_BLOCK, column::_BLOCK] = blocks[number]
    return pixels


def _read_network(weights: Path) -> Any:
    # OpenCV 5 has a second engine, which takes half as long again for a network this small; the classic one can only
    # be had for a file, not for a buffer.
    engine = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    path = str(weights)
    return cv2.dnn.readNetFromONNX(path) if engine is None else cv2.dnn.readNetFromONNX(path, engine)


_threads = threading.local()


def _of_this_thread(weights: str) -> MarkDetector:
    """Return the detector of the calling thread: a network of OpenCV's must not run in two threads at once."""
    known: dict[str, MarkDetector] = _threads.__dict__.setdefault("detectors", {})
    if weights not in known:
        known[weights] = MarkDetector(Path(weights) if weights else WEIGHTS)
    return known[weights]


def _bad_weights(path: Path, error: Exception) -> SourceError:
    message = f"expected the weights of a mark detector in {path} and its settings beside it, got: {error}"
    return SourceError(f"{message}; train some with radrefine train-detector")
