"""Decide anew about the rims of what was found, pixel by pixel, in the picture itself.

The network sees pictures scaled, and draws rims a little wide. Along them a few numbers of the neighbourhood tell ink
from tissue better: what was left of a stroke shows, and what was taken of the tissue is missed by the fill.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.areas import window
from radrefine.artifacts.colours import to_grey
from radrefine.records import Image

# The rim is a pixel wide on either side; the next pixel may still be ink, and tells nothing about the tissue.
_NEXT: Final = np.ones((3, 3), np.uint8)
_APART: Final = np.ones((5, 5), np.uint8)
# The tissue around a pixel is what was not found in a square of this side, px. It varies by this much at least.
_AROUND: Final = (13, 13)
_LEAST_SPREAD: Final = 2.0
# A grey level that many spreads from the tissue's sticks out.
_FAR: Final = 3.0
# Logits beyond this are as good as sure.
_SURE: Final = 8.0
_LOGITS, _GREYS = 1, 2
FEATURES: Final = (2 * _LOGITS + 1) ** 2 + (2 * _GREYS + 1) ** 2 + 4
"""Numbers for a pixel: 9 logits, how far 25 grey levels stick out, its own, the tissue's, the spread, found or not."""

# What the network holds for more likely ink than not stays, or thin strokes, which are all rim, could vanish.
_LIKELY: Final = 0.0
# A pixel is ink from this probability on: a bit of ink that is left shows more than a bit of tissue that is filled.
_INK: Final = 0.3


class RimPixels(NamedTuple):
    """The pixels along the rims of what was found.

    Attributes:
        rows: (N,) rows.
        columns: (N,) columns.
        features: (N, FEATURES) float64.
    """

    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    features: NDArray[np.float64]


class Layer(NamedTuple):
    """Weights (inputs, outputs) and bias (outputs,) of a fully connected layer, float64."""

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]


class RimNetwork:
    """A perceptron that tells ink from tissue.

    Args:
        layers: From `FEATURES` inputs to one logit, with ReLU between them.

    Raises:
        ValueError: They do not fit together, or hold something that is no number.
    """

    def __init__(self, layers: Sequence[Layer]) -> None:
        sides = [FEATURES, *(layer.bias.size for layer in layers)]
        fits = [
            layer.bias.ndim == 1 and layer.weights.shape == (inputs, layer.bias.size)
            for layer, inputs in zip(layers, sides, strict=False)
        ]
        if not layers or not all(fits) or sides[-1] != 1:
            raise ValueError(f"the layers of the rims must lead from {FEATURES} inputs to 1, got {sides}")
        if not all(np.isfinite(values).all() for layer in layers for values in layer):
            raise ValueError("the layers of the rims hold numbers that are not finite")
        self.layers = tuple(layers)

    @classmethod
    def from_plain(cls, layers: Any) -> "RimNetwork":
        """Return the network of what `to_plain` returned, read from JSON, say.

        Raises:
            ValueError, KeyError, TypeError: It is something else.
        """
        return cls([Layer(*(np.array(layer[name], np.float64) for name in Layer._fields)) for layer in layers])

    def to_plain(self) -> list[dict[str, Any]]:
        """Return the layers as lists of numbers with 5 digits."""
        return [
            {"weights": [_digits(row) for row in layer.weights], "bias": _digits(layer.bias)} for layer in self.layers
        ]

    def settle(self, image: Image, logits: NDArray[np.float32], least: float) -> NDArray[np.float32]:
        """Decide anew about the pixels along the rims of what was found.

        Args:
            image: (H, W) or (H, W, 3), uint8.
            logits: (H, W) float32, of "mark".
            least: Logit above which a pixel counts as found.

        Returns:
            (H, W) float32, above `least` where there is ink; `logits` itself where nothing was found.
        """
        rim = rim_pixels(image, logits, least)
        if rim is None:
            return logits
        values = rim.features
        for layer in self.layers[:-1]:
            values = np.maximum(values @ layer.weights + layer.bias, 0)
        last = self.layers[-1]
        known = logits[rim.rows, rim.columns]
        fresh = (values @ last.weights + last.bias)[:, 0] + least - np.log(_INK / (1 - _INK))
        taken = (fresh > least) & (known <= least)
        left = (fresh <= least) & (known > least) & (known < _LIKELY)
        settled = logits.copy()
        settled[rim.rows, rim.columns] = np.where(taken, fresh, np.where(left, np.float32(least), known))
        return settled


def rim_pixels(image: Image, logits: NDArray[np.float32], least: float) -> RimPixels | None:
    """Return the pixels along the rims of what was found, one wide on either side; None where nothing was found.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        logits: (H, W) float32, of "mark".
        least: Logit above which a pixel counts as found.
    """
    found = (logits > least).view(np.uint8)
    if not found.any():
        return None
    part = _part_around(found)
    found, seen, grey = found[part], logits[part], to_grey(image[part])
    rim = cv2.subtract(cv2.dilate(found, _NEXT), cv2.erode(found, _NEXT))
    rows, columns = np.divmod(np.flatnonzero(rim.view(np.bool_)), rim.shape[1])
    level, spread = _tissue_around(grey, found, rows, columns)
    places = _places_around(rows, columns, rim.shape)
    inner = places[:, _GREYS - _LOGITS : _GREYS + _LOGITS + 1, _GREYS - _LOGITS : _GREYS + _LOGITS + 1]
    greys, near = (values.ravel().take(where) for values, where in ((grey, places), (seen, inner)))
    features = [
        np.clip(near.reshape(len(rows), (2 * _LOGITS + 1) ** 2), -_SURE, _SURE),
        np.tanh((greys.reshape(len(rows), (2 * _GREYS + 1) ** 2) - level[:, None]) / (_FAR * spread[:, None])),
        np.stack([grey[rows, columns], level, spread, found[rows, columns]], axis=1),
    ]
    return RimPixels(rows + part[0].start, columns + part[1].start, np.concatenate(features, axis=1, dtype=np.float64))


def _part_around(found: NDArray[np.uint8]) -> tuple[slice, slice]:
    """Return the part of the picture that the features of the rims depend on."""
    return window(cv2.boundingRect(found), _AROUND[0] // 2 + 1)


def _tissue_around(
    grey: Image, found: NDArray[np.uint8], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return mean and spread of the grey levels around each pixel, of the tissue; where there is none, it is black."""
    tissue = np.asarray(cv2.threshold(cv2.dilate(found, _APART), 0, 255, cv2.THRESH_BINARY_INV)[1], np.uint8)
    kept = cv2.bitwise_and(grey, tissue)
    share = cv2.boxFilter(tissue, cv2.CV_32F, _AROUND)[rows, columns] / 255
    total = cv2.boxFilter(kept, cv2.CV_32F, _AROUND)[rows, columns]
    squares = cv2.sqrBoxFilter(kept, cv2.CV_32F, _AROUND)[rows, columns]
    known = share > 0.5 / (_AROUND[0] * _AROUND[1])
    share = np.where(known, share, np.float32(1))
    level = np.where(known, total / share, np.float32(0))
    variance = np.where(known, squares / share - level * level, np.float32(0))
    return level, np.sqrt(np.maximum(variance, 0)) + np.float32(_LEAST_SPREAD)


def _places_around(rows: NDArray[np.intp], columns: NDArray[np.intp], shape: tuple[int, ...]) -> NDArray[np.intp]:
    """Return (N, 5, 5), where in a flat picture the pixels around each one lie; beyond it, those of its border."""
    steps = np.arange(-_GREYS, _GREYS + 1)
    above = np.clip(rows[:, None] + steps, 0, shape[0] - 1)
    beside = np.clip(columns[:, None] + steps, 0, shape[1] - 1)
    return above[:, :, None] * shape[1] + beside[:, None, :]


def _digits(values: NDArray[np.float64]) -> list[float]:
    return [float(f"{value:.5g}") for value in values]
