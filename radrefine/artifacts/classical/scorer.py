"""Score regions: how likely each is a mark, and of which kind.

Two small layered networks, a few microseconds per region. The first sees a region alone; the second sees beside it what
the first thinks of its neighbours: letters stand in rows, calipers in pairs, all marks of a screen in one ink.
"""

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.classical.regions import FEATURES, Regions
from radrefine.schema import KINDS

Rows = NDArray[np.float32]

CLASSES: Final = ("none", *(kind for kind in KINDS if kind != "outlier"))
"""What a region can be, in the order of the columns of scores."""

CONTEXT: Final = (
    "best_in_row",
    "sum_in_row",
    "best_near",
    "best_overlapping",
    "marked_area",
    "ink_difference",
    "best_alike",
)
"""Names of the columns of `describe_context`."""

WEIGHTS: Final = Path(__file__).parent / "scorer.json"

# Regions that the first network gives less are not looked at again; of the others the best ones only.
_LEAST: Final = 0.02
_MOST_REGIONS: Final = 250


@dataclass(frozen=True, slots=True)
class Layers:
    """A network of fully connected layers with rectified linear units and a softmax at its end.

    Attributes:
        shift: (F,) subtracted from the features.
        scale: (F,) that they are then multiplied by.
        weights: Per layer (inputs, outputs).
        biases: Per layer (outputs,).
    """

    shift: Rows
    scale: Rows
    weights: tuple[Rows, ...]
    biases: tuple[Rows, ...]

    def __call__(self, features: Rows) -> Rows:
        """Return (N, len(CLASSES)) probabilities of (N, F) features."""
        hidden = (features - self.shift) * self.scale
        # A feature far from all that was seen in fitting must not carry the answer alone.
        hidden = np.clip(hidden, -6, 6)
        for weight, bias in zip(self.weights[:-1], self.biases[:-1], strict=True):
            hidden = np.maximum(hidden @ weight + bias, 0)
        logits = hidden @ self.weights[-1] + self.biases[-1]
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)


@dataclass(frozen=True, slots=True)
class Scorer:
    """Both networks, of a region alone and of a region among others, and what makes marks' scores probabilities.

    Attributes:
        alone: Sees the features of a region.
        among: Sees them, the scores of the first and the context.
        calibration: Slope and intercept on the logit of a mark's mean score (Platt scaling on validation composites).
    """

    alone: Layers
    among: Layers
    calibration: tuple[float, float] = (1.0, 0.0)

    def calibrated(self, score: float) -> float:
        """Turn the mean score of a mark's regions into the probability that it is a mark."""
        clipped = min(max(score, 1e-4), 1 - 1e-4)
        slope, intercept = self.calibration
        return float(1 / (1 + np.exp(-(slope * np.log(clipped / (1 - clipped)) + intercept))))

    def __call__(self, regions: Regions) -> Rows:
        """Score regions.

        Args:
            regions: See `find_regions`.

        Returns:
            (N, len(CLASSES)) float32; each row adds up to 1, the first column is "no mark".
        """
        if not len(regions):
            return np.zeros((0, len(CLASSES)), np.float32)
        scores = self.alone(regions.features)
        chosen = promising(scores)
        if len(chosen):
            context = describe_context(regions, scores, chosen)
            scores[chosen] = self.among(np.concatenate([regions.features[chosen], scores[chosen], context], axis=1))
        return scores


@cache
def load_scorer(path: Path = WEIGHTS) -> Scorer:
    """Load the weights that `radrefine.artifacts.classical.fit` wrote."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    if stored["features"] != list(FEATURES) or stored["classes"] != list(CLASSES):
        raise ValueError(f"{path} was fitted for other features or kinds; fit it again")
    slope, intercept = stored.get("calibration", (1.0, 0.0))
    return Scorer(_layers(stored["alone"]), _layers(stored["among"]), (slope, intercept))


def _layers(stored: dict) -> Layers:
    def rows(values: list) -> Rows:
        return np.asarray(values, np.float32)

    return Layers(
        rows(stored["shift"]),
        rows(stored["scale"]),
        tuple(rows(weight) for weight in stored["weights"]),
        tuple(rows(bias) for bias in stored["biases"]),
    )


def promising(scores: Rows) -> NDArray[np.int64]:
    """Return the numbers of the regions worth a second look, at most 250."""
    mark = 1 - scores[:, 0]
    chosen = np.flatnonzero(mark >= _LEAST)
    if len(chosen) > _MOST_REGIONS:
        chosen = chosen[np.argsort(-mark[chosen], kind="stable")[:_MOST_REGIONS]]
    return chosen


def describe_context(regions: Regions, scores: Rows, chosen: NDArray[np.int64]) -> Rows:
    """Describe each chosen region by what the others among them are.

    Args:
        regions: All regions of the image.
        scores: (N, len(CLASSES)) of the first network.
        chosen: (M,) numbers of the regions to describe.

    Returns:
        (M, len(CONTEXT)) float32.
    """
    x, y, width, height, pixels = regions.boxes[chosen].T.astype(np.float32)
    value = regions.features[chosen, FEATURES.index("mean_value")]
    mark = 1 - scores[chosen, 0]
    gap_x = np.maximum(x[:, None], x) - np.minimum((x + width)[:, None], x + width)
    gap_y = np.maximum(y[:, None], y) - np.minimum((y + height)[:, None], y + height)
    overlapping = (gap_x < 0) & (gap_y < 0)
    apart = ~overlapping
    like_height = np.abs(np.log(height[:, None] / height)) < 0.5
    level = np.abs((y + height)[:, None] - (y + height)) <= 0.25 * height[:, None] + 1
    in_row = apart & like_height & level & (gap_x <= 1.5 * height[:, None] + 1)
    near = apart & (np.maximum(gap_x, gap_y) <= 2 * np.maximum(width, height)[:, None] + 4)
    np.fill_diagonal(overlapping, False)
    shape = np.log(np.stack([width, height, pixels]))
    distance = np.abs(shape[:, :, None] - shape[:, None, :]).sum(axis=0) + np.abs(value[:, None] - value) / 40
    weight = np.where(apart, mark * pixels, 0)
    total = weight.sum(axis=1)
    ink = (weight @ value) / np.maximum(total, 1e-6)
    return np.stack(
        [
            (in_row * mark).max(axis=1, initial=0),
            np.minimum((in_row * mark).sum(axis=1), 8),
            (near * mark).max(axis=1, initial=0),
            (overlapping * mark).max(axis=1, initial=0),
            np.log1p(total),
            np.where(total > 1, np.abs(ink - value), 128),
            (apart * mark * np.exp(-distance)).max(axis=1, initial=0),
        ],
        axis=1,
    ).astype(np.float32)
