"""Samples for training: made from their number alone, with truth in place."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from radrefine.detector.backgrounds import Backgrounds, load_backgrounds
from radrefine.detector.dataset import Composites, pixel_weights
from radrefine.errors import SourceError, UsageError


@pytest.fixture(scope="module")
def phantoms() -> Backgrounds:
    return load_backgrounds([], phantoms=6, size=96)[0]


def _data(backgrounds: Backgrounds, count: int = 12) -> Composites:
    return Composites(backgrounds, np.ones(len(backgrounds.pictures)), 0, 0, count, 64)


def test_a_sample_is_the_same_whenever_it_is_made(phantoms: Backgrounds) -> None:
    data = _data(phantoms)
    forward = [data[index] for index in range(4)]
    backward = [data[index] for index in reversed(range(4))]

    for first, again in zip(forward, reversed(backward), strict=True):
        for one, other in zip(first, again, strict=True):
            np.testing.assert_array_equal(one, other)


def test_samples_have_marks_and_clean_ones_are_among_them(phantoms: Backgrounds) -> None:
    data = _data(phantoms, 24)
    samples = [data[index] for index in range(24)]

    assert all(image.shape == (64, 64, 3) and image.dtype == np.uint8 for image, _, _ in samples)
    marked = [bool(kinds.any()) for _, kinds, _ in samples]
    assert any(marked) and not all(marked)
    assert all(kinds.max() <= 9 and weights.shape == kinds.shape for _, kinds, weights in samples)


def test_small_marks_count_for_more_than_large_ones() -> None:
    mask = np.zeros((64, 64), bool)
    mask[2:4, 2:4] = mask[20:60, 20:60] = True
    weights = pixel_weights(mask)

    assert weights[2, 2] > weights[0, 0] == 1 > weights[30, 30]


def test_validation_sees_other_pictures_than_training(tmp_path: Path) -> None:
    folder = tmp_path / "thyroid"
    folder.mkdir()
    for number in range(7):
        cv2.imwrite(str(folder / f"{number}.png"), np.full((32, 32), 10 + number, np.uint8))
    train, validation = load_backgrounds([folder], phantoms=0)

    levels = [{int(picture[0, 0]) for picture in part.real} for part in (train, validation)]
    assert not levels[0] & levels[1] and len(levels[0] | levels[1]) == 7
    assert train.sources == (("thyroid", 7), ("phantoms", 0))


def test_known_marks_of_a_background_are_filled(tmp_path: Path) -> None:
    for name in ("clean", "clean_masks"):
        (tmp_path / name).mkdir()
    image = np.full((40, 40), 80, np.uint8)
    image[10:14, 10:14] = 255
    cv2.imwrite(str(tmp_path / "clean/a.png"), image)
    cv2.imwrite(str(tmp_path / "clean_masks/a.png"), (image == 255).astype(np.uint8) * 255)
    train, validation = load_backgrounds([tmp_path / "clean"], phantoms=0)

    assert (train.real + validation.real)[0].max() < 90


def test_organs_can_be_left_out(tmp_path: Path) -> None:
    everything = load_backgrounds([], phantoms=40, size=32)[0]
    without = load_backgrounds([tmp_path / "hip_clean"], leave_out=["hip"], phantoms=40, size=32)[0]

    assert without.sources == (("phantoms", 40),) and len(everything.phantoms) == len(without.phantoms)
    with pytest.raises(UsageError, match="leave out less"):
        load_backgrounds([], leave_out=["us"])


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="expected images"):
        load_backgrounds([tmp_path])
