import numpy as np
import pytest

from radrefine.marks import add_clutter, composite
from radrefine.phantoms import make_phantom


@pytest.fixture(scope="module")
def tissue():
    grey = make_phantom("US/breast/cyst", np.random.default_rng(0), (160, 200))
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("seed", range(25))
def test_the_truth_fits_the_picture_whatever_was_done_to_it(tissue, seed):
    made = composite(tissue if seed % 2 else tissue[..., 0], np.random.default_rng(seed), size=(128, 144))
    assert made.image.shape[:2] == made.clean.shape[:2] == made.mask.shape == made.kind_map.shape == (128, 144)
    np.testing.assert_array_equal(made.kind_map > 0, made.mask)
    boxes = np.zeros_like(made.mask)
    for finding in made.findings:
        assert finding.x >= 0 and finding.x + finding.width <= 144 and finding.width > 0
        assert finding.y >= 0 and finding.y + finding.height <= 128 and finding.height > 0
        boxes[finding.y : finding.y + finding.height, finding.x : finding.x + finding.width] = True
    assert (made.mask & ~boxes).sum() <= 0.02 * made.mask.sum()  # a shrunk mark may smear a pixel past its box


def test_the_same_seed_makes_the_same_composite(tissue):
    first, second = (composite(tissue, np.random.default_rng(11)) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.mask, second.mask)
    assert first.findings == second.findings


def test_the_share_of_pictures_without_marks_is_kept(tissue):
    assert not any(composite(tissue, np.random.default_rng(seed), unmarked=1.0).mask.any() for seed in range(5))
    marked = [composite(tissue, np.random.default_rng(seed), unmarked=0.0).mask.any() for seed in range(20)]
    assert sum(marked) >= 18


def test_the_clean_picture_is_left_alone(tissue):
    before = tissue.copy()
    composite(tissue, np.random.default_rng(2))
    add_clutter(tissue, np.random.default_rng(2))
    np.testing.assert_array_equal(tissue, before)


@pytest.mark.parametrize("seed", range(6))
def test_clutter_brightens_some_tissue_and_keeps_the_kind_of_image(tissue, seed):
    for image in (tissue, tissue[..., 0]):
        cluttered = add_clutter(image, np.random.default_rng(seed), count=3)
        assert cluttered.shape == image.shape and cluttered.dtype == np.uint8
        assert 0 < (cluttered != image).mean() < 0.8
