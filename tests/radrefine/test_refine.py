"""Refining one image: marks go, everything else stays to the bit."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from radrefine.errors import UsageError
from radrefine.records import Image
from radrefine.refine import RefineOptions, refine_image


def _speckle(seed: int = 0, level: float = 60.0) -> Image:
    rng = np.random.default_rng(seed)
    return cv2.GaussianBlur(rng.rayleigh(level, (128, 128)).clip(0, 150).astype(np.uint8), (5, 5), 1.2)


def _with_crosses(image: Image) -> Image:
    marked = image.copy()
    for x, y in ((40, 50), (90, 80)):
        marked[y, x - 6 : x + 7] = marked[y - 6 : y + 7, x] = 230
    return marked


def test_two_crosses_on_speckle_are_found_and_removed() -> None:
    image = _speckle()
    result = refine_image(_with_crosses(image))

    centres = {(found.x + found.width // 2, found.y + found.height // 2) for found in result.findings}
    assert {"caliper"} == {found.kind for found in result.findings if found.width < 20}
    assert all(any(abs(x - cx) < 3 and abs(y - cy) < 3 for cx, cy in centres) for x, y in ((40, 50), (90, 80)))
    assert np.abs(result.image.astype(int) - image).max() < 120


def test_speckle_alone_is_left_untouched() -> None:
    image = _speckle(1)
    result = refine_image(image)

    assert not result.mask.any()
    np.testing.assert_array_equal(result.image, image)


def test_a_bright_round_echo_is_no_mark() -> None:
    image, disc = _speckle(2), np.zeros((128, 128), np.uint8)
    cv2.circle(disc, (64, 64), 9, 255, -1, cv2.LINE_AA)
    # Echoes have grain and soft edges, ink has neither.
    soft = cv2.GaussianBlur(disc, (0, 0), 1.0) / 255
    image = (image * (1 - soft) + (205 + _speckle(4) / 3) * soft).astype(np.uint8)

    assert not refine_image(image).mask.any()
    assert not refine_image(image, RefineOptions(detector="classical")).mask.any()


@pytest.mark.parametrize("channels", [1, 3])
def test_pixels_outside_the_mask_stay_to_the_bit(channels: int) -> None:
    image = _with_crosses(_speckle(3))
    if channels == 3:
        image = np.stack([image, image // 2, image // 3], axis=2)
        image[..., 1:] = image[..., 1:] + np.array([3, 5], np.uint8)
    result = refine_image(image)

    assert result.image.shape == image.shape and result.image.dtype == np.uint8
    np.testing.assert_array_equal(result.image[~result.mask], image[~result.mask])


def test_nothing_is_removed_when_no_kind_is_asked_for() -> None:
    image = _with_crosses(_speckle())
    result = refine_image(image, RefineOptions(remove=()))

    np.testing.assert_array_equal(result.image, image)
    assert result.findings and not any(found.removed for found in result.findings)


def test_the_same_image_gives_the_same_result() -> None:
    image = _with_crosses(_speckle(4))
    first, second = refine_image(image), refine_image(image)

    np.testing.assert_array_equal(first.image, second.image)
    assert first.findings == second.findings


def test_wrong_options_name_the_flag() -> None:
    with pytest.raises(UsageError, match="--remove"):
        RefineOptions(remove=("caliperr",))
    with pytest.raises(UsageError, match="--min-score"):
        RefineOptions(min_score=2)
    with pytest.raises(UsageError, match="--method 'magic'"):
        RefineOptions(method="magic")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="--radius"):
        RefineOptions(radius=0)


def test_real_images_lose_their_labels(shared_data: Path) -> None:
    folder = shared_data / "artifacts"
    hits = []
    for path in sorted((folder / "busi_artifact").glob("*.png")):
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        truth = cv2.imread(str(folder / "busi_artifact_masks" / path.name), cv2.IMREAD_GRAYSCALE)
        assert image is not None and truth is not None
        mask = refine_image(np.asarray(image, np.uint8)).mask
        hits.append(bool((mask & (truth > 0)).any()))
    assert np.mean(hits) > 0.6


@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_picture_of_one_level_shows_no_mark(level: int) -> None:
    image = np.full((120, 160), level, np.uint8)
    image[::7, ::5] += 8 if level < 200 else 0
    result = refine_image(image)
    assert not result.findings and not result.mask.any() and (result.image == image).all()


def test_grey_in_three_colours_comes_out_as_grey_would() -> None:
    grey = _with_crosses(np.random.default_rng(3).integers(30, 90, (160, 160), np.uint8))
    alone, coloured = refine_image(grey), refine_image(np.repeat(grey[..., None], 3, axis=2))

    np.testing.assert_array_equal(coloured.image, np.repeat(alone.image[..., None], 3, axis=2))
    np.testing.assert_array_equal(coloured.mask, alone.mask)
    assert coloured.findings == alone.findings and coloured.mask.any()
