"""Even areas: a bar that was found in part is taken whole, and nothing else is."""

import cv2
import numpy as np
import pytest

from radrefine.artifacts.even import complete_even

LEAST = -1.0


def _tissue(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 140, (64, 80)).astype(np.uint8)


def _seen(found: tuple[slice, slice], logit: float = 3.0) -> np.ndarray:
    logits = np.full((64, 80), -5.0, np.float32)
    logits[found] = logit
    return logits


@pytest.mark.parametrize("coded", [False, True])
def test_a_bar_found_by_a_third_is_taken_whole_with_the_logit_of_that_third(coded: bool) -> None:
    image, bar = _tissue(), np.s_[48:64, 10:70]
    image[bar] = 60
    if coded:
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_GRAYSCALE)
    logits = _seen(np.s_[48:64, 10:36])
    after = complete_even(image, logits, LEAST)

    inside = np.s_[48:64, 16:64]  # the blocks of JPEG that lie wholly in the bar
    assert (after[inside] == pytest.approx(3.0)) and (after >= logits).all()
    away = np.ones(image.shape, bool)
    away[45:, 7:73] = False
    np.testing.assert_array_equal(after[away], logits[away])


def test_less_than_a_third_of_an_area_is_left_alone() -> None:
    image = _tissue()
    image[32:] = 0  # the black beside a scan, with some letters on it
    logits = _seen(np.s_[40:48, 4:40])

    np.testing.assert_array_equal(complete_even(image, logits, LEAST), logits)


def test_grainy_tissue_around_a_mark_is_left_alone() -> None:
    logits = _seen(np.s_[20:30, 20:30])

    np.testing.assert_array_equal(complete_even(_tissue(), logits, LEAST), logits)


def test_saturated_echoes_are_left_alone() -> None:
    image = _tissue()
    image[10:30, 10:30] = 255
    logits = _seen(np.s_[10:30, 10:22])

    np.testing.assert_array_equal(complete_even(image, logits, LEAST), logits)


def test_where_nothing_was_found_nothing_is_taken() -> None:
    image, logits = np.full((64, 80, 3), 90, np.uint8), np.full((64, 80), -5.0, np.float32)

    assert complete_even(image, logits, LEAST) is logits
