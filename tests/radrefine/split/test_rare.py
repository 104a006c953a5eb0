import numpy as np
import pytest

from radrefine.errors import SplitError
from radrefine.split.assign import UNASSIGNED, GroupCounts, assign_groups, count_groups
from radrefine.split.rare import find_rare, give_one_each, keep_in_train, refuse_rare

SHARES = (24 / 27, 1 / 27, 2 / 27)


def table(*sizes: list[int]) -> GroupCounts:
    """Build groups of one class each: one list of group sizes per class."""
    flat = [(size, kind) for kind, of_class in enumerate(sizes) for size in of_class]
    groups = np.repeat(np.arange(len(flat)), [size for size, _ in flat])
    return count_groups(groups, np.repeat([kind for _, kind in flat], [size for size, _ in flat]), len(sizes))


def free(of: GroupCounts) -> np.ndarray:
    return np.full(len(of), UNASSIGNED)


def test_rare_are_classes_with_too_few_images_or_too_few_groups() -> None:
    collection = table([1] * 100, [1] * 26, [50, 50], [1] * 27)

    assert find_rare(collection, SHARES).tolist() == [1, 2]
    assert find_rare(collection, (0.5, 0.0, 0.5)).tolist() == []
    assert find_rare(table([1] * 49), [1 / 49] * 49).tolist() == []


def test_error_names_the_classes() -> None:
    collection = table([1] * 100, [2, 1])

    with pytest.raises(SplitError, match=r"^1 class is too small .* tiny \(3 images in 2 groups\)"):
        refuse_rare(collection, find_rare(collection, SHARES), ["large", "tiny"])


def test_train_keeps_every_group_of_a_rare_class_in_train() -> None:
    collection = table([1] * 100, [2, 1])

    fixed = keep_in_train(collection, np.array([1]), free(collection))

    assert fixed[100:].tolist() == [0, 0]
    assert (fixed[:100] == UNASSIGNED).all()


@pytest.mark.parametrize(("sizes", "expected"), [([5], [5, 0, 0]), ([3, 2], [3, 0, 2]), ([4, 1, 1], [4, 1, 1])])
def test_one_each_serves_train_first_then_the_larger_parts(sizes: list[int], expected: list[int]) -> None:
    collection = table([1] * 100, sizes)
    parts = assign_groups(collection, SHARES)

    result = give_one_each(collection, parts, SHARES, free(collection))

    assert collection.per_part(result, 3)[1].tolist() == expected


def test_one_each_leaves_fixed_groups_and_unused_parts_alone() -> None:
    collection = table([1, 1, 1])
    fixed = np.array([0, 0, UNASSIGNED])

    result = give_one_each(collection, np.array([0, 0, 0]), (0.5, 0.0, 0.5), fixed)

    assert result.tolist() == [0, 0, 2]


def test_one_each_does_not_take_the_last_image_of_another_class() -> None:
    # Group 0 holds the only val image of class 0 and an image of class 1, which lacks test.
    groups, classes = np.array([0, 0, 1, 2, 3, 4]), np.array([0, 1, 1, 1, 0, 0])
    collection = count_groups(groups, classes, 2)

    result = give_one_each(collection, np.array([1, 0, 0, 2, 0]), (0.6, 0.2, 0.2), np.full(5, UNASSIGNED))

    assert (collection.per_part(result, 3) > 0).all()
