"""Colour flow stays, coloured ink and bars of colours go."""

from collections.abc import Callable

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from radrefine.artifacts.classical.find import find_artifacts
from radrefine.artifacts.detection import Detection
from radrefine.artifacts.flow import leave_flow
from radrefine.artifacts.learned.detector import find_learned
from radrefine.marks.clutter import add_flow
from radrefine.phantoms import make_phantom
from radrefine.records import Image

_LEAST = -2.0


def _picture() -> Image:
    grey = make_phantom("US/breast/cyst", np.random.default_rng(3), (160, 160))
    return np.repeat(grey[..., None], 3, axis=2)


def _flowing(*, cold: bool = False) -> tuple[Image, NDArray[np.bool_]]:
    """Return a picture with a vessel, dark at its wall and bright in its middle, and which pixels the vessel has."""
    image = _picture()
    y, x = np.mgrid[:160, :160]
    inside = ((x - 80) / 30) ** 2 + ((y - 60) / 14) ** 2
    vessel = inside < 1
    speed = np.clip(1 - inside, 0, 1)[vessel]
    warm = np.stack([120 + 135 * speed, 220 * speed**1.5, 10 * speed], axis=1)
    image[vessel] = np.rint(warm[:, ::-1] if cold else warm).astype(np.uint8)
    return image, vessel


def _logits(found: NDArray[np.bool_], level: float = 1.0) -> NDArray[np.float32]:
    return np.where(found, level, -6.0).astype(np.float32)


@pytest.mark.parametrize("cold", [False, True])
@pytest.mark.parametrize("coded", [False, True])
def test_what_was_found_in_flow_is_left(cold: bool, coded: bool) -> None:
    image, vessel = _flowing(cold=cold)
    if coded:
        image = np.asarray(cv2.imdecode(cv2.imencode(".jpg", image)[1], cv2.IMREAD_COLOR), np.uint8)
    part = vessel & (np.arange(160) < 80)

    assert not (leave_flow(image, _logits(part), _LEAST) > _LEAST).any()


def test_a_white_line_across_flow_is_taken_and_the_flow_beside_it_left() -> None:
    image, vessel = _flowing()
    line = np.zeros(vessel.shape, np.uint8)
    cv2.line(line, (10, 60), (150, 60), 1, 1)
    image[line > 0] = 255
    blob = vessel & (np.abs(np.arange(160) - 70) < 6) & (np.arange(160) < 60)[:, None]
    left = leave_flow(image, _logits((line > 0) | blob), _LEAST) > _LEAST

    assert left[line > 0].all()
    assert (left & blob & (line == 0)).sum() < 0.2 * blob.sum()


def test_what_the_network_is_sure_of_is_ink_even_on_flow() -> None:
    image, vessel = _flowing()
    mark = np.zeros(vessel.shape, np.uint8)
    cv2.drawMarker(mark, (80, 60), 1, cv2.MARKER_CROSS, 11, 1)
    image[mark > 0] = 255, 255, 0
    given = _logits(mark > 0, level=5.0)

    np.testing.assert_array_equal(leave_flow(image, given, _LEAST), given)


def test_coloured_text_bars_of_colours_and_uniform_shapes_are_no_flow() -> None:
    image = _picture()
    before = image.copy()
    cv2.putText(image, "LT 12", (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, (255, 220, 0), 5, cv2.LINE_AA)
    cv2.circle(image, (40, 110), 12, (220, 40, 30), -1)
    for row in range(100):
        image[40 + row, 140:150] = (255, 2 * row, 0) if row < 50 else (0, 255 - 2 * row, 255)
    given = _logits(np.asarray((image != before).any(axis=2)))

    assert leave_flow(image, given, _LEAST) is given


def test_grey_pictures_and_elastograms_stay_as_they_were() -> None:
    image, vessel = _flowing()
    given = _logits(vessel & (np.arange(160) < 80))
    assert leave_flow(np.ascontiguousarray(image[..., 0]), given, _LEAST) is given
    assert leave_flow(_picture(), given, _LEAST) is given

    across = np.linspace(0, 255, 160).astype(np.uint8)
    elastogram = np.stack(
        [np.full((160, 160), 255, np.uint8), np.tile(across, (160, 1)), np.zeros((160, 160), np.uint8)]
    )
    assert leave_flow(np.ascontiguousarray(elastogram.transpose(1, 2, 0)), given, _LEAST) is given


@pytest.mark.parametrize("find", [find_artifacts, find_learned])
def test_both_detectors_leave_flow_that_looks_like_a_mark(find: Callable[[Image], Detection]) -> None:
    grey = make_phantom("US/breast/cyst", np.random.default_rng(16), (160, 160))
    picture = np.repeat(grey[..., None], 3, axis=2)
    flowing = add_flow(picture, np.random.default_rng([16]))
    vessel = (flowing != picture).any(axis=2)

    assert vessel.any()
    assert not any((mask & vessel).any() for mask in find(flowing).masks.values())
