"""Masks grow evenly and windows stay within the picture."""

import numpy as np
from scipy.ndimage import label

from radrefine.areas import boxes_of, grown, number_parts, window


def test_a_mask_grows_by_its_margin_in_every_direction() -> None:
    mask = np.zeros((9, 11), bool)
    mask[4, 5] = True
    wider = grown(mask, 2)

    assert wider.sum() == 25 and wider[2:7, 3:8].all() and wider.dtype == bool
    assert grown(mask, 0) is mask
    np.testing.assert_array_equal(grown(mask[:, ::2], 1), grown(np.ascontiguousarray(mask[:, ::2]), 1))


def test_a_window_holds_a_box_and_its_margin_and_no_more_than_the_picture() -> None:
    picture = np.arange(12 * 10).reshape(12, 10)
    np.testing.assert_array_equal(picture[window((4, 5, 2, 3), 1)], picture[4:9, 3:7])
    np.testing.assert_array_equal(picture[window(np.array([0, 10, 3, 2]), 2)], picture[8:, :5])


def test_parts_are_numbered_as_by_another_library() -> None:
    rng = np.random.default_rng(0)
    for share in (0.05, 0.3, 0.6):
        mask = rng.random((37, 52)) < share
        numbers, boxes, centres = number_parts(mask)
        theirs = label(mask, structure=np.ones((3, 3)))[0]
        assert len(boxes) == len(centres) == 1 + theirs.max()
        assert len({*zip(numbers.ravel().tolist(), theirs.ravel().tolist(), strict=True)}) == len(boxes)
        for number in range(1, len(boxes)):
            rows, columns = np.nonzero(numbers == number)
            sides = (columns.max() - columns.min() + 1, rows.max() - rows.min() + 1)
            assert boxes[number].tolist() == [columns.min(), rows.min(), *sides, len(rows)]
            np.testing.assert_allclose(centres[number], (columns.mean(), rows.mean()))
        places = np.nonzero(mask)
        np.testing.assert_array_equal(boxes_of(*places, numbers[places], len(boxes))[1:], boxes[1:])
        assert not boxes_of(*places, numbers[places], len(boxes) + 1)[[0, -1]].any()
