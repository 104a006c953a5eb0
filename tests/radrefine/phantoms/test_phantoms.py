import numpy as np
import pytest

from radrefine.errors import UsageError
from radrefine.phantoms import PHANTOMS, make_phantom, ultrasound_phantom


@pytest.mark.parametrize("name", PHANTOMS)
def test_every_phantom_is_a_picture_with_contrast(name):
    image = make_phantom(name, np.random.default_rng(1), (64, 80))
    assert image.shape == (64, 80) and image.dtype == np.uint8
    assert image.std() > 10


@pytest.mark.parametrize("name", ["US/breast/cyst", "US/heart", "CT/head/normal", "MR/knee/effusion", "XR/hand/normal"])
def test_the_same_seed_gives_the_same_phantom_and_another_seed_another(name):
    first, again, other = (make_phantom(name, np.random.default_rng(seed), (64, 64)) for seed in (4, 4, 5))
    np.testing.assert_array_equal(first, again)
    assert (first != other).mean() > 0.2


def test_a_cyst_is_dark_and_bright_behind():
    shown = np.zeros(8)
    for seed in range(8):
        cyst = ultrasound_phantom(np.random.default_rng(seed), (128, 128), "breast/cyst").astype(float)
        plain = ultrasound_phantom(np.random.default_rng(seed), (128, 128), "breast/normal").astype(float)
        shown[seed] = (cyst[:90] < 12).sum() - (plain[:90] < 12).sum()
    assert np.median(shown) > 150


def test_a_skull_is_brighter_than_the_brain_within():
    for seed in range(4):
        image = ultrasound_phantom(np.random.default_rng(seed), (160, 160), "fetal_head").astype(float)
        assert np.percentile(image, 99) > 2.5 * image[60:100, 60:100].mean()


def test_sectors_differ_in_depth_and_opening():
    black = {
        (ultrasound_phantom(np.random.default_rng(seed), (96, 96), "ovary") == 0).sum() // 200 for seed in range(8)
    }
    assert len(black) >= 4


def test_a_sector_is_black_outside_its_beams():
    image = ultrasound_phantom(np.random.default_rng(0), (128, 128), "heart")
    assert not image[:10, :30].any() and not image[:10, -30:].any()
    assert image[40:100, 50:80].any()


def test_speckle_has_the_statistics_of_an_envelope():
    from radrefine.phantoms.acoustics import Probe, Tissue, _decibels, beam_space

    probe = Probe(looks=1, noise=-90.0, tgc=0.0)
    space = beam_space(probe, 256, 256)
    level = _decibels(Tissue(space, np.zeros(space.shape, np.float32)), probe, np.random.default_rng(0))
    power = 10 ** (level[20:-20, 20:-20] / 10)
    assert power.mean() == pytest.approx(1, rel=0.1)
    # The power of fully developed speckle is exponential: its spread equals its mean.
    assert power.std() / power.mean() == pytest.approx(1, abs=0.1)


def test_unknown_phantoms_and_small_sizes_are_refused():
    with pytest.raises(UsageError, match="no phantom called 'US/toe'"):
        make_phantom("US/toe", np.random.default_rng(0))
    with pytest.raises(UsageError, match="32 px"):
        make_phantom("US/hip", np.random.default_rng(0), (16, 64))
    with pytest.raises(UsageError, match="no ultrasound phantom"):
        ultrasound_phantom(np.random.default_rng(0), scene="toe")
