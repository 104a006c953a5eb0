"""Marks drawn by hand are found, tissue is left alone."""

from pathlib import Path

import cv2
import numpy as np
import pytest

from radrefine.artifacts.find import find_artifacts
from radrefine.artifacts.outliers import residual_score
from radrefine.artifacts.regions import FEATURES
from radrefine.artifacts.scorer import CLASSES, CONTEXT, load_scorer
from radrefine.phantoms import PHANTOMS, make_phantom

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
    flow[60:84, 30:60] = np.random.default_rng(0).integers(120, 255, (24, 30, 1)) * np.array([1, 0.4, 0])
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
    field = np.ones((128, 128), bool)

    assert residual_score(with_plus(speckle(5), 64, 64), field) > residual_score(speckle(5), field) + 0.3


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
