"""Temperature scaling: make the confidences of a classifier as high as it is right (Guo et al., ICML 2017)."""

import math
from typing import Final

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from pgnm.metrics import Floats, check_scores

TEMPERATURES: Final = (0.05, 20.0)
"""Range that a temperature is looked for in; validation images that are all right, or too few, would lead beyond it."""

_LEAST: Final = np.finfo(np.float64).tiny


def fit_temperature(target: ArrayLike, probability: ArrayLike) -> float:
    """Return the temperature at which the probabilities fit the targets best: that of the least cross-entropy.

    Args:
        target: (N,) class indices of images that the model was not trained on.
        probability: (N, C) class probabilities.

    Returns:
        A number within `TEMPERATURES`; above 1 the model was too sure, below 1 not sure enough.

    Raises:
        ValueError: The arrays do not fit each other or are no probabilities.
    """
    labels, scores = check_scores(target, probability)
    rows = np.arange(len(labels))

    # In the inverse temperature the cross-entropy is convex; in its logarithm it still has one minimum.
    def cross_entropy(logarithm: float) -> float:
        scaled = scale_by_temperature(scores, math.exp(logarithm))
        return float(-np.log(np.maximum(scaled[rows, labels], _LEAST)).mean())

    low, high = map(math.log, TEMPERATURES)
    found = minimize_scalar(cross_entropy, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)


def scale_by_temperature(probability: Floats, temperature: float) -> Floats:
    """Return the probabilities that logits divided by a temperature give; the order of the classes stays.

    Args:
        probability: (N, C) class probabilities.
        temperature: Above 0; 1 changes nothing.

    Returns:
        (N, C) float64; the rows sum to 1.
    """
    with np.errstate(divide="ignore"):
        logits = np.log(probability) / temperature
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
