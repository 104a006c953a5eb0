"""Marks drawn by hand are found, tissue is left alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from radrefine.artifacts.classical.find import find_artifacts
from radrefine.artifacts.classical.regions import FEATURES
from radrefine.artifacts.classical.scorer import CLASSES, CONTEXT, load_scorer
from radrefine.artifacts.outliers import residual_score
from radrefine.phantoms import PHANTOMS, make_phantom
from radrefine.refine import RefineOptions, refine_image

from .pictures import speckle, with_plus, with_text


def test_a_line_of_text_is_one_mark_of_its_kind() -> None:
    image = with_text(speckle(1), "RT AXILLA", 20, 90)
    found = [mark for mark in find_artifacts(image).findings if mark.score > 0.9]

    assert {mark.kind for mark in found} == {"text"}
    assert max(mark.width for mark in found) > 20


def test_calipers_are_found_where_they_are() -> None:
    image = with_plus(with_plus(speckle(), 40, 50), 90, 80)
    detection = find_artifacts(image)

    assert detection.masks["caliper"][50, 40] and detection.masks["caliper"][80, 90]
    assert all(mark.score > 0.8 for mark in detection.findings)


@pytest.mark.parametrize("name", [name for name in PHANTOMS if name.startswith("US/")])
def test_phantoms_of_tissue_hold_no_sure_mark(name: str) -> None:
    image = make_phantom(name, np.random.default_rng(0), (200, 200))

    assert [mark for mark in find_artifacts(image).findings if mark.score > 0.9] == []


def test_colour_flow_is_tissue_and_a_thin_coloured_frame_is_not() -> None:
    image = np.repeat(speckle(3)[..., None], 3, axis=2)
    flow = image.copy()
    rows, columns = np.ogrid[:128, :128]
    vessel = ((rows - 72) / 12) ** 2 + ((columns - 50) / 22) ** 2 < 1
    speed = cv2.GaussianBlur(np.random.default_rng(0).uniform(0, 900, (128, 128)), (0, 0), 3).clip(150, 255)
    flow[vessel] = (speed[..., None] * np.array([1, 0.35, 0.05]))[vessel]
    framed = image.copy()
    cv2.rectangle(framed, (20, 20), (100, 90), (0, 230, 60), 1)

    flow_found = [mark for mark in find_artifacts(flow).findings if mark.score > 0.8]
    assert flow_found == []
    frame = np.all(framed == (0, 230, 60), axis=2)
    masks = find_artifacts(framed).masks.values()
    assert (np.logical_or.reduce(list(masks)) & frame).sum() > 0.8 * frame.sum()


def test_masks_cover_what_findings_say() -> None:
    detection = find_artifacts(with_text(speckle(4), "LT 12", 30, 60))
    for mark in detection.findings:
        box = slice(mark.y, mark.y + mark.height), slice(mark.x, mark.x + mark.width)
        assert detection.masks[mark.kind][box].any()
        assert 0 <= mark.score <= 1


def test_left_over_marks_raise_the_residual_score() -> None:
    marked = refine_image(with_plus(speckle(5), 64, 64), RefineOptions(min_score=1.0))
    cleaned = refine_image(with_plus(speckle(5), 64, 64))

    assert marked.residual_score > 0.5 > cleaned.residual_score


def test_a_stroke_filled_in_part_shows_in_the_residual_score() -> None:
    image = with_plus(speckle(6), 64, 64, half=12)
    likely = np.where(image != speckle(6), 0.9, 0.0).astype(np.float32)
    mask, none = np.zeros((2, *image.shape), bool)
    mask[52:77, 63:66] = True

    assert residual_score(image, mask, likely, none) > 0.5
    assert residual_score(image, likely > 0, likely, none) == 0
    assert residual_score(image, none, None, none) == 0


def test_ten_expected_pixels_of_ink_score_a_half_and_what_is_spared_does_not_count() -> None:
    likely = np.zeros((64, 64), np.float32)
    likely[10:14, 10:15] = 0.5
    none, spared = np.zeros((2, 64, 64), bool)
    spared[11:13, 11:14] = True
    image = np.zeros((64, 64), np.uint8)

    assert residual_score(image, none, likely, none) == pytest.approx(0.5)
    assert residual_score(image, none, likely, spared) == 0


def test_the_weights_fit_the_features() -> None:
    scorer = load_scorer()

    assert scorer.alone.weights[0].shape[0] == len(FEATURES)
    assert scorer.among.weights[0].shape[0] == len(FEATURES) + len(CLASSES) + len(CONTEXT)


def test_real_marks_are_found_and_clean_images_kept(shared_data: Path) -> None:
    folder = shared_data / "artifacts"
    hits = []
    for path in sorted((folder / "ddti_artifact").glob("*.png"))[::2]:
        image = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
        truth = cv2.imread(str(folder / "ddti_artifact_masks" / path.name), cv2.IMREAD_GRAYSCALE)
        assert image is not None and truth is not None
        mask = np.zeros(image.shape, bool)
        for part in find_artifacts(np.asarray(image, np.uint8)).masks.values():
            mask |= part
        hits.append(float((mask & (truth > 0)).sum() / (truth > 0).sum()))
    assert np.mean(hits) > 0.7
