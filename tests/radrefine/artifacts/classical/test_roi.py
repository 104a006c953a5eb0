"""The field of the scan: sectors, linear fields and screens."""

import json
from pathlib import Path

import cv2
import numpy as np

from radrefine.artifacts.classical.roi import find_field
from radrefine.artifacts.colours import to_grey
from radrefine.images import decode_image

from .pictures import speckle, with_text


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def test_a_sector_with_a_dark_side_is_found_whole() -> None:
    rows, columns = np.ogrid[:200, :240]
    down, across = rows - 10, columns - 120
    sector = (np.abs(across) <= down * np.tan(np.radians(40))) & (np.hypot(down, across) <= 170) & (down > 15)
    image = np.where(sector, speckle(0, side=240)[:200], 0).astype(np.uint8)
    image[120:, 20:70] = 0
    with_labels = with_text(with_text(image, "MI 0.9", 5, 20), "12 cm", 190, 20)

    assert _overlap(find_field(with_labels), sector) > 0.9


def test_a_linear_field_is_its_box() -> None:
    image = np.zeros((160, 200), np.uint8)
    image[20:150, 30:170] = speckle(1, side=200)[:130, :140]
    image[100:150, 30:60] = 0
    truth = np.zeros(image.shape, bool)
    truth[20:150, 30:170] = True

    assert _overlap(find_field(with_text(image, "GAIN 50", 20, 15)), truth) > 0.93


def test_a_cropped_image_is_all_field_and_so_is_a_black_one() -> None:
    assert find_field(speckle(2)).all()
    assert find_field(np.zeros((50, 60), np.uint8)).all()


def test_real_screens_are_split_where_a_reader_did(shared_data: Path) -> None:
    folder = shared_data / "artifacts"
    outlines = json.loads((folder / "screens_roi.json").read_text())
    for name, polygons in outlines.items():
        grey = to_grey(decode_image((folder / "screens" / name).read_bytes()))
        truth = np.zeros(grey.shape, np.uint8)
        cv2.fillPoly(truth, [np.array(polygon, np.int32) for polygon in polygons], 1)
        assert _overlap(find_field(grey), truth > 0) > 0.7
