"""Coloured ink on grey pictures: taken whole; flow and tints left alone."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from radrefine.artifacts.learned.coloured import complete_coloured
from radrefine.marks.draw import jpeg_coded
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


def test_ink_is_taken_though_nothing_was_found() -> None:
    image, frame = _framed()

    taken = complete_coloured(image, np.full(frame.shape, -6.0, np.float32), _LEAST)
    np.testing.assert_array_equal(taken > _LEAST, frame)


@pytest.mark.parametrize(("quality", "stray"), [(95, 0.01), (80, 0.2)])
def test_coded_ink_is_taken_with_little_around_it(quality: int, stray: float) -> None:
    image = _picture()
    ink = np.zeros(image.shape[:2], np.uint8)
    cv2.line(ink, (50, 50), (110, 90), 1, 2)
    image[ink > 0] = 210, 120, 160

    taken = complete_coloured(jpeg_coded(image, quality), np.full(ink.shape, -6.0, np.float32), _LEAST) > _LEAST
    assert (taken & (ink > 0)).sum() > 0.95 * ink.sum()
    near = cv2.dilate(ink, np.ones((5, 5), np.uint8)) > 0
    assert (taken & ~near).sum() <= stray * taken.sum()


def test_thick_ink_is_taken_where_it_is_too_pale_for_flow() -> None:
    for colour, taken_whole in (((150, 150, 120), True), ((220, 60, 40), False)):
        image = _picture()
        ink = np.zeros(image.shape[:2], np.uint8)
        cv2.circle(ink, (80, 80), 9, 1, -1)
        image[ink > 0] = colour
        taken = complete_coloured(image, np.full(ink.shape, -6.0, np.float32), _LEAST) > _LEAST
        np.testing.assert_array_equal(taken, (ink > 0) & taken_whole)


def test_faint_ink_beside_flow_stays() -> None:
    image, frame = _framed()
    nothing = np.full(frame.shape, -6.0, np.float32)
    cv2.ellipse(image, (70, 130), (12, 7), 20, 0, 360, (200, 40, 20), -1)

    np.testing.assert_array_equal(complete_coloured(image, nothing, _LEAST), nothing)


def test_a_bar_of_colours_is_taken_whole() -> None:
    image = _picture()
    shades = np.linspace(0, 1, 60)[None, :, None]
    image[20:30, 40:100] = (shades * (250, 250, 0) + (1 - shades) * (160, 0, 0)).astype(np.uint8)
    bar = np.zeros(image.shape[:2], bool)
    bar[20:30, 40:100] = True

    taken = complete_coloured(image, _logits(bar & (np.arange(160) < 60)), _LEAST)
    np.testing.assert_array_equal(taken > _LEAST, bar)


def test_flow_and_tints_are_no_lines() -> None:
    image = _picture()
    cv2.circle(image, (80, 80), 12, (200, 40, 20), -1)
    given = _logits(np.asarray(image[..., 0] != image[..., 1]) & (np.arange(160) < 80))
    np.testing.assert_array_equal(complete_coloured(image, given, _LEAST), given)

    tinted, frame = _framed()
    tinted = np.asarray(tinted * np.array([1, 0.9, 0.7]), np.uint8)
    given = _logits(frame & (np.arange(160) > 60))
    assert complete_coloured(tinted, given, _LEAST) is given


def test_the_echoes_of_a_tinted_scan_on_black_are_no_ink() -> None:
    image = np.zeros((320, 320, 3), np.uint8)
    image[:160, :160] = np.rint(_picture() * np.array([1, 0.95, 0.85])).astype(np.uint8)
    nothing = np.full(image.shape[:2], -6.0, np.float32)

    assert (np.ptp(image, axis=2) >= 14).sum() > 100
    assert complete_coloured(image, nothing, _LEAST) is nothing


def test_grey_pictures_are_passed_on() -> None:
    image, frame = _framed()
    given = _logits(frame)

    assert complete_coloured(np.ascontiguousarray(image[..., 0]), given, _LEAST) is given
    assert complete_coloured(_picture(), given, _LEAST) is given


def test_flow_that_a_frame_runs_into_stays_and_a_bar_of_many_hues_goes() -> None:
    image = _picture()
    frame, vessel, bar = (np.zeros(image.shape[:2], np.uint8) for _ in range(3))
    cv2.rectangle(frame, (30, 40), (120, 110), 1, 1)
    cv2.line(vessel, (60, 108), (100, 108), 1, 5)
    bar[20:110, 140:148] = 1
    image[vessel > 0] = 170, 40, 30
    image[frame > 0] = 60, 90, 200
    heat = np.linspace(0, 1, 90)[:, None, None]
    image[20:110, 140:148] = (heat * (250, 220, 0) + (1 - heat) * (0, 60, 250)).astype(np.uint8)
    found = (frame > 0) & (np.arange(160) < 90)[:, None] | (bar > 0) & (np.arange(160) < 45)[:, None]

    taken = complete_coloured(image, _logits(found), _LEAST) > _LEAST

    np.testing.assert_array_equal(taken, (frame > 0) | (bar > 0))
