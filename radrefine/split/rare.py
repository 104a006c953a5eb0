"""What to do with classes too small for the ratios."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from radrefine.errors import SplitError
from radrefine.split.assign import GroupCounts
from radrefine.wording import counted

_MOST_NAMED = 10


def find_rare(table: GroupCounts, shares: Sequence[float]) -> NDArray[np.int64]:
    """Find classes whose smallest part would get less than one image, or that have fewer groups than parts.

    Args:
        table: Images per group and class.
        shares: Share of each part, summing to 1; parts of share 0 do not count.

    Returns:
        Their indices, in order.
    """
    wanted = [share for share in shares if share > 0]
    images = np.bincount(table.classes, weights=table.counts, minlength=table.n_classes)
    groups = np.bincount(table.classes, minlength=table.n_classes)
    # 49 times 1 / 49 is a little less than 1.
    rare = (images * min(wanted) < 1 - 1e-9) | (groups < len(wanted))
    return np.flatnonzero(rare & (images > 0)).astype(np.int64)


def refuse_rare(table: GroupCounts, rare: NDArray[np.int64], names: Sequence[str], *, folds: int = 0) -> None:
    """Raise `SplitError` naming the rare classes, if there are any.

    Args:
        table: Images per group and class.
        rare: From `find_rare`.
        names: Label of each class.
        folds: Folds that the classes are too small for; 0 where it is ratios.
    """
    if not len(rare):
        return
    images = np.bincount(table.classes, weights=table.counts, minlength=table.n_classes).astype(int)
    groups = np.bincount(table.classes, minlength=table.n_classes)
    told = [
        f"{names[kind]} ({counted(images[kind], 'image')} in {counted(groups[kind], 'group')})"
        for kind in rare[:_MOST_NAMED]
    ]
    more = f" and {len(rare) - _MOST_NAMED} more" if len(rare) > _MOST_NAMED else ""
    number = "1 class is" if len(rare) == 1 else f"{len(rare):,} classes are"
    leave = "leave this class out" if len(rare) == 1 else "leave these classes out"
    choose = "name fewer --folds" if folds else "choose --rare one-each or --rare train, other --ratios"
    small = f"{folds} folds" if folds else "the ratios"
    raise SplitError(f"{number} too small for {small}: {', '.join(told)}{more}; {choose}, or {leave}")


def keep_in_train(table: GroupCounts, rare: NDArray[np.int64], fixed: NDArray[np.int64]) -> NDArray[np.int64]:
    """Fix every free group that holds a rare class to train, part 0; returns a new (G,) array."""
    holders = np.unique(table.owners[np.isin(table.classes, rare)])
    result = fixed.copy()
    result[holders[result[holders] < 0]] = 0
    return result


def give_one_each(
    table: GroupCounts, parts: NDArray[np.int64], shares: Sequence[float], fixed: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Move groups so that each class has an image in every part, as far as its groups suffice.

    Train comes first, then the larger parts: a class of two groups is in train and in test. A part is given the
    smallest group of the class that another part can spare. Groups in `fixed` stay.

    Args:
        table: Images per group and class.
        parts: (G,) part of each group.
        shares: Share of each part; parts of share 0 are left empty.
        fixed: (G,) at least 0 for groups that must stay.

    Returns:
        (G,) the new parts.
    """
    result = parts.copy()
    order = sorted((part for part, share in enumerate(shares) if share > 0), key=lambda p: (p != 0, -shares[p], p))
    counts = table.per_part(result, len(shares))
    owners, sizes = table.owners, table.sizes
    lacking = np.flatnonzero((counts[:, order] == 0).any(axis=1) & (counts.sum(axis=1) > 0))
    # The smallest classes choose first: they have the fewest groups to choose from.
    for kind in lacking[np.argsort(counts[lacking].sum(axis=1), kind="stable")]:
        holders = owners[table.classes == kind]
        holders = holders[fixed[holders] < 0]
        holders = holders[np.lexsort((holders, sizes[holders]))]
        for rank, part in enumerate(order):
            if counts[kind, part]:
                continue
            group = _find_donor(table, result, counts, holders, order[rank + 1 :])
            if group is None:
                continue
            _move(table, result, counts, group, part)
    return result


def _find_donor(
    table: GroupCounts,
    parts: NDArray[np.int64],
    counts: NDArray[np.int64],
    holders: NDArray[np.int64],
    later: list[int],
) -> int | None:
    """Return the smallest group that its part can spare, or else one of a part that matters less."""
    for group in holders:
        if _can_spare(table, parts, counts, int(group)):
            return int(group)
    return next((int(group) for group in holders if parts[group] in later), None)


def _can_spare(table: GroupCounts, parts: NDArray[np.int64], counts: NDArray[np.int64], group: int) -> bool:
    entries = slice(table.starts[group], table.starts[group + 1])
    return bool((counts[table.classes[entries], parts[group]] > table.counts[entries]).all())


def _move(table: GroupCounts, parts: NDArray[np.int64], counts: NDArray[np.int64], group: int, part: int) -> None:
    entries = slice(table.starts[group], table.starts[group + 1])
    counts[table.classes[entries], parts[group]] -= table.counts[entries]
    counts[table.classes[entries], part] += table.counts[entries]
    parts[group] = part
