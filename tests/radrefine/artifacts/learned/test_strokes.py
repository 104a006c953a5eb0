"""Letters too large for the network are taken whole from a part, and those in line with them; echoes stay."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from radrefine.artifacts.learned.strokes import complete_strokes
from radrefine.records import Image

_LEAST = -2.2


def _written(words: str = "TIRADS", grey: int = 240) -> tuple[Image, NDArray[np.bool_]]:
    """Return a dark picture with high letters on it, and the pixels of the letters."""
    ink = np.zeros((60, 200), np.uint8)
    cv2.putText(ink, words, (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 1, 1)
    ink = cv2.resize(ink, (200, 180), interpolation=cv2.INTER_NEAREST)  # three times as high
    image = np.random.default_rng(0).integers(10, 40, ink.shape).astype(np.uint8)
    image[ink > 0] = grey
    return image, ink > 0


def _logits(found: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(found, 1.0, -6.0).astype(np.float32)


def test_a_word_is_taken_whole_from_a_part_of_one_letter() -> None:
    image, ink = _written()
    part = ink.copy()
    part[:, 24:] = False
    part[70:] = False  # the upper part of the first letter

    for picture in (image, np.repeat(image[..., None], 3, axis=2)):
        raised = complete_strokes(picture, _logits(part), _LEAST)
        np.testing.assert_array_equal(raised > _LEAST, ink)
        np.testing.assert_array_equal(raised[~ink], -6.0)


def test_letters_on_another_line_and_far_away_stay() -> None:
    image, ink = _written("TI")
    image[20:60, 150:154] = image[120:170, 60:64] = 240  # neither begins and ends where the letters do
    image[:, 195:] = 10
    other = image == 240
    part = ink.copy()
    part[:, 18:] = False

    np.testing.assert_array_equal(complete_strokes(image, _logits(part), _LEAST) > _LEAST, ink)
    assert (other & ~ink).sum() > 300


def test_an_echo_that_a_mark_touches_stays() -> None:
    image = np.random.default_rng(0).integers(10, 60, (120, 160)).astype(np.uint8)
    rows, columns = np.mgrid[:120, :160]
    echo = np.exp(-(((rows - 60) / 8) ** 2) - ((columns - 80) / 30) ** 2)
    image = np.maximum(image, (230 * echo).astype(np.uint8))
    image[40:81, 80] = 250
    mark = image == 250
    logits = _logits(mark)
    assert complete_strokes(image, logits, _LEAST) is logits


@pytest.mark.parametrize("grey", [100, 240])
def test_without_anything_found_and_where_letters_are_dim_nothing_is_raised(grey: int) -> None:
    image, ink = _written(grey=grey)
    logits = _logits(ink & False if grey == 240 else ink & (np.arange(200) < 60))
    assert complete_strokes(image, logits, _LEAST) is logits
