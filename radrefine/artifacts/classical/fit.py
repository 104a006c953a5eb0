"""Fit the scorer of regions to images whose marks are known."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.classical.regions import FEATURES, JOINED_LAYERS, Regions, find_regions
from radrefine.artifacts.classical.response import measure_response
from radrefine.artifacts.classical.roi import find_field
from radrefine.artifacts.classical.scorer import CLASSES, Layers, describe_context, promising
from radrefine.records import Image

# A region is a mark where this share of it is, and none where less than the second is; between them nobody can say.
_MARK_SHARE: Final = 0.8
_TISSUE_SHARE: Final = 0.6
# The gaps between strokes count as marked where their filling is judged.
_GAP: Final = 7
_DIGITS: Final = 4


class Example(NamedTuple):
    """One image to learn from.

    Attributes:
        image: (H, W) or (H, W, 3), uint8.
        kind_map: (H, W) uint8, 0 outside marks, else the number of the kind in `CLASSES`; 255 = nobody knows.
        weight: How much its regions count.
    """

    image: Image
    kind_map: NDArray[np.uint8]
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class _Described:
    regions: Regions
    classes: NDArray[np.int64]
    weight: float


def fit_scorer(examples: Iterable[Example], *, hidden: tuple[int, int] = (48, 32), seed: int = 0) -> dict[str, Any]:
    """Fit both networks of the scorer.

    Args:
        examples: Images with their truth, marked and unmarked ones in the proportion of a collection.
        hidden: Units of the two hidden layers.
        seed: Of the initial weights and the order of the rows.

    Returns:
        What `load_scorer` reads, ready for JSON.
    """
    return _fit_both([_describe(example) for example in examples], hidden, seed)


def _fit_both(described: list["_Described"], hidden: tuple[int, int], seed: int) -> dict[str, Any]:
    alone = _fit_layers([one.regions.features for one in described], described, hidden, seed)
    contexts, chosen = [], []
    for one in described:
        scores = alone(one.regions.features)
        numbers = promising(scores)
        rows = [one.regions.features[numbers], scores[numbers], describe_context(one.regions, scores, numbers)]
        contexts.append(np.concatenate(rows, axis=1))
        chosen.append(_Described(one.regions, one.classes[numbers], one.weight))
    among = _fit_layers(contexts, chosen, hidden, seed)
    return {
        "features": list(FEATURES),
        "classes": list(CLASSES),
        "alone": _stored(alone),
        "among": _stored(among),
    }


def fit_calibration(scores: NDArray[np.float64], is_mark: NDArray[np.bool_]) -> tuple[float, float]:
    """Fit what makes the scores of findings probabilities (Platt scaling).

    Args:
        scores: (N,) mean scores of the regions of each finding, not calibrated, 0 to 1.
        is_mark: (N,) whether it is a mark.

    Returns:
        Slope and intercept on the logit.
    """
    from sklearn.linear_model import LogisticRegression

    clipped = scores.clip(1e-4, 1 - 1e-4)
    fitted = LogisticRegression(C=1e4).fit(np.log(clipped / (1 - clipped))[:, None], is_mark)
    return float(fitted.coef_[0, 0]), float(fitted.intercept_[0])


def _describe(example: Example) -> _Described:
    response = measure_response(example.image)
    regions = find_regions(response, find_field(response.value))
    classes = true_classes(regions, example.kind_map)
    # The planes of labels are large and no longer needed.
    return _Described(replace(regions, labels=()), classes, example.weight)


def true_classes(regions: Regions, kind_map: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Return the true class of each region, -1 where the truth is mixed or unknown."""
    classes = np.full(len(regions), -1)
    joined = cv2.morphologyEx(kind_map, cv2.MORPH_CLOSE, np.ones((_GAP, _GAP), np.uint8))
    for layer, labels in enumerate(regions.labels):
        here = np.flatnonzero(regions.places[:, 0] == layer)
        if not len(here):
            continue
        count = int(labels.max()) + 1
        owners = labels.ravel()
        truth = joined if layer in JOINED_LAYERS else kind_map
        kinds = np.zeros((count, len(CLASSES)), np.float32)
        unknown = np.bincount(owners, weights=truth.ravel() == 255, minlength=count)
        for kind in np.unique(kind_map):
            if kind < len(CLASSES):
                kinds[:, kind] = np.bincount(owners, weights=truth.ravel() == kind, minlength=count)
        kinds, unknown = kinds[regions.places[here, 1]], unknown[regions.places[here, 1]]
        pixels = regions.boxes[here, 4]
        share = kinds[:, 1:].sum(axis=1) / pixels
        found = np.where(share >= _MARK_SHARE, 1 + kinds[:, 1:].argmax(axis=1), -1)
        found[share < _TISSUE_SHARE] = 0
        found[unknown > 0.2 * pixels] = -1
        classes[here] = found
    return classes


def _fit_layers(rows: list[NDArray], described: list[_Described], hidden: tuple[int, int], seed: int) -> Layers:
    from sklearn.neural_network import MLPClassifier

    known = [one.classes >= 0 for one in described]
    features = np.concatenate([row[keep] for row, keep in zip(rows, known, strict=True)]).astype(np.float32)
    classes = np.concatenate([one.classes[keep] for one, keep in zip(described, known, strict=True)])
    weights = np.concatenate([np.full(int(keep.sum()), one.weight) for one, keep in zip(described, known, strict=True)])
    shift, scale = features.mean(axis=0), 1 / np.maximum(features.std(axis=0), 1e-3)
    network = MLPClassifier(
        hidden, alpha=1e-3, batch_size=1024, learning_rate_init=3e-3, max_iter=14, random_state=seed, tol=0
    )
    # Every class must have been seen, in their order; one row each, too light to matter, says which there are.
    features = np.concatenate([np.clip((features - shift) * scale, -6, 6), np.zeros((len(CLASSES), features.shape[1]))])
    classes = np.concatenate([classes, np.arange(len(CLASSES))])
    weights = np.concatenate([weights, np.full(len(CLASSES), 1e-6)])
    network.fit(features, classes, sample_weight=weights)
    return Layers(
        shift,
        scale.astype(np.float32),
        tuple(np.asarray(weight, np.float32) for weight in network.coefs_),
        tuple(np.asarray(bias, np.float32) for bias in network.intercepts_),
    )


def _stored(layers: Layers) -> dict[str, Any]:
    return {
        "shift": _rounded(layers.shift),
        "scale": _rounded(layers.scale),
        "weights": [_rounded(weight) for weight in layers.weights],
        "biases": [_rounded(bias) for bias in layers.biases],
    }


def _rounded(values: NDArray) -> Any:
    return np.round(values.astype(float), _DIGITS).tolist()
