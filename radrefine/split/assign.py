"""Assign whole groups to parts so that every class is divided in the asked ratios.

A greedy of one rule: the largest groups first, each to the part where it raises Pearson's chi-square statistic, summed
over the classes and each class weighted by one over its size, the least. Small groups come last and even out what the
large ones left. A sweep over the groups then moves those that still lower the statistic.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

UNASSIGNED: Final = -1

_SWEEPS = 3
# Rises that differ by less than this, relatively, are equal.
_EQUAL = 1e-9


@dataclass(frozen=True, slots=True)
class GroupCounts:
    """How many images of each class each group holds, as a sparse table.

    Attributes:
        starts: (G + 1,) int64; the entries of group g are `starts[g]:starts[g + 1]`.
        classes: (E,) int64, class of each entry.
        counts: (E,) int64, images of each entry, at least 1.
        n_classes: Number of classes.
    """

    starts: NDArray[np.int64]
    classes: NDArray[np.int64]
    counts: NDArray[np.int64]
    n_classes: int

    def __len__(self) -> int:
        return len(self.starts) - 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Images of each group, (G,) int64."""
        return np.add.reduceat(self.counts, self.starts[:-1]) if len(self) else np.empty(0, np.int64)

    @property
    def owners(self) -> NDArray[np.int64]:
        """Group of each entry, (E,) int64."""
        return np.repeat(np.arange(len(self)), np.diff(self.starts))

    def per_part(self, parts: NDArray[np.int64], n_parts: int) -> NDArray[np.int64]:
        """Count the images of each class in each part, (C, P) int64; unassigned groups are left out."""
        of_entry = parts[self.owners]
        known = of_entry >= 0
        cells = self.classes[known] * n_parts + of_entry[known]
        total = np.bincount(cells, weights=self.counts[known], minlength=self.n_classes * n_parts)
        return total.reshape(self.n_classes, n_parts).astype(np.int64)


def count_groups(groups: NDArray[np.int64], classes: NDArray[np.int64], n_classes: int) -> GroupCounts:
    """Count the images per group and class.

    Args:
        groups: (N,) group of each image, 0 to G - 1, none empty.
        classes: (N,) class of each image, 0 to `n_classes` - 1.
        n_classes: Number of classes.
    """
    cells, counts = np.unique(groups * n_classes + classes, return_counts=True)
    owners, of_class = np.divmod(cells, n_classes)
    starts = np.searchsorted(owners, np.arange(int(owners[-1]) + 2 if len(owners) else 1))
    return GroupCounts(starts.astype(np.int64), of_class, counts.astype(np.int64), n_classes)


def assign_groups(
    table: GroupCounts,
    ratios: Sequence[float],
    *,
    seed: int = 0,
    fixed: NDArray[np.int64] | None = None,
) -> NDArray[np.int64]:
    """Assign each group to one part.

    Args:
        table: From `count_groups`.
        ratios: Share of each part, any positive scale.
        seed: Decides between groups that are equal in size and make-up.
        fixed: (G,) part of each group that must stay where it is, `UNASSIGNED` for the others.

    Returns:
        (G,) int64, 0 to P - 1.
    """
    shares = np.asarray(ratios, dtype=np.float64) / np.sum(ratios)
    totals = np.bincount(table.classes, weights=table.counts, minlength=table.n_classes)
    parts = np.full(len(table), UNASSIGNED, np.int64) if fixed is None else fixed.astype(np.int64)
    free = np.flatnonzero(parts == UNASSIGNED)
    rng = np.random.default_rng(seed)
    free = free[rng.permutation(len(free))]
    free = free[np.argsort(-table.sizes[free], kind="stable")]
    excess = table.per_part(parts, len(shares)) - totals[:, None] * shares
    return _Greedy(table, shares, totals, excess).run(parts, free)


class _Greedy:
    """The state of the greedy: for each class and part, the slope of the statistic.

    Adding s images of class c to part p, which holds h of a target t, raises (h - t)^2 / (t n) by s (u s + v) with
    u = 1 / (t n) and v = 2 (h - t) u; n is the size of the class. Plain lists: the loop touches single numbers, where
    they are several times faster than arrays.
    """

    def __init__(self, table: GroupCounts, shares: NDArray, totals: NDArray, excess: NDArray) -> None:
        sizes = np.maximum(totals, 1)
        unit = 1 / (sizes[:, None] ** 2 * shares)
        self._unit: list[list[float]] = unit.tolist()
        self._slope: list[list[float]] = (2 * excess * unit).tolist()
        self._starts: list[int] = table.starts.tolist()
        self._classes: list[int] = table.classes.tolist()
        self._counts: list[int] = table.counts.tolist()
        self._n_parts = len(shares)
        self._share: list[float] = shares.tolist()
        # Images of all classes in each part, over its share.
        self._load: list[float] = (excess.sum(axis=0) / shares).tolist()

    def run(self, parts: NDArray[np.int64], order: NDArray[np.int64]) -> NDArray[np.int64]:
        result: list[int] = parts.tolist()
        groups: list[int] = order.tolist()
        for group in groups:
            result[group] = self._place(group)
        for _ in range(_SWEEPS):
            moved = 0
            # The smallest first: they mend what is left without upsetting the rest.
            for group in reversed(groups):
                before = result[group]
                self._add(group, before, -1)
                result[group] = self._place(group)
                moved += result[group] != before
            if not moved:
                break
        return np.array(result, dtype=np.int64)

    def _place(self, group: int) -> int:
        """Add a group to the part that takes it best and return the part."""
        best, least, lightest = 0, float("inf"), float("inf")
        entries = range(self._starts[group], self._starts[group + 1])
        for part in range(self._n_parts):
            rise = 0.0
            for entry in entries:
                kind, count = self._classes[entry], self._counts[entry]
                rise += count * (self._unit[kind][part] * count + self._slope[kind][part])
            # Parts that are as good, up to rounding, take turns: small classes would all go to the first ones.
            equal = abs(rise - least) <= _EQUAL * abs(least)
            if self._load[part] < lightest if equal else rise < least:
                best, least, lightest = part, rise, self._load[part]
        self._add(group, best, 1)
        return best

    def _add(self, group: int, part: int, sign: int) -> None:
        for entry in range(self._starts[group], self._starts[group + 1]):
            kind = self._classes[entry]
            self._slope[kind][part] += sign * 2 * self._counts[entry] * self._unit[kind][part]
            self._load[part] += sign * self._counts[entry] / self._share[part]
