"""The learned detector: any picture, no training package, marks found and tissue left alone."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from radrefine.artifacts.detect import detect_marks, merge_detections
from radrefine.artifacts.detection import Detection
from radrefine.artifacts.learned.detector import MAX_SIDE, WEIGHTS, MarkDetector, find_learned, look_scale, weights_hash
from radrefine.errors import UsageError
from radrefine.marks import MarkedImage, draw_marks
from radrefine.phantoms import make_phantom
from radrefine.records import Finding
from radrefine.refine import RefineOptions, refine_image
from radrefine.schema import KINDS
from radrefine.work import refine_recipe


def _marked(count: int = 6) -> Iterator[MarkedImage]:
    scenes = ("US/breast/cyst", "US/thyroid/nodule", "US/liver/normal")
    for number in range(count):
        rng = np.random.default_rng([7, number])
        phantom = make_phantom(scenes[number % len(scenes)], rng, (224, 224))
        yield draw_marks(phantom, rng, ("caliper", "text"))


@pytest.mark.parametrize("shape", [(16, 16), (17, 45), (131, 64, 3), (300, 300), (700, 90, 3), (90, 1500)])
def test_pictures_of_any_size_are_read(shape: tuple[int, ...]) -> None:
    image = np.random.default_rng(0).integers(0, 255, shape, np.uint8)
    detection = find_learned(image)

    assert all(mask.shape == shape[:2] for mask in detection.masks.values())
    for found in detection.findings:
        assert found.kind in KINDS and 0 <= found.score <= 1 and found.detector == "learned"
        assert found.x >= 0 and found.x + found.width <= shape[1]
        assert found.y >= 0 and found.y + found.height <= shape[0]


def test_small_pictures_are_magnified_and_huge_ones_reduced() -> None:
    assert [look_scale(side) for side in (16, 256, 409)] == [1.25] * 3
    assert 1 < look_scale(450) < 1.25 and look_scale(450) * 450 == pytest.approx(512)
    assert look_scale(512) == look_scale(600) == look_scale(MAX_SIDE) == 1
    assert look_scale(4 * MAX_SIDE) == 0.25


def test_a_grey_picture_gives_the_same_in_colour() -> None:
    image = next(_marked()).image
    grey, colour = MarkDetector().look(image), MarkDetector().look(np.repeat(image[..., None], 3, axis=2))

    np.testing.assert_array_equal(grey.logits, colour.logits)
    np.testing.assert_array_equal(grey.kinds, colour.kinds)


def test_the_same_picture_gives_the_same_marks_whatever_came_before() -> None:
    first, second = (marked.image for marked in _marked(2))
    alone = find_learned(second)
    find_learned(first[:100, :90])

    assert find_learned(second).findings == alone.findings


def test_most_marks_on_composites_are_found() -> None:
    found, true = 0, 0
    for marked in _marked():
        detection = find_learned(marked.image)
        mask = np.any([*detection.masks.values(), np.zeros(marked.mask.shape, bool)], axis=0)
        true += int(marked.mask.sum())
        found += int((mask & marked.mask).sum())

    assert found > 0.8 * true


def test_phantoms_without_marks_stay_nearly_whole() -> None:
    options = RefineOptions(detector="learned")
    scenes = ("US/breast/malignant", "US/kidney/stone", "US/hip", "US/heart", "US/thyroid/normal")
    removed = [
        refine_image(make_phantom(scene, np.random.default_rng(5), (224, 224)), options).mask.mean() for scene in scenes
    ]

    assert np.mean(removed) < 0.002


def test_a_picture_beyond_the_longest_side_is_seen_smaller() -> None:
    image = np.zeros((40, 2 * MAX_SIDE), np.uint8)
    verdict = MarkDetector().look(image)

    assert verdict.logits.shape == image.shape and verdict.step == 8


def test_both_detectors_report_a_mark_once() -> None:
    mask = np.zeros((20, 20), bool)
    mask[2:6, 2:6] = True
    other = np.zeros((20, 20), bool)
    other[10:14, 10:14] = True
    likely = np.random.default_rng(0).random((20, 20), np.float32)
    first = Detection([Finding("text", 2, 2, 4, 4, 0.9, "learned")], {"text": mask}, (20, 20), likely)
    second = Detection(
        [Finding("caliper", 2, 2, 4, 4, 0.6, "ncc"), Finding("caliper", 10, 10, 4, 4, 0.7, "ncc")],
        {"caliper": mask | other},
        (20, 20),
        1 - likely,
    )
    merged = merge_detections(first, second)

    assert [(found.kind, found.detector) for found in merged.findings] == [("text", "learned"), ("caliper", "ncc")]
    np.testing.assert_array_equal(merged.masks["caliper"], other)
    assert merged.likely is likely


def test_weights_and_detector_are_part_of_the_recipe(tmp_path: Path) -> None:
    own = tmp_path / "own.onnx"
    own.write_bytes(b"weights")
    own.with_suffix(".json").write_text("{}")
    options = [
        RefineOptions(detector="classical"),
        RefineOptions(detector="learned"),
        RefineOptions(detector="both"),
        RefineOptions(detector="learned", weights=str(own)),
    ]

    assert len({refine_recipe(each) for each in options}) == 4
    assert len(weights_hash()) == 16


def test_what_is_no_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--detector"):
        RefineOptions(detector="magic")  # type: ignore[arg-type]
    with pytest.raises(UsageError, match="train-detector"):
        MarkDetector(tmp_path / "none.onnx")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"not a network")
    broken.with_suffix(".json").write_text(WEIGHTS.with_suffix(".json").read_text())
    with pytest.raises(UsageError, match=r"broken\.onnx"):
        MarkDetector(broken)
    broken.write_bytes(WEIGHTS.read_bytes())
    settings = json.loads(WEIGHTS.with_suffix(".json").read_text())
    broken.with_suffix(".json").write_text(json.dumps({**settings, "threshold": 1}))
    with pytest.raises(UsageError, match="threshold must lie between 0 and 1, got 1"):
        MarkDetector(broken)


def test_the_card_names_the_backgrounds() -> None:
    card = (WEIGHTS.parent / "card.md").read_text()

    assert "busi_clean" in card and "hip_clean" in card and "phantoms" in card
    assert "ddti" not in card
    assert WEIGHTS.stat().st_size < 1_000_000


def test_detection_needs_no_training_package() -> None:
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from radrefine.artifacts.detect import detect_marks
detect_marks(np.zeros((64, 64), np.uint8), "both")
print("done")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "done"


def test_both_holds_at_least_what_the_network_found() -> None:
    image = next(_marked()).image
    learned, both = detect_marks(image, "learned"), detect_marks(image, "both")

    assert set(learned.findings) <= set(both.findings)
