import cv2
import numpy as np
import pytest

from radrefine.marks import DRAWN_KINDS, Style, add_clutter, composite, draw_marks
from radrefine.marks.fields import lay_out
from radrefine.marks.views import rescaled
from radrefine.phantoms import make_phantom
from radrefine.schema import KINDS


@pytest.fixture(scope="module")
def tissue():
    grey = make_phantom("US/breast/cyst", np.random.default_rng(0), (160, 200))
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("seed", range(40))
def test_the_background_is_untouched_outside_the_mask_but_for_a_faint_fringe(tissue, seed):
    made = composite(tissue if seed % 2 else tissue[..., 0], np.random.default_rng(seed), size=(128, 128))
    change = np.abs(made.image.astype(int) - made.clean).reshape(128, 128, -1).max(axis=2)
    far = cv2.dilate(made.mask.astype(np.uint8), np.ones((17, 17), np.uint8)) == 0
    assert np.quantile(change[far], 0.99) <= 12  # JPEG carries a mark's ringing, and its colour, as far as its block
    assert np.quantile(change[~made.mask], 0.99) <= 40


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
    known = {1 + KINDS.index(finding.kind) for finding in made.findings}
    assert set(np.unique(made.kind_map)) - {0} <= known


@pytest.mark.parametrize("size", [(100, 120), (300, 260)])
def test_letters_on_a_bar_stay_letters_when_the_screen_is_scaled(size):
    clean = np.zeros((200, 200), np.uint8)
    for seed in range(40):
        marked = draw_marks(clean, np.random.default_rng(seed), ["ui_bar", "text"], count=1, style=Style(scale=1.5))
        words = np.asarray(marked.kind_map == 1 + KINDS.index("text"))
        if words.any() and (marked.kind_map == 1 + KINDS.index("ui_bar")).any():
            break
    scaled = rescaled(marked, size, np.random.default_rng(0))
    there = cv2.resize(words.astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST) > 0
    there &= scaled.mask
    assert there.any() and (scaled.kind_map[there] == 1 + KINDS.index("text")).all()


@pytest.mark.parametrize("shape", [(96, 128), (192, 192), (400, 640)])
def test_any_size_can_be_made(tissue, shape):
    for seed in range(6):
        made = composite(tissue, np.random.default_rng(seed), size=shape)
        assert made.image.shape == (*shape, 3) and made.mask.shape == shape and made.image.dtype == np.uint8


def test_every_kind_comes_up(tissue):
    seen = {
        finding.kind
        for seed in range(120)
        for finding in composite(tissue, np.random.default_rng(seed), size=(160, 160)).findings
    }
    assert seen == set(DRAWN_KINDS)


def test_scans_lie_on_their_screens_in_many_ways_and_black_is_outside_them(tissue):
    forms = set()
    for seed in range(60):
        scene = lay_out(tissue, np.random.default_rng(seed), (150, 170))
        assert scene.picture.shape == (150, 170, 3)
        if scene.field is not None:
            assert not scene.picture[scene.field == 0].any()
        forms.add((scene.field is None, scene.layout.tissue))
    assert len(forms) == 3


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
