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
from radrefine.artifacts.response import to_grey
from radrefine.artifacts.roi import find_field
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


class MarkDetector:
    """Weights ready to run. One instance serves one thread.

    Args:
        weights: ONNX file, with its settings of the same name ending in `.json` beside it.

    Raises:
        SourceError: A file is missing or is not what its name says.
    """

    def __init__(self, weights: Path = WEIGHTS) -> None:
        try:
            data = weights.read_bytes()
            known = json.loads(weights.with_suffix(".json").read_text())
            score = tuple(float(value) for value in known["score"])
            self.settings = DetectorSettings(tuple(known["kinds"]), float(known["threshold"]), score)  # type: ignore[arg-type]
            self._net = _read_network(data)
        except (OSError, ValueError, KeyError, TypeError, cv2.error) as error:
            raise _bad_weights(weights, error) from None

    def logits(self, image: Image) -> tuple[NDArray[np.float32], NDArray[np.uint8]]:
        """Return what the network says of a picture.

        Args:
            image: (H, W) or (H, W, 3) RGB, uint8.

        Returns:
            (H, W) float32 logits of "mark" and (H, W) uint8 indices into `settings.kinds`.
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
        pixels = marks[0].reshape(_BLOCK, _BLOCK, *marks.shape[2:]).transpose(2, 0, 3, 1)
        logits = pixels.reshape(marks.shape[2] * _BLOCK, -1)[:rows, :columns]
        coarse = kinds[0].argmax(axis=0).astype(np.uint8)
        step = marks.shape[2] * _BLOCK // coarse.shape[0]
        best = coarse.repeat(step, axis=0).repeat(step, axis=1)[:rows, :columns]
        if scale < 1:
            logits = np.asarray(cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
            best = np.asarray(cv2.resize(best, (width, height), interpolation=cv2.INTER_NEAREST), np.uint8)
        return logits, best

    def find(self, image: Image) -> tuple[list[Finding], dict[str, Mask]]:
        """Find the marks of a picture.

        Args:
            image: (H, W) or (H, W, 3) RGB, uint8.

        Returns:
            The marks with their scores, and one (H, W) bool mask per kind that was found.
        """
        logits, kinds = self.logits(image)
        return group_marks(logits, kinds, self.settings)


def find_learned(image: Image, weights: str = "") -> Detection:
    """Find burned-in marks with the network.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        weights: ONNX file; the one that comes with the package where empty.

    Returns:
        Findings and masks; nothing is removed here.
    """
    findings, masks = _of_this_thread(weights).find(image)
    return Detection(findings, masks, find_field(to_grey(image)))


@cache
def weights_hash(weights: str = "") -> str:
    """Return the first 16 hex digits of the SHA-256 of the weights and their settings."""
    path = Path(weights) if weights else WEIGHTS
    try:
        data = path.read_bytes() + path.with_suffix(".json").read_bytes()
    except OSError as error:
        raise _bad_weights(path, error) from None
    return hashlib.sha256(data).hexdigest()[:16]


def group_marks(
    logits: NDArray[np.float32], kinds: NDArray[np.uint8], settings: DetectorSettings
) -> tuple[list[Finding], dict[str, Mask]]:
    """Group the pixels of marks into marks with kind, box and score.

    Args:
        logits: (H, W) logits of "mark".
        kinds: (H, W) indices into `settings.kinds`.
        settings: Threshold and weights of the score.
    """
    masks = settle_kinds(logits, kinds, settings)
    return [found for kind, part in masks.items() for found in _marks_of_kind(part, kind, logits, settings)], masks


def settle_kinds(logits: NDArray[np.float32], kinds: NDArray[np.uint8], settings: DetectorSettings) -> dict[str, Mask]:
    """Return the pixels of marks by kind, as (H, W) bool masks.

    Args:
        logits: (H, W) logits of "mark".
        kinds: (H, W) indices into `settings.kinds`.
        settings: The threshold and the names of the kinds.
    """
    mask = np.asarray(logits > np.log(settings.threshold / (1 - settings.threshold)), bool)
    if not mask.any():
        return {}
    kinds = _agreed_kinds(mask, kinds, len(settings.kinds))
    return {settings.kinds[index]: np.asarray(mask & (kinds == index), bool) for index in np.unique(kinds[mask])}


def object_features(labels: NDArray[np.int32], logits: NDArray[np.float32], count: int) -> NDArray[np.float64]:
    """Return what the score of a mark is made of.

    Args:
        labels: (N,) label of each pixel of marks, from 1.
        logits: (N,) their logits.
        count: Largest label.

    Returns:
        (count, 4): 1, mean logit, largest logit, logarithm of the number of pixels.
    """
    area = np.bincount(labels, minlength=count + 1)[1:]
    total = np.bincount(labels, logits, minlength=count + 1)[1:]
    largest = np.full(count + 1, -np.inf)
    np.maximum.at(largest, labels, logits)
    counted = np.maximum(area, 1)
    return np.column_stack([np.ones(count), total / counted, largest[1:], np.log(counted)])


def label_marks(part: Mask, kind: str) -> tuple[int, NDArray[np.int32]]:
    """Label the marks of one kind: pixels that touch, or lie as near as letters of a word or dots of a line do."""
    reach = _REACH.get(kind, _USUAL_REACH)
    near = cv2.dilate(part.astype(np.uint8), np.ones((reach, reach), np.uint8))
    count, labels = cv2.connectedComponents(near, connectivity=8)
    return count - 1, np.asarray(labels, np.int32)


def _marks_of_kind(part: Mask, kind: str, logits: NDArray[np.float32], settings: DetectorSettings) -> list[Finding]:
    count, labels = label_marks(part, kind)
    rows, columns = np.nonzero(part)
    own = labels[rows, columns]
    features = object_features(own, logits[rows, columns], count)
    scores = 1 / (1 + np.exp(-features @ np.asarray(settings.score)))
    low = np.full((count + 1, 2), np.iinfo(np.int64).max)
    high = np.zeros((count + 1, 2), np.int64)
    places = np.column_stack([columns, rows])
    np.minimum.at(low, own, places)
    np.maximum.at(high, own, places)
    return [
        Finding(
            kind,
            int(low[label, 0]),
            int(low[label, 1]),
            int(high[label, 0] - low[label, 0]) + 1,
            int(high[label, 1] - low[label, 1]) + 1,
            round(float(scores[label - 1]), 4),
            DETECTOR_NAME,
            removed=False,
        )
        for label in range(1, count + 1)
    ]


def _agreed_kinds(mask: Mask, kinds: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """Let the pixels of a patch agree on a kind, where it is small or most of them do."""
    patches, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    place = np.flatnonzero(mask)
    patch = labels.ravel()[place]
    votes = np.bincount(patch * count + kinds.ravel()[place], minlength=patches * count).reshape(patches, count)
    total = votes.sum(axis=1)
    agreed = (votes.max(axis=1) >= _MAJORITY * total) | (total <= _SMALL_PATCH)
    out = kinds.copy()
    out.ravel()[place] = np.where(agreed[patch], votes.argmax(axis=1)[patch], kinds.ravel()[place])
    return out


def _blocks(image: Image) -> NDArray[np.float32]:
    """Return a picture as the network reads it: (1, 12, H / 2, W / 2), 0 to 1, mirrored up to a multiple of 16."""
    below, right = (-side % _MULTIPLE for side in image.shape[:2])
    if below or right:
        image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101), np.uint8)
    height, width = image.shape[:2]
    scaled = np.multiply(image, 1 / 255, dtype=np.float32)
    if image.ndim == 2:
        scaled = np.repeat(scaled[..., None], 3, axis=2)
    blocks = scaled.reshape(height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK, 3).transpose(4, 1, 3, 0, 2)
    return np.ascontiguousarray(blocks.reshape(1, 3 * _BLOCK**2, height // _BLOCK, width // _BLOCK))


def _read_network(data: bytes) -> Any:
    buffer = np.frombuffer(data, np.uint8)
    # OpenCV 5 has a second engine, which takes longer for a network this small.
    engine = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    return cv2.dnn.readNetFromONNX(buffer) if engine is None else cv2.dnn.readNetFromONNX(buffer, engine)


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
