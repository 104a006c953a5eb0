"""Coloured lines on grey pictures: taken whole once a part was found; flow and tints left alone."""

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.coloured import complete_coloured
from radrefine.phantoms import make_phantom
from radrefine.records import Image

_LEAST = -2.0


def _picture() -> Image:
    grey = make_phantom("US/breast/cyst", np.random.default_rng(3), (160, 160))
    return np.repeat(grey[..., None], 3, axis=2)


def _framed() -> tuple[Image, NDArray[np.bool_]]:
    """Return a picture with a dim yellow frame, and which pixels the frame has."""
    image = _picture()
    frame = np.zeros(image.shape[:2], np.uint8)
    cv2.rectangle(frame, (30, 40), (120, 110), 1, 1)
    image[frame > 0] = 90, 90, 60
    return image, frame > 0


def _logits(found: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(found, 3.0, -6.0).astype(np.float32)


def test_a_frame_is_taken_whole_and_nothing_else() -> None:
    image, frame = _framed()
    part = frame.copy()
    part[:95] = False  # the lower quarter alone was found

    whole = complete_coloured(image, _logits(part), _LEAST)
    np.testing.assert_array_equal(whole > _LEAST, frame)
    np.testing.assert_allclose(whole[frame], 3.0)


def test_a_line_of_which_little_was_found_stays() -> None:
    image, frame = _framed()
    part = np.zeros_like(frame)
    part[40, 30:60] = True
    given = _logits(part)

    assert complete_coloured(image, given, _LEAST) is given


def test_flow_and_tints_are_no_lines() -> None:
    image = _picture()
    cv2.circle(image, (80, 80), 12, (200, 40, 20), -1)
    given = _logits(np.asarray(image[..., 0] != image[..., 1]) & (np.arange(160) < 80))
    np.testing.assert_array_equal(complete_coloured(image, given, _LEAST), given)

    tinted, frame = _framed()
    tinted = np.asarray(tinted * np.array([1, 0.9, 0.7]), np.uint8)
    given = _logits(frame & (np.arange(160) > 60))
    assert complete_coloured(tinted, given, _LEAST) is given


def test_grey_pictures_are_passed_on() -> None:
    image, frame = _framed()
    given = _logits(frame)

    assert complete_coloured(np.ascontiguousarray(image[..., 0]), given, _LEAST) is given
    assert complete_coloured(_picture(), given, _LEAST) is given
