"""Colour that coding spread around marks goes with them; tints, flow and marks that are kept stay."""

from typing import get_args

import cv2
import numpy as np
import pytest

from radrefine.fringe import grey_but_for, spread_colour
from radrefine.inpaint import Method, inpaint
from radrefine.marks.draw import jpeg_coded
from radrefine.phantoms import make_phantom
from radrefine.records import Image, Mask
from radrefine.refine import refine_image

_NONE = np.zeros((160, 160), bool)


def _picture() -> Image:
    grey = make_phantom("US/breast/cyst", np.random.default_rng(3), (160, 160))
    return np.repeat(grey[..., None], 3, axis=2)


def _marked(image: Image, colour: tuple[int, int, int] = (240, 220, 40)) -> tuple[Image, Mask]:
    """Return a picture with a cross, coded, and which pixels the cross has."""
    cross = np.zeros(image.shape[:2], np.uint8)
    cv2.drawMarker(cross, (60, 70), 1, cv2.MARKER_CROSS, 21, 2)
    image = image.copy()
    image[cross > 0] = colour
    return jpeg_coded(image, 80), cross > 0


def _seen_colour(image: Image) -> int:
    return int((np.ptp(image, axis=2) >= 16).sum())


def test_the_colour_around_a_mark_is_found_and_nothing_far_from_it() -> None:
    image, cross = _marked(_picture())
    fringe = spread_colour(image, cross, _NONE)

    np.testing.assert_array_equal(fringe, (np.ptp(image, axis=2) >= 16) & ~cross)
    assert fringe.sum() > 50


def test_a_refined_picture_shows_no_colour_where_a_mark_was() -> None:
    image, cross = _marked(_picture())
    result = refine_image(image)

    assert result.mask[cross].mean() > 0.9
    assert _seen_colour(image) > 200
    assert _seen_colour(result.image) == 0
    np.testing.assert_array_equal(result.image[~result.mask], image[~result.mask])


def test_the_mask_alone_makes_the_same_picture() -> None:
    image, _ = _marked(_picture())
    result = refine_image(image)

    np.testing.assert_array_equal(inpaint(image, result.mask), result.image)


@pytest.mark.parametrize("method", get_args(Method))
def test_holes_of_grey_pictures_are_filled_with_grey(method: Method) -> None:
    image, cross = _marked(_picture())
    hole = np.asarray(cv2.dilate(cross.view(np.uint8), np.ones((3, 3), np.uint8)) > 0)
    filled = inpaint(image, hole, method=method)

    assert np.ptp(image[hole], axis=1).max() > 100
    assert np.ptp(filled[hole], axis=1).max() == 0
    np.testing.assert_array_equal(filled[~hole], image[~hole])


def test_grey_marks_and_grey_pictures_have_no_fringe() -> None:
    image, cross = _marked(_picture(), (230, 230, 230))

    assert not spread_colour(image, cross, _NONE).any()
    assert not grey_but_for(np.ascontiguousarray(image[..., 0]), cross).any()
    assert not grey_but_for(image, _NONE).any()


@pytest.mark.parametrize("what", ["tint", "flow all over"])
def test_pictures_with_colours_of_their_own_keep_them(what: str) -> None:
    picture = _picture()
    if what == "tint":
        picture = np.rint(picture * np.array([1, 0.9, 0.75])).astype(np.uint8)
    else:
        for x, y in np.ndindex(4, 4):
            cv2.circle(picture, (20 + 40 * x, 20 + 40 * y), 6, (200, 40, 20), -1)
    image, cross = _marked(picture)

    assert not grey_but_for(image, cross).any()
    assert not spread_colour(image, cross, _NONE).any()


def test_flow_keeps_its_colour_and_what_coding_tinted_far_from_it_goes() -> None:
    picture = _picture()
    cv2.circle(picture, (74, 112), 6, (200, 40, 20), -1)
    picture[62:66, 80:84] = 110, 70, 66  # faint flow
    image, cross = _marked(picture)
    fringe = spread_colour(image, cross, _NONE)
    filled = inpaint(image, cross | fringe)

    far = np.zeros_like(cross)
    far[50:80, 40:72] = True
    assert _seen_colour(image[50:80, 40:72]) > 200
    assert _seen_colour(filled[50:80, 40:72]) < 30
    assert fringe[far].sum() > 30
    assert not fringe[104:120, 66:82].any() and not fringe[62:66, 80:84].any()


def test_marks_that_are_kept_keep_the_colour_around_them() -> None:
    image, cross = _marked(_picture())
    other = np.zeros_like(cross)
    other[65:75, 100:110] = True
    image[other] = 90, 110, 90
    near = cv2.dilate(other.view(np.uint8), np.ones((33, 33), np.uint8)) > 0
    image[100, 60:75] = 90, 110, 90  # seen, and near the cross alone
    image[70, 90:95] = 90, 110, 90
    fringe = spread_colour(image, cross, other)

    assert fringe[~near].any()
    assert not fringe[near].any()
