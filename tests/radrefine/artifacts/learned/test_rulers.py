"""Rulers: doubtful ticks in line with sure ones are taken, whatever else is doubtful is not."""

import numpy as np
import pytest
from numpy.typing import NDArray

from radrefine.artifacts.learned.rulers import complete_rulers

_LEAST = -2.5
_SURE, _DOUBTFUL, _NOTHING = 3.0, -3.2, -8.0


def _ticks(
    places: list[tuple[int, int]], sure: int, shape: tuple[int, int] = (160, 160)
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Draw ticks of 5 x 3 px at (x, y), the first of them sure; return the logits, and where ticks are."""
    logits = np.full(shape, _NOTHING, np.float32)
    for number, (x, y) in enumerate(places):
        logits[max(0, y - 1) : y + 2, max(0, x - 2) : x + 3] = _SURE if number < sure else _DOUBTFUL
    return logits, logits > _NOTHING


@pytest.mark.parametrize("step", [(0, 12), (12, 0), (9, 13), (0, 7)])
def test_doubtful_ticks_of_a_ruler_are_taken(step: tuple[int, int]) -> None:
    places = [(20 + number * step[0], 10 + number * step[1]) for number in range(10)]
    for sure in ([0, 1, 2], [3, 4, 9], [1, 4, 8]):
        order = [places[number] for number in sure] + [at for n, at in enumerate(places) if n not in sure]
        logits, ticks = _ticks(order, sure=3)
        np.testing.assert_array_equal(complete_rulers(logits, _LEAST) > _LEAST, ticks)


def test_a_missing_tick_is_jumped_over_and_not_invented() -> None:
    places = [(150, 10 + 12 * number) for number in range(12)]
    gone = places.pop(8)
    logits, ticks = _ticks(places, sure=4)
    raised = complete_rulers(logits, _LEAST)

    np.testing.assert_array_equal(raised > _LEAST, ticks)
    assert raised[gone[1], gone[0]] == _NOTHING


def test_doubt_off_the_line_stays_doubt() -> None:
    ruler = [(150, 10 + 12 * number) for number in range(5)]
    strewn = [(30, 17), (55, 80), (90, 33), (100, 121), (62, 140), (20, 101), (118, 60)]
    logits, _ = _ticks(ruler + strewn, sure=5)

    np.testing.assert_array_equal(complete_rulers(logits, _LEAST) > _LEAST, logits > _LEAST)


def test_a_band_of_doubt_is_no_ruler() -> None:
    logits, _ = _ticks([(80, 10), (80, 22), (80, 34)], sure=3)
    logits[40:150, 78:83] = _DOUBTFUL

    np.testing.assert_array_equal(complete_rulers(logits, _LEAST) > _LEAST, logits > _LEAST)


def test_nothing_found_nothing_raised() -> None:
    logits, _ = _ticks([(80, 10 + 12 * number) for number in range(10)], sure=0)

    assert complete_rulers(logits, _LEAST) is logits


def test_a_picture_strewn_with_specks_is_passed_on() -> None:
    places = [(580, 10 + 12 * number) for number in range(10)]
    logits, ticks = _ticks(places, sure=4, shape=(600, 600))
    np.testing.assert_array_equal(complete_rulers(logits, _LEAST) > _LEAST, ticks)

    logits[::10, :500:10] = _SURE
    assert complete_rulers(logits, _LEAST) is logits
