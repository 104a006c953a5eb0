"""The gate of the caliper search: four thin arms, and nothing else."""

import cv2
import numpy as np
import pytest

from radrefine.artifacts.arms import find_meetings


def _noise(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(40, 60, (96, 96)).astype(np.uint8)


@pytest.mark.parametrize(("arms", "gap"), [("plus", 0), ("plus", 1), ("cross", 0)])
def test_a_cross_on_flat_noise_is_the_strongest_meeting(arms: str, gap: int) -> None:
    image = _noise()
    for step in range(gap, 8):
        for sign in (-1, 1):
            if arms == "plus":
                image[40 + sign * step, 50] = image[40, 50 + sign * step] = 220
            else:
                image[40 + sign * step, 50 + sign * step] = image[40 + sign * step, 50 - sign * step] = 220
    best = find_meetings(image, least=1.0, most=5)[0]

    assert best.arms == arms
    assert abs(best.row - 40) <= 1 and abs(best.column - 50) <= 1


def test_noise_lines_and_round_echoes_are_no_meetings() -> None:
    image = _noise(1)
    image[20:22, 5:90] = 220
    image[:, 10:12] = np.maximum(image[:, 10:12], 60)
    cv2.circle(image, (60, 60), 10, 235, -1, cv2.LINE_AA)

    assert find_meetings(image, least=1.0, most=5) == []
