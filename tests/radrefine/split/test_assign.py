import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from radrefine.split.assign import UNASSIGNED, assign_groups, count_groups


@st.composite
def collections(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray]:
    """Draw (groups, classes) of up to 300 images: groups of many sizes, of one class or of several."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n_classes = draw(st.integers(1, 6))
    sizes = rng.geometric(1 / draw(st.integers(1, 12)), draw(st.integers(1, 60)))
    groups = np.repeat(np.arange(len(sizes)), sizes)
    classes = rng.integers(n_classes, size=len(sizes))[groups]
    mixed = rng.random(len(groups)) < draw(st.sampled_from([0.0, 0.3]))
    return groups, np.where(mixed, rng.integers(n_classes, size=len(groups)), classes)


@settings(max_examples=60, deadline=None)
@given(collections(), st.sampled_from([(24, 1, 2), (8, 1, 1), (1, 1), (1, 1, 1, 1, 1)]), st.integers(0, 5))
def test_every_group_is_in_one_part_and_the_seed_decides(
    collection: tuple[np.ndarray, np.ndarray], ratios: tuple[int, ...], seed: int
) -> None:
    groups, classes = collection
    table = count_groups(groups, classes, 6)

    parts = assign_groups(table, ratios, seed=seed)

    assert parts.shape == (groups.max() + 1,)
    assert ((parts >= 0) & (parts < len(ratios))).all()
    assert table.per_part(parts, len(ratios)).sum() == len(groups)
    assert (assign_groups(table, ratios, seed=seed) == parts).all()


@settings(max_examples=60, deadline=None)
@given(collections(), st.integers(0, 2**32 - 1))
def test_the_order_of_the_images_does_not_matter(collection: tuple[np.ndarray, np.ndarray], seed: int) -> None:
    groups, classes = collection
    order = np.random.default_rng(seed).permutation(len(groups))

    one = assign_groups(count_groups(groups, classes, 6), (24, 1, 2))
    other = assign_groups(count_groups(groups[order], classes[order], 6), (24, 1, 2))

    assert (one == other).all()


@settings(max_examples=60, deadline=None)
@given(collections())
def test_no_class_of_whole_groups_misses_its_share_by_more_than_its_largest_group(
    collection: tuple[np.ndarray, np.ndarray],
) -> None:
    groups, _ = collection
    classes = groups % 4  # every group of one class
    table = count_groups(groups, classes, 4)
    shares = np.array([24, 1, 2]) / 27

    counts = table.per_part(assign_groups(table, shares), 3)

    largest = np.array([max(table.sizes[kind::4], default=0) for kind in range(4)])
    missed = np.abs(counts - counts.sum(axis=1, keepdims=True) * shares)
    assert (missed.max(axis=1) <= largest + 1e-9).all()


def test_single_images_meet_the_ratios_exactly() -> None:
    table = count_groups(np.arange(2700), np.arange(2700) % 10, 10)

    counts = table.per_part(assign_groups(table, (24, 1, 2)), 3)

    assert (counts == [240, 10, 20]).all()


def test_fixed_groups_stay_and_the_others_make_up_for_them() -> None:
    table = count_groups(np.arange(100), np.zeros(100, np.int64), 1)
    fixed = np.full(100, UNASSIGNED)
    fixed[:40] = 1

    parts = assign_groups(table, (1, 1), fixed=fixed)

    assert (parts[:40] == 1).all()
    assert np.bincount(parts).tolist() == [50, 50]


def test_large_groups_are_not_all_in_the_largest_part() -> None:
    sizes = np.r_[np.full(27, 20), np.full(2700, 1)]
    groups = np.repeat(np.arange(len(sizes)), sizes)
    table = count_groups(groups, np.zeros(len(groups), np.int64), 1)

    parts = assign_groups(table, (24, 1, 2))

    assert np.bincount(parts[:27], minlength=3).tolist() == [24, 1, 2]


@pytest.mark.parametrize(("classes", "per_class"), [(50, 7), (100, 4), (28, 3)])
def test_equal_parts_are_equal_in_all_though_classes_are_smaller_than_their_number(
    classes: int, per_class: int
) -> None:
    labels = np.repeat(np.arange(classes), per_class)
    parts = assign_groups(count_groups(np.arange(len(labels)), labels, classes), [1.0] * 5)

    assert np.ptp(np.bincount(parts, minlength=5)) <= 1
    assert all(np.ptp(np.bincount(parts[labels == kind], minlength=5)) <= 1 for kind in range(classes))


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_assigned_where_there_is_nothing(seed: int) -> None:
    empty = np.empty(0, np.int64)

    assert assign_groups(count_groups(empty, empty, 3), (24, 1, 2), seed=seed).shape == (0,)
