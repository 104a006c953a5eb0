"""Straight grey lines: a frame of which a part was found is taken whole, tissue beside it is not."""

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.learned.straight import complete_straight
from radrefine.phantoms import make_phantom
from radrefine.records import Image

_LEAST = -2.0


def _framed() -> tuple[Image, NDArray[np.bool_]]:
    image = np.minimum(make_phantom("US/breast/cyst", np.random.default_rng(3), (160, 160)), 180)
    frame = np.zeros(image.shape, np.uint8)
    cv2.rectangle(frame, (20, 30), (140, 120), 1, 1)
    image[frame > 0] = 240
    return image, frame > 0


def _logits(found: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(found, 3.0, -6.0).astype(np.float32)


def test_a_frame_of_which_a_part_was_found_is_taken_whole_and_nothing_else() -> None:
    image, frame = _framed()
    columns, rows = np.meshgrid(np.arange(160), np.arange(160))
    part = frame & ((columns % 30 < 8) | (rows % 30 < 8))

    for picture in (image, np.repeat(image[..., None], 3, axis=2)):
        whole = complete_straight(picture, _logits(part), _LEAST)
        np.testing.assert_array_equal(whole > _LEAST, frame)
        np.testing.assert_allclose(whole[frame], 3.0)


def test_too_little_found_of_a_line_raises_nothing() -> None:
    image, frame = _framed()
    part = frame & (np.arange(160) < 31)
    part[31:120] = False  # eleven pixels of each level side

    np.testing.assert_array_equal(complete_straight(image, _logits(part), _LEAST), _logits(part))


def test_the_edge_of_a_bright_area_is_no_line() -> None:
    image = np.full((160, 160), 40, np.uint8)
    image[80:, :] = 200  # stands out from above alone
    found = np.zeros(image.shape, bool)
    found[80, 20:60] = True

    np.testing.assert_array_equal(complete_straight(image, _logits(found), _LEAST), _logits(found))


def test_a_line_of_another_grey_is_not_joined() -> None:
    image = np.full((160, 160), 40, np.uint8)
    image[80, 20:60], image[80, 60:120] = 240, 150
    found = np.zeros(image.shape, bool)
    found[80, 20:40] = True

    taken = complete_straight(image, _logits(found), _LEAST) > _LEAST
    assert taken[80, 20:60].all() and taken.sum() == 40
