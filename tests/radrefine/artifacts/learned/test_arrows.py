"""Arrows are known by their outline from a hint of the network's; other bright shapes, and tissue, stay."""

import math
from typing import Final

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from radrefine.artifacts.learned.arrows import complete_arrows
from radrefine.artifacts.learned.detector import Sight, find_learned, look_scale
from radrefine.records import Image

_LEAST = -2.2
# Corners from the tip on, along and across, in lengths; of other proportions than the detector's own outlines.
_ARROW: Final = np.array([(0, 0), (0.45, 0.28), (0.4, 0.1), (1, 0.08), (1, -0.08), (0.4, -0.1), (0.45, -0.28)])
_HEAD: Final = np.array([(0, 0), (0.6, 0.28), (0.4, 0), (0.6, -0.28)])
_TRIANGLE: Final = np.array([(0, 0), (0.5, 0.28), (0.5, -0.28)])


def _tissue(seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).rayleigh(50.0, (140, 160)).clip(0, 120).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2), np.uint8)


def _drawn(
    outline: NDArray[np.float64],
    turn: float,
    *,
    length: float = 36,
    hollow: bool = False,
    at: tuple[int, int] = (80, 70),
) -> tuple[Image, NDArray[np.bool_]]:
    """Return tissue with a shape on it, and its pixels."""
    across = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    corners = np.round((outline - outline.mean(axis=0)) @ across * length + at).astype(np.int32)
    ink = np.zeros((140, 160), np.uint8)
    if hollow:
        cv2.polylines(ink, [corners], True, 1, 1)
    else:
        cv2.fillPoly(ink, [corners], 1)
    image = _tissue()
    image[ink > 0] = 190
    return image, ink > 0


def _hint(ink: NDArray[np.bool_], level: float = -3.0) -> NDArray[np.float32]:
    """Return logits of a network that has no more than a hint of some pixels of a shape."""
    logits = np.full(ink.shape, -9.0, np.float32)
    rows, columns = np.nonzero(ink)
    logits[rows[:4], columns[:4]] = level
    return logits


@pytest.mark.parametrize("turn", [0.0, 0.7, 2.0, math.pi, 4.4])
@pytest.mark.parametrize("hollow", [False, True])
def test_arrows_of_every_turn_are_taken_from_a_hint(turn: float, hollow: bool) -> None:
    image, ink = _drawn(_ARROW, turn, hollow=hollow, length=52 if hollow else 36)
    logits = _hint(ink)
    near = cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0

    for picture in (image, np.repeat(image[..., None], 3, axis=2)):
        raised, arrows = complete_arrows(picture, logits, _LEAST)
        np.testing.assert_array_equal(arrows, near)
        np.testing.assert_array_equal(raised > _LEAST, near)
        np.testing.assert_array_equal(raised[~near], logits[~near])


@pytest.mark.parametrize("outline", [_HEAD, _TRIANGLE])
def test_bare_heads_and_focus_marks_are_arrows_also_where_the_border_cuts_them_off(
    outline: NDArray[np.float64],
) -> None:
    for at in ((80, 70), (150, 70)):
        image, ink = _drawn(outline, 0.0, at=at)
        assert ink.sum() > 50
        arrows = complete_arrows(image, _hint(ink), _LEAST)[1]
        assert at == (150, 70) or (arrows & ink).sum() == ink.sum()
        assert not (arrows & ~(cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)).any()


def test_without_a_hint_nothing_is_looked_at() -> None:
    image, ink = _drawn(_ARROW, 0.7)
    logits = _hint(ink, level=-5.0)
    raised, arrows = complete_arrows(image, logits, _LEAST)
    assert raised is logits and not arrows.any()


def test_other_bright_shapes_stay() -> None:
    for shape in ("disc", "bar", "ring", "soft"):
        ink = np.zeros((140, 160), np.uint8)
        if shape == "bar":
            cv2.rectangle(ink, (60, 60), (100, 66), 1, -1)
        else:
            cv2.circle(ink, (80, 70), 12, 1, 2 if shape == "ring" else -1)
        image = _tissue()
        image[ink > 0] = 190
        if shape == "soft":  # an echo in the shape of an arrow, that fades at its rim
            image, arrow = _drawn(_ARROW, 0.7)
            ink = arrow.astype(np.uint8)
            image = np.asarray(cv2.GaussianBlur(image, (0, 0), 4), np.uint8)
        logits = _hint(ink > 0)
        raised, arrows = complete_arrows(image, logits, _LEAST)
        assert raised is logits and not arrows.any(), shape


def test_tissue_full_of_hints_stays() -> None:
    for seed in range(4):
        image = _tissue(seed)
        logits = np.random.default_rng(seed).normal(-5, 1, image.shape).astype(np.float32).clip(max=-2.5)
        assert not complete_arrows(image, logits, _LEAST)[1].any()


def test_what_is_taken_for_an_arrow_is_called_one() -> None:
    image, ink = _drawn(_ARROW, 0.7)
    scale = look_scale(160)
    rows, columns = (-(-round(side * scale) // 16) * 16 for side in image.shape)
    marks = np.full((4, rows // 2, columns // 2), -9.0, np.float32)
    y, x = (int(place[0] * scale) // 2 for place in np.nonzero(ink))
    marks[:, y : y + 2, x - 1 : x + 2] = -3.0
    kinds = np.zeros((9, rows // 4, columns // 4), np.float32)
    kinds[2] = 1.0  # text, says the network

    detection = find_learned(image, sight=Sight(marks, kinds))
    assert [found.kind for found in detection.findings] == ["arrow"]
    assert (detection.masks["arrow"] & ink).sum() > 0.95 * ink.sum()
