"""Measure what cleaning leaves of the label leak: can a classifier still tell which pictures carried marks?"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.response import to_grey
from radrefine.bench.baselines import Remover
from radrefine.errors import UsageError
from radrefine.marks import composite
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.records import Image

_QUANTILES: Final = (0.0, 0.001, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0)
_TREES: Final = 300


@dataclass(frozen=True, slots=True)
class LeakReport:
    """How well a classifier tells marked from unmarked pictures that it was not trained on.

    Attributes:
        pictures: Pictures that it was tested on, half of them marked.
        before: AUROC on the pictures as they come.
        after: AUROC by remover, when both kinds of pictures went through it; trained anew on such pictures.
    """

    pictures: int
    before: float
    after: dict[str, float]


def measure_leak(
    backgrounds: Sequence[Image],
    removers: dict[str, Remover],
    *,
    count: int = 300,
    size: int = 256,
    seed: int = 0,
    progress: ProgressCallback = ignore_progress,
) -> LeakReport:
    """Train a classifier on half of the backgrounds and test it on the other half.

    Every composite is paired with the same picture without marks, so that only the marks, or what is left of them,
    tell the two apart. The features are quantiles of local responses: strokes stand out, fills are smooth.

    Args:
        backgrounds: Clean pictures, 4 or more; even ones train, odd ones test.
        removers: What cleans the pictures, by name.
        count: Pairs in all.
        size: Side of the pictures, px.
        seed: Of the composites.
        progress: Called after every pair.

    Raises:
        UsageError: Too few backgrounds.
    """
    if len(backgrounds) < 4:
        raise UsageError(f"the leak needs 4 clean images or more, got {len(backgrounds)}; name a fuller --clean")
    ways = {"before": None, **removers}
    rows: dict[str, list[NDArray[np.float64]]] = {name: [] for name in ways}
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        pair = composite(backgrounds[number % len(backgrounds)], rng, size=(size, size), unmarked=0.0)
        for name, remover in ways.items():
            for image in (pair.image, pair.clean):
                rows[name].append(texture_features(image if remover is None else remover(image)[1]))
        progress(Progress("leak", number + 1, count))
    train = (np.arange(count) % len(backgrounds) % 2 == 0).repeat(2)
    marked = np.tile([True, False], count)
    scores = {name: _auroc(np.stack(features), marked, train) for name, features in rows.items()}
    return LeakReport(int((~train).sum()), scores.pop("before"), scores)


def texture_features(image: Image) -> NDArray[np.float64]:
    """Return quantiles, over the picture, of how much strokes stand out and of how smooth and how rough it is."""
    grey = to_grey(image)
    floats = grey.astype(np.float32)
    maps = [np.abs(cv2.Laplacian(floats, cv2.CV_32F)), _spread(floats, 5), _spread(floats, 9)]
    for side in (5, 9, 15):
        element = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
        maps += [cv2.morphologyEx(floats, way, element) for way in (cv2.MORPH_TOPHAT, cv2.MORPH_BLACKHAT)]
    if image.ndim == 3:
        maps.append(image.max(axis=2).astype(np.float32) - image.min(axis=2))
    else:
        maps.append(np.zeros_like(floats))
    # Black surroundings are smooth in every picture.
    inside = cv2.blur(floats, (9, 9)) > 8
    inside = inside if inside.any() else np.ones_like(inside)
    return np.concatenate([np.quantile(values[inside], _QUANTILES) for values in maps])


def _spread(values: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    mean = cv2.blur(values, (side, side))
    return np.sqrt(np.maximum(cv2.blur(values * values, (side, side)) - mean * mean, 0)).astype(np.float32)


def _auroc(features: NDArray[np.float64], marked: NDArray[np.bool_], train: NDArray[np.bool_]) -> float:
    from sklearn.ensemble import ExtraTreesClassifier
    from sklearn.metrics import roc_auc_score

    model = ExtraTreesClassifier(_TREES, min_samples_leaf=2, random_state=0, n_jobs=1)
    model.fit(features[train], marked[train])
    return float(roc_auc_score(marked[~train], model.predict_proba(features[~train])[:, 1]))
