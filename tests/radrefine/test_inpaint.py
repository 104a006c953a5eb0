"""Fills: true on what they are made for, the rest of the picture untouched."""

from typing import get_args

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.restoration import inpaint_biharmonic

from radrefine.errors import UsageError
from radrefine.inpaint import Method, inpaint
from radrefine.records import Image, Mask
from radrefine.texture import fill_texture

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
    np.testing.assert_array_equal(inpaint(image, mask, method="telea")[mask], whole[mask])
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


def _layers(shape: tuple[int, int] = (160, 160), seed: int = 0) -> Image:
    """Return speckle three times as long as it is high, on grey that gets darker downwards."""
    noise = np.random.default_rng(seed).normal(0, 1, shape)
    grain = cv2.GaussianBlur(noise, (0, 0), sigmaX=3.0, sigmaY=1.0)
    depth = np.linspace(170, 90, shape[0])[:, None]
    return np.rint(depth * (1 + 0.15 * grain / grain.std())).clip(0, 255).astype(np.uint8)


def _strokes(shape: tuple[int, int] = (160, 160)) -> Mask:
    mask = np.zeros(shape, np.uint8)
    for y in range(20, shape[0] - 20, 30):
        cv2.line(mask, (20, y), (40, y + 15), 1, 3)
        cv2.line(mask, (90, y - 8), (90, y + 8), 1, 3)
        cv2.line(mask, (82, y), (98, y), 1, 3)
    return mask > 0


def test_texture_is_truer_than_telea_and_as_rough_as_the_tissue() -> None:
    true, mask = _layers(), _strokes()
    marked = np.where(mask, 255, true).astype(np.uint8)

    psnr, roughness = {}, {}
    for method in METHODS:
        filled = inpaint(marked, mask, method=method).astype(float)
        psnr[method] = 10 * np.log10(255**2 / np.mean((filled - true)[mask] ** 2))
        roughness[method] = np.abs(cv2.Laplacian(filled, cv2.CV_64F))[mask].mean()
    tissue = np.abs(cv2.Laplacian(true.astype(float), cv2.CV_64F))[mask].mean()
    assert psnr["texture"] > max(psnr["telea"], psnr["navier-stokes"]) + 1
    assert abs(roughness["texture"] - tissue) < min(abs(roughness[name] - tissue) for name in METHODS[1:])


def test_texture_without_speckle_or_layers_is_nearly_the_biharmonic_surface() -> None:
    image, mask = cv2.GaussianBlur(_speckle(8), (0, 0), 2.0), np.zeros((128, 128), bool)
    mask[60:64, 20:50] = mask[90:96, 100:103] = True

    smooth = np.rint(inpaint_biharmonic(image, mask) * 255)
    difference = np.abs(fill_texture(image, mask, strength=0) - smooth)[mask]
    assert difference.mean() < 1.5


@pytest.mark.parametrize("share", [0.02, 0.3, 0.8])
def test_texture_without_speckle_is_the_surface_that_bends_least(share: float) -> None:
    rng = np.random.default_rng(int(100 * share))
    # What equals its mirror image changes alike along rows and columns: both weigh the same.
    image, mask = rng.integers(0, 256, (17, 17), np.uint8), rng.random((17, 17)) < share
    image, mask = np.maximum(image, image.T), mask & mask.T
    mask[0, :2] = mask[:2, 0] = True

    side, places = len(image), np.arange(image.size)
    bend = np.zeros((image.size, image.size))
    for step, inside in ((1, places % side < side - 1), (side, places < image.size - side)):
        for one in places[inside]:
            bend[[one, one + step], [one, one + step]] += 1
            bend[[one, one + step], [one + step, one]] -= 1
    pull = bend @ bend + 0.05 * bend
    hole, known = mask.ravel(), np.where(mask, 0, image).ravel().astype(float)
    known[hole] = np.linalg.solve(pull[np.ix_(hole, hole)], -(pull @ known)[hole])

    expected = np.rint(known.clip(0, 255)).reshape(image.shape)
    np.testing.assert_array_equal(fill_texture(image, mask, strength=0), expected)


def test_texture_continues_slopes_and_adds_no_speckle_to_what_has_none() -> None:
    ramp = np.add.outer(np.arange(20, 84), 2 * np.arange(20, 84)).astype(np.uint8)
    mask = np.zeros((64, 64), bool)
    mask[20:30, 24:40] = mask[0, 0] = True

    filled = inpaint(np.where(mask, 255, ramp).astype(np.uint8), mask)
    assert np.abs(filled.astype(int) - ramp)[20:30, 24:40].max() <= 1


def test_speckle_is_as_strong_as_that_beside_each_hole() -> None:
    halves = _layers()
    halves[:, :80] = 0
    filled = inpaint(halves, _strokes())
    assert not filled[:, :70][_strokes()[:, :70]].any()
    assert filled[:, 81:][_strokes()[:, 81:]].std() > 5


def test_texture_is_the_same_again_and_depends_on_no_pixel_of_the_hole() -> None:
    true, mask = _layers(seed=1), _strokes()
    filled = inpaint(np.where(mask, 255, true).astype(np.uint8), mask)
    np.testing.assert_array_equal(inpaint(np.where(mask, 7, true).astype(np.uint8), mask), filled)
    np.testing.assert_array_equal(inpaint(filled, mask), filled)


def test_a_coloured_mark_is_filled_as_a_white_one() -> None:
    true, mask = _layers(seed=3), _strokes()
    filled = inpaint(np.where(mask, 255, true).astype(np.uint8), mask)
    marked = np.repeat(true[..., None], 3, axis=2)
    marked[mask] = 250, 220, 30

    np.testing.assert_array_equal(inpaint(marked, mask), np.repeat(filled[..., None], 3, axis=2))


def test_texture_fills_grey_in_colours_as_grey_and_keeps_a_tint() -> None:
    grey, mask = _layers(seed=2), _strokes()
    single = inpaint(grey, mask)
    np.testing.assert_array_equal(
        inpaint(np.repeat(grey[..., None], 3, axis=2), mask), np.repeat(single[..., None], 3, 2)
    )

    tinted = np.rint(grey[..., None] * np.array([1.0, 0.8, 0.6])).astype(np.uint8)
    filled = inpaint(tinted, mask)[mask].astype(float)
    np.testing.assert_allclose(filled[:, 1:], filled[:, :1] * [0.8, 0.6], atol=3)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 40), st.floats(0, 1), st.integers(0, 99))
def test_any_hole_of_any_picture_is_filled(height: int, width: int, share: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    image, mask = rng.integers(0, 256, (height, width), np.uint8), rng.random((height, width)) < share

    filled = inpaint(image, mask)
    np.testing.assert_array_equal(filled[~mask], image[~mask])
    assert filled.shape == image.shape


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
