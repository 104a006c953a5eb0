"""The line between two calipers, and the crosses at its ends."""

import numpy as np

from radrefine.artifacts.classical.lines import find_lines, find_more_crosses, place_crosses
from radrefine.artifacts.classical.response import measure_response
from radrefine.records import Finding

from .pictures import speckle, with_plus


def _found(x: int, y: int) -> Finding:
    return Finding("caliper", x - 6, y - 6, 13, 13, 0.9, "regions")


def _scene(*, dotted: bool) -> np.ndarray:
    image = with_plus(with_plus(speckle(2, level=40), 30, 40), 100, 90)
    if dotted:
        for step in np.linspace(0.1, 0.9, 28):
            image[round(40 + 50 * step), round(30 + 70 * step)] = 200
    return image


def test_a_dotted_line_between_two_crosses_is_found_with_its_gaps() -> None:
    response = measure_response(_scene(dotted=True))
    crosses = place_crosses(response, [_found(30, 40), _found(100, 90)], np.zeros((128, 128), bool))
    [(found, mask)] = find_lines(response, crosses)

    assert found.kind == "dotted_line" and (found.x, found.y) == (30, 40)
    for step in np.linspace(0, 1, 50):
        assert mask[round(40 + 50 * step), round(30 + 70 * step)]


def test_speckle_between_two_crosses_is_no_line() -> None:
    response = measure_response(_scene(dotted=False))
    crosses = place_crosses(response, [_found(30, 40), _found(100, 90)], np.zeros((128, 128), bool))

    assert len(crosses) == 2 and find_lines(response, crosses) == []


def test_the_gap_of_an_open_cross_becomes_part_of_its_mask() -> None:
    image = speckle(4, level=40)
    for step in (*range(-9, -2), *range(3, 10)):
        image[64 + step, 64] = image[64, 64 + step] = 220
    mask = np.zeros(image.shape, bool)
    crosses = place_crosses(measure_response(image), [Finding("caliper", 55, 55, 19, 19, 0.9, "regions")], mask)

    assert [(cross.x, cross.y) for cross in crosses] == [(64, 64)]
    assert mask[64, 55:74].all() and mask[55:74, 64].all()


def test_a_cross_that_was_taken_for_a_part_of_a_letter_is_found() -> None:
    response = measure_response(_scene(dotted=True))
    letter = Finding("text", 22, 32, 16, 16, 0.9, "regions")
    mask = np.zeros((128, 128), bool)
    [found], [cross] = find_more_crosses(response, [letter], [], mask)

    assert (found.kind, found.detector) == ("caliper", "ncc")
    assert (cross.x, cross.y) == (30, 40) and mask[40, 26:35].all()
    assert find_more_crosses(response, [letter], [cross], mask) == ([], [])
