"""Even areas: a bar that was found in part is taken whole, even boxes are bars, and tissue is neither."""

import cv2
import numpy as np
import pytest

from radrefine.artifacts.even import EvenAreas, add_bars
from radrefine.records import Finding

LEAST = -1.0


def _tissue(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(20, 140, (64, 80)).astype(np.uint8)


def _seen(found: tuple[slice, slice], logit: float = 3.0) -> np.ndarray:
    logits = np.full((64, 80), -5.0, np.float32)
    logits[found] = logit
    return logits


@pytest.mark.parametrize("coded", [False, True])
def test_a_bar_found_by_a_third_is_taken_whole_with_the_logit_of_that_third(coded: bool) -> None:
    image, bar = _tissue(), np.s_[48:64, 10:70]
    image[bar] = 60
    if coded:
        image = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1], cv2.IMREAD_GRAYSCALE)
    logits = _seen(np.s_[48:64, 10:36])
    after = EvenAreas(image).complete(logits, LEAST)

    inside = np.s_[48:64, 16:64]  # the blocks of JPEG that lie wholly in the bar
    assert (after[inside] == pytest.approx(3.0)) and (after >= logits).all()
    away = np.ones(image.shape, bool)
    away[45:, 7:73] = False
    np.testing.assert_array_equal(after[away], logits[away])


def test_less_than_a_third_of_an_area_is_left_alone() -> None:
    image = _tissue()
    image[32:] = 0  # the black beside a scan, with some letters on it
    logits = _seen(np.s_[40:48, 4:40])

    np.testing.assert_array_equal(EvenAreas(image).complete(logits, LEAST), logits)


def test_grainy_tissue_around_a_mark_is_left_alone() -> None:
    logits = _seen(np.s_[20:30, 20:30])

    np.testing.assert_array_equal(EvenAreas(_tissue()).complete(logits, LEAST), logits)


def test_saturated_echoes_are_left_alone() -> None:
    image = _tissue()
    image[10:30, 10:30] = 255
    logits = _seen(np.s_[10:30, 10:22])

    np.testing.assert_array_equal(EvenAreas(image).complete(logits, LEAST), logits)


def test_where_nothing_was_found_nothing_is_taken() -> None:
    image, logits = np.full((64, 80, 3), 90, np.uint8), np.full((64, 80), -5.0, np.float32)

    assert EvenAreas(image).complete(logits, LEAST) is logits


def test_smooth_tissue_is_left_alone_though_its_neighbours_differ_little() -> None:
    image = cv2.resize(_tissue()[:8, :10], (80, 64), interpolation=cv2.INTER_CUBIC) // 4 + 60
    logits = _seen(np.s_[:, :40])

    np.testing.assert_array_equal(EvenAreas(image).complete(logits, LEAST), logits)
    assert not list(EvenAreas(image).bars())


@pytest.mark.parametrize("colour", [False, True])
def test_an_even_box_is_a_bar_with_what_is_written_on_it(colour: bool) -> None:
    image, bar = _tissue(), np.s_[50:62, 12:70]
    image[bar] = np.linspace(70, 50, 12).astype(np.uint8)[:, None]  # shaded from top to bottom
    image[54:58, 20:30:2] = 230
    ((found, part),) = EvenAreas(np.repeat(image[..., None], 3, axis=2) if colour else image).bars()

    assert (found.kind, found.x, found.y, found.width, found.height) == ("ui_bar", 12, 50, 58, 12)
    assert part.all()


def test_a_bar_at_the_edge_reaches_it() -> None:
    image = _tissue()
    image[:9] = 40
    ((found, part),) = EvenAreas(image).bars()

    assert (found.x, found.y, found.width, found.height) == (0, 0, 80, 9) and part.all()


@pytest.mark.parametrize("grey", [0, 255])
def test_the_black_beside_a_scan_and_saturated_echoes_are_no_bars(grey: int) -> None:
    image = _tissue()
    image[40:] = grey

    assert not list(EvenAreas(image).bars())


def test_an_even_frame_or_half_the_picture_is_no_bar() -> None:
    image = np.full((64, 80), 30, np.uint8)
    image[8:56, 8:72] = _tissue()[8:56, 8:72]
    assert not list(EvenAreas(image).bars())
    image = _tissue()
    image[:40] = 60
    assert not list(EvenAreas(image).bars())


def test_a_bar_takes_the_place_of_the_pieces_of_it_that_were_found() -> None:
    image = _tissue()
    image[50:] = 60
    piece = Finding("ui_bar", 4, 52, 10, 9, 0.4, "learned", removed=False)
    word = Finding("text", 20, 52, 10, 9, 0.9, "learned", removed=False)
    findings, masks = [piece, word], {}
    add_bars(EvenAreas(image), findings, masks, image.shape)

    assert [(found.kind, found.score > 0.9) for found in findings] == [("text", False), ("ui_bar", True)]
    assert masks["ui_bar"][50:].all() and not masks["ui_bar"][:49].any()
