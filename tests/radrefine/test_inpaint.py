"""Fills: true on what they are made for, the rest of the picture untouched."""

from typing import get_args

import cv2
import numpy as np
import pytest
from skimage.restoration import inpaint_biharmonic

from radrefine.errors import UsageError
from radrefine.inpaint import Method, inpaint
from radrefine.records import Image

METHODS = get_args(Method)


def _speckle(seed: int = 0) -> Image:
    noise = np.random.default_rng(seed).rayleigh(60.0, (128, 128)).clip(0, 150).astype(np.uint8)
    return cv2.GaussianBlur(noise, (5, 5), 1.2)


@pytest.mark.parametrize("method", METHODS)
def test_a_fill_of_a_constant_image_is_nearly_constant(method: Method) -> None:
    mask = np.zeros((40, 60), bool)
    mask[10:20, 30:34] = mask[2, 2] = True

    filled = inpaint(np.where(mask, 255, 77).astype(np.uint8), mask, method=method)
    # OpenCV's Telea rounds along the way; two grey levels is what it leaves.
    assert np.abs(filled.astype(int) - 77).max() <= 2


@pytest.mark.parametrize("method", METHODS)
def test_pixels_outside_the_mask_keep_their_values(method: Method) -> None:
    image = np.random.default_rng(3).integers(0, 256, (60, 70, 3), np.uint8)
    mask = np.random.default_rng(4).random((60, 70)) < 0.1

    filled = inpaint(image, mask, method=method)
    np.testing.assert_array_equal(filled[~mask], image[~mask])
    assert filled.shape == image.shape and not np.array_equal(filled, image)


def test_a_fill_on_crops_equals_a_fill_of_the_whole_image() -> None:
    image, mask = _speckle(5), np.zeros((128, 128), bool)
    mask[60:64, 20:50] = mask[100:103, 100:103] = True

    whole = cv2.inpaint(image, mask.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    np.testing.assert_array_equal(inpaint(image, mask)[mask], whole[mask])
    smooth = np.rint(inpaint_biharmonic(image, mask) * 255)
    np.testing.assert_allclose(inpaint(image, mask, method="biharmonic")[mask], smooth[mask], atol=1)


def test_biharmonic_continues_a_slope() -> None:
    ramp = np.tile(np.arange(20, 84, dtype=np.uint8), (64, 1))
    mask = np.zeros((64, 64), bool)
    mask[20:40, 24:40] = True

    filled = inpaint(np.where(mask, 255, ramp).astype(np.uint8), mask, method="biharmonic")
    assert np.abs(filled.astype(int) - ramp).max() <= 1


def test_biharmonic_fills_grey_in_colours_as_grey_and_colours_each() -> None:
    grey, mask = _speckle(6), np.zeros((128, 128), bool)
    mask[30:36, 30:60] = True
    single = inpaint(grey, mask, method="biharmonic")
    three = inpaint(np.repeat(grey[..., None], 3, axis=2), mask, method="biharmonic")
    np.testing.assert_array_equal(three, np.repeat(single[..., None], 3, axis=2))

    colour = np.stack([grey, grey // 2, grey // 3], axis=2)
    filled = inpaint(colour, mask, method="biharmonic")
    np.testing.assert_array_equal(filled[..., 0], single)
    assert np.abs(filled[..., 1].astype(int) - single // 2).max() <= 2


@pytest.mark.parametrize("method", METHODS)
def test_a_picture_that_is_all_hole_and_one_with_a_large_hole_are_filled(method: Method) -> None:
    assert inpaint(_speckle(7)[:20, :20], np.ones((20, 20), bool), method=method).shape == (20, 20)
    mask = np.zeros((128, 128), bool)
    mask[:, 20:100] = True
    filled = inpaint(_speckle(7), mask, method=method)
    assert np.abs(filled[mask].mean() - _speckle(7)[~mask].mean()) < 20


def test_what_cannot_be_filled_is_told() -> None:
    with pytest.raises(UsageError, match="shape"):
        inpaint(_speckle(), np.zeros((3, 3), bool))
    with pytest.raises(UsageError, match="--method"):
        inpaint(_speckle(), np.zeros((128, 128), bool), method="guess")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="radius"):
        inpaint(_speckle(), np.zeros((128, 128), bool), radius=0)
