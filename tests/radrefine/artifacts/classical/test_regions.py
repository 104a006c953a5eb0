"""Regions that stand out, and the numbers that describe them."""

import cv2
import numpy as np

from radrefine.artifacts.classical.regions import FEATURES, find_regions
from radrefine.artifacts.classical.response import measure_response

from .pictures import speckle, with_plus


def _regions(image: np.ndarray):  # type: ignore[no-untyped-def]
    return find_regions(measure_response(image), np.ones(image.shape[:2], bool))


def test_a_bar_on_black_is_described_by_its_own_numbers() -> None:
    image = np.zeros((64, 64), np.uint8)
    image[20:30, 40:42] = 200
    regions = _regions(image)
    row = dict(zip(FEATURES, regions.features[0], strict=True))

    assert regions.boxes[0].tolist() == [40, 20, 2, 10, 20]
    assert row["mean_value"] == 200 and row["spread"] == 0 and row["fill"] == 1
    assert row["mean_lateral"] == 200 and row["mean_saturation"] == 0
    np.testing.assert_allclose(np.exp([row["log_width"], row["log_height"], row["log_area"]]), [2, 10, 20], rtol=1e-5)
    np.testing.assert_allclose(
        np.expm1([row["left"], row["top"], row["right"], row["bottom"]]), [40, 20, 22, 34], rtol=1e-5
    )


def test_upright_strokes_rise_sideways_and_level_ones_do_not() -> None:
    image = np.full((64, 64), 40, np.uint8)
    image[10:40, 20:22] = 220
    upright = _regions(image).features[0]
    level = _regions(np.ascontiguousarray(image.T)).features[0]
    column = FEATURES.index("lateral_share")

    assert upright[column] > 0.5 and level[column] < -0.5


def test_every_threshold_adds_its_own_regions() -> None:
    image = np.zeros((64, 64), np.uint8)
    image[10:40, 10:12] = 60
    image[20:24, 10:12] = 250
    regions = _regions(image)

    heights = {int(height) for height in regions.boxes[:, 3]}
    assert heights == {30, 4}
    assert len(set(regions.places[:, 0].tolist())) > 2


def test_the_part_of_a_region_is_its_pixels() -> None:
    image = with_plus(speckle(), 60, 70)
    regions = _regions(image)
    for number in range(len(regions)):
        rows, columns, part = regions.part(number)
        assert part.sum() == regions.boxes[number, 4]
        assert part.shape == (rows.stop - rows.start, columns.stop - columns.start)


def test_flat_images_have_no_regions() -> None:
    assert len(_regions(np.full((40, 50), 77, np.uint8))) == 0


def test_saturation_is_seen_and_blue_ink_is_as_bright_as_white() -> None:
    image = np.zeros((64, 64, 3), np.uint8)
    cv2.line(image, (10, 10), (40, 40), (0, 0, 255), 2)
    row = dict(zip(FEATURES, _regions(image).features[0], strict=True))

    assert row["mean_value"] == 255 and row["mean_saturation"] == 255
