import cv2
import numpy as np
import pytest

from radrefine.errors import UsageError
from radrefine.marks import DRAWN_KINDS, Layout, Style, draw_marks
from radrefine.marks.calipers import SHAPES, draw_caliper
from radrefine.marks.fonts import FONTS, text_coverage
from radrefine.marks.ink import stamp
from radrefine.marks.lines import Pattern, draw_line
from radrefine.schema import KINDS


def tissue(shape, seed=0):
    """Grey noise with the grain of speckle, dark enough that every mark shows."""
    noise = np.random.default_rng(seed).normal(60, 30, shape[:2])
    grey = np.clip(cv2.GaussianBlur(noise, (0, 0), 1.2), 0, 120).astype(np.uint8)
    return grey if len(shape) == 2 else np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("shape", [(64, 64), (256, 300), (256, 256, 3), (768, 1024, 3)])
@pytest.mark.parametrize("kind", DRAWN_KINDS)
def test_every_kind_can_be_drawn_on_every_size(kind, shape):
    marked = draw_marks(tissue(shape), np.random.default_rng(3), [kind])
    assert {finding.kind for finding in marked.findings} == {kind}
    assert marked.image.shape == shape and marked.image.dtype == np.uint8


@pytest.mark.parametrize("seed", range(20))
def test_the_mask_is_where_the_picture_changed_and_in_the_gaps_of_marks(seed):
    clean = tissue((200, 240, 3) if seed % 2 else (200, 240), seed)
    marked = draw_marks(clean, np.random.default_rng(seed))
    changed = (marked.image != clean).reshape(200, 240, -1).any(axis=2)
    assert not (changed & ~marked.mask).any()
    np.testing.assert_array_equal(marked.kind_map > 0, marked.mask)
    gaps = marked.mask & ~changed
    beside = cv2.dilate(changed.astype(np.uint8), np.ones((9, 9), np.uint8)) > 0
    assert marked.mask.any() and not (gaps & ~beside).any()


def test_the_gap_inside_a_small_cross_and_between_close_dots_belongs_to_the_mark():
    style = Style(colour=(255, 255, 255), blur=0.0)
    cross = draw_caliper((20, 20), 12, style, "gapped_plus")
    dots = draw_line([(5, 40), (55, 40)], style, Pattern(3.0, 1.0, 1.0))
    for mark, place in ((cross, (20, 20)), (dots, (40, 30))):
        canvas = np.zeros((60, 60), np.uint8)
        x, y, changed, gaps = stamp(canvas, mark)
        truth = np.zeros((60, 60), bool)
        truth[y : y + changed.shape[0], x : x + changed.shape[1]] = changed | gaps
        assert truth[place] and gaps.any() and not (changed & gaps).any()
        assert cv2.connectedComponents(truth.astype(np.uint8))[0] == 2


def test_ink_as_grey_as_the_tissue_beneath_belongs_to_the_mark():
    canvas = np.full((40, 40), 30, np.uint8)
    canvas[:, 18:22] = 200
    mark = draw_line([(5, 20), (35, 20)], Style(colour=(200, 200, 200), blur=0.0), Pattern(0.0, 0.0, 3.0))
    x, y, changed, gaps = stamp(canvas, mark)
    assert not changed[20 - y, 18 - x : 22 - x].any() and gaps[20 - y, 18 - x : 22 - x].all()


def test_snapped_dots_are_whole_pixels():
    canvas = np.zeros((60, 60), np.uint8)
    stamp(canvas, draw_line([(5, 40), (55, 33)], Style(colour=(240, 240, 240), blur=0.0), Pattern(2.0, 1.0, 1.0, True)))
    assert set(np.unique(canvas)) == {0, 240}
    assert np.count_nonzero(canvas.max(axis=0)) == np.count_nonzero(canvas) == 25


def test_far_dots_stay_apart():
    mark = draw_line([(5, 40), (55, 40)], Style(blur=0.0), Pattern(10.0, 1.5, 1.5))
    _, _, changed, gaps = stamp(np.zeros((60, 60), np.uint8), mark)
    assert not gaps.any() and cv2.connectedComponents(changed.astype(np.uint8))[0] == 6


@pytest.mark.parametrize("shape", SHAPES)
def test_every_caliper_is_as_large_as_asked_for(shape):
    canvas = np.zeros((80, 80), np.uint8)
    _, _, changed, _ = stamp(canvas, draw_caliper((40, 40), 24, Style(blur=0.0), shape))
    assert 14 <= max(changed.shape) <= 27


@pytest.mark.parametrize("font", FONTS)
def test_every_font_writes_letters_of_the_height_asked_for(font):
    ink = text_coverage("H", font, 14.0)
    assert 10 <= ink.shape[0] <= 20 and 0.9 <= ink.max() <= 1.01


def test_marks_follow_the_layout():
    clean = np.zeros((200, 200), np.uint8)
    layout = Layout(200, 200, (60.0, 40.0, 180.0, 190.0), tissue=False)
    for seed in range(8):
        marked = draw_marks(clean, np.random.default_rng(seed), ["arrow"], layout=layout, style=Style(scale=0.6))
        found = marked.findings[0]
        assert found.x + found.width > 40 and found.y + found.height > 20


@pytest.mark.parametrize("seed", range(20))
def test_findings_lie_in_the_picture_and_hold_all_of_the_mask(seed):
    marked = draw_marks(tissue((128, 128)), np.random.default_rng(seed), jpeg=60)
    boxes = np.zeros_like(marked.mask)
    for finding in marked.findings:
        assert finding.x >= 0 and finding.x + finding.width <= 128 and finding.width > 0
        assert finding.y >= 0 and finding.y + finding.height <= 128 and finding.height > 0
        assert finding.kind in KINDS
        boxes[finding.y : finding.y + finding.height, finding.x : finding.x + finding.width] = True
    assert not (marked.mask & ~boxes).any()


def test_the_same_seed_draws_the_same_marks():
    first, second = (draw_marks(tissue((256, 256)), np.random.default_rng(5), jpeg=80) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    assert first.findings == second.findings


def test_the_input_is_left_alone():
    clean = tissue((256, 256))
    before = clean.copy()
    draw_marks(clean, np.random.default_rng(0), count=4)
    np.testing.assert_array_equal(clean, before)


def test_marks_change_a_visible_amount():
    clean = tissue((256, 256))
    marked = draw_marks(clean, np.random.default_rng(1), count=3)
    change = np.abs(marked.image.astype(int) - clean)
    assert change[change > 0].min() >= 5


def test_nothing_is_drawn_for_a_count_of_zero():
    marked = draw_marks(tissue((64, 64)), np.random.default_rng(0), count=0)
    assert not marked.mask.any() and marked.findings == []


def test_unknown_kinds_and_other_images_are_refused():
    with pytest.raises(UsageError, match="cannot draw 'outlier'"):
        draw_marks(tissue((64, 64)), np.random.default_rng(0), ["outlier"])
    with pytest.raises(UsageError, match="float32"):
        draw_marks(np.zeros((64, 64), np.float32), np.random.default_rng(0))
    with pytest.raises(UsageError, match="32 px"):
        draw_marks(np.zeros((20, 64), np.uint8), np.random.default_rng(0))
