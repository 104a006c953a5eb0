"""White ink is taken where the network is unsure; bright tissue, sure tissue and what was found stay as they are."""

import cv2
import numpy as np
import pytest

from radrefine.artifacts.learned.detector import find_learned
from radrefine.artifacts.learned.vivid import complete_vivid
from radrefine.records import Image

LEAST = -2.2


def _tissue(seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).rayleigh(50.0, (120, 140)).clip(0, 140).astype(np.uint8)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 1.2), np.uint8)


def test_ticks_that_each_border_cuts_off_are_raised() -> None:
    image = _tissue()
    logits = np.full(image.shape, -5.0, np.float32)
    for place in ((slice(0, 2), slice(40, 43)), (slice(-2, None), slice(90, 93)), (slice(60, 63), slice(0, 2))):
        image[place] = 255
    raised = complete_vivid(image, logits, LEAST)
    white = (image == 255).astype(np.uint8)
    np.testing.assert_array_equal(raised > 0, white > 0)
    np.testing.assert_array_equal(raised > LEAST, cv2.dilate(white, np.ones((3, 3), np.uint8)) > 0)
    assert (logits == -5).all()


def test_the_core_of_a_solid_mark_is_raised_unless_the_network_drew_it() -> None:
    image = _tissue()
    cv2.fillConvexPoly(image, np.array([[60, 50], [72, 56], [60, 62]]), 250)
    logits = np.full(image.shape, -9.0, np.float32)
    ink = image == 250
    logits[ink] = -1.0
    logits[50:63, 60] = 1.0  # the network saw one side
    raised = complete_vivid(np.repeat(image[..., None], 3, axis=2), logits, LEAST)
    assert (raised[ink] > 0).all()
    near = cv2.dilate(ink.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    np.testing.assert_array_equal(raised[~near], logits[~near])

    logits[ink] = 4.0
    logits[50:63, 60] = 1.0
    assert complete_vivid(image, logits, LEAST) is logits


@pytest.mark.parametrize(("bright", "logit"), [(150, -1.0), (255, -20.0)])
def test_what_is_grey_and_what_the_network_holds_for_tissue_is_left(bright: int, logit: float) -> None:
    image = _tissue()
    image[0:2, 40:43] = bright
    logits = np.full(image.shape, logit, np.float32)
    assert complete_vivid(image, logits, LEAST) is logits


def test_echoes_that_fade_and_large_bright_areas_are_left() -> None:
    image = _tissue().astype(np.float64)
    rows, columns = np.mgrid[:120, :140]
    image += 190 * np.exp(-((rows - 60) ** 2 + (columns - 70) ** 2) / 50)
    image[90:100, :] = 255
    logits = np.full(image.shape, -2.5, np.float32)
    assert complete_vivid(image.clip(0, 255).astype(np.uint8), logits, LEAST) is logits


def test_ticks_cut_off_by_the_border_are_found_by_the_detector() -> None:
    image = _tissue(3)
    ticks = [(slice(0, 2), slice(x, x + 3)) for x in range(20, 130, 30)]
    for tick in ticks:
        image[tick] = 255
    found = np.logical_or.reduce(list(find_learned(image).masks.values()))
    assert all(found[tick].all() for tick in ticks)
