"""What the network says of pixels becomes marks."""

import numpy as np

from radrefine.artifacts.learned.verdict import DetectorSettings, Verdict, group_marks, likely_pixels
from radrefine.schema import KINDS

SETTINGS = DetectorSettings(KINDS[:-1], 0.5, (0.0, 1.0, 0.0, 0.0))


def test_letters_of_a_word_are_one_mark_and_calipers_far_apart_are_two() -> None:
    logits = np.full((60, 60), -9.0, np.float32)
    kinds = np.zeros((60, 60), np.uint8)
    logits[10:16, 10:13] = logits[10:16, 16:19] = 9
    kinds[:30] = KINDS.index("text")
    logits[40:45, 5:10] = logits[40:45, 40:45] = 9
    findings, masks = group_marks(Verdict(logits, kinds, 1), SETTINGS)

    assert sorted((found.kind, found.x, found.width) for found in findings) == [
        ("caliper", 5, 5),
        ("caliper", 40, 5),
        ("text", 10, 9),
    ]
    assert masks["text"].sum() == 36 and masks["caliper"].sum() == 50


def test_a_small_patch_has_one_kind() -> None:
    logits = np.full((20, 20), -9.0, np.float32)
    logits[4:8, 4:9] = 9
    kinds = np.zeros((20, 20), np.uint8)
    kinds[:, 8] = 2
    (found,) = group_marks(Verdict(logits, kinds, 1), SETTINGS)[0]

    assert found.kind == "caliper" and (found.width, found.height) == (5, 4)


def test_pixels_are_as_likely_as_their_logits_say() -> None:
    logits = np.full((20, 20), -9, np.float32)
    logits[3, 4], logits[10, 10] = 0, 2
    expected = np.zeros((20, 20), np.float32)
    expected[3, 4], expected[10, 10] = 0.5, 1 / (1 + np.exp(-2))

    np.testing.assert_allclose(likely_pixels(logits), expected, rtol=1e-6)
