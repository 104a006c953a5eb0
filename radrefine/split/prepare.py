"""Decide which images take part in a split, join their metadata and put them into groups."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.audit.duplicates import Duplicates
from radrefine.errors import SplitError
from radrefine.split.assign import UNASSIGNED, GroupCounts, count_groups
from radrefine.split.given import cut_old_groups, read_earlier
from radrefine.split.grouping import find_key, group_images, is_missing, match_images, name_groups, read_table
from radrefine.split.options import SplitOptions

BRIDGE = "belongs to several parts of the earlier split"


@dataclass(frozen=True, slots=True)
class Work:
    """The images that take part in a split, grouped.

    Attributes:
        images: path, label, class_index, group (its name), group_index, blank.
        left_out: path, reason.
        class_names: Label of each class index.
        table: Images per group and class; one class in all where the split is not stratified.
        fixed: (G,) part of each group that an earlier split has set, `UNASSIGNED` for the others.
        unverified: Sentences on what cannot be known.
    """

    images: pd.DataFrame
    left_out: pd.DataFrame
    class_names: list[str]
    table: GroupCounts
    fixed: NDArray[np.int64]
    unverified: list[str]


def prepare(manifest: pd.DataFrame, duplicates: Duplicates, options: SplitOptions) -> Work:
    """Leave out what cannot take part and put the rest into groups.

    Raises:
        SplitError: No image is left, or the metadata name none of them.
        UsageError: A column to group by does not exist.
    """
    table = manifest.assign(failure=duplicates.images["failure"], blank=duplicates.images["blank"])
    table, unverified = _join_metadata(table, options)
    reason = table["failure"].where(table["failure"].notna(), "")
    if not options.keep_blank:
        reason = reason.where((reason != "") | ~table["blank"], "blank")
    usable = (reason == "").to_numpy()
    images = table[usable].reset_index(drop=True)
    if images.empty:
        raise SplitError(f"there are no images to split: all {len(manifest)} are unreadable or blank")
    components = duplicates.components[usable] if options.duplicates else None
    groups = group_images(images, components=components, columns=options.columns, sequence=options.sequence)
    left_out = table.assign(reason=reason).loc[~usable, ["path", "reason"]]
    names: list[str] = []
    parts = np.full(len(images), UNASSIGNED, np.int64)
    if options.extend is not None:
        earlier = read_earlier(options.extend, images["path"])
        names, parts = earlier.class_names, earlier.parts
        groups, between = cut_old_groups(groups, parts)
        left_out = pd.concat([left_out, images.loc[between, ["path"]].assign(reason=BRIDGE)])
        images, groups, parts = images[~between].reset_index(drop=True), groups[~between], parts[~between]
        groups = pd.factorize(groups)[0].astype(np.int64)
    return _number(images, left_out, groups, parts, names, unverified, options)


def _number(
    images: pd.DataFrame,
    left_out: pd.DataFrame,
    groups: NDArray[np.int64],
    parts: NDArray[np.int64],
    names: list[str],
    unverified: list[str],
    options: SplitOptions,
) -> Work:
    names = names + sorted(set(images["label"]) - set(names))
    images = images.assign(
        class_index=pd.Index(names).get_indexer(pd.Index(images["label"])).astype(np.int64),
        group_index=groups,
        group=name_groups(images["path"], groups),
    )
    kinds = images["class_index"].to_numpy() if options.stratify else np.zeros(len(images), np.int64)
    fixed = np.full(int(groups.max()) + 1, UNASSIGNED, np.int64)
    np.maximum.at(fixed, groups, parts)
    return Work(images, left_out, names, count_groups(groups, kinds, len(names)), fixed, unverified)


def _join_metadata(table: pd.DataFrame, options: SplitOptions) -> tuple[pd.DataFrame, list[str]]:
    unverified = []
    if options.metadata is not None:
        extra = read_table(options.metadata)
        names = extra[find_key(extra, options.metadata)]
        matches = match_images(table["path"], names)
        if matches.empty:
            raise SplitError(
                f"{options.metadata} names none of the {len(table)} images, such as {table['path'].iloc[0]}; "
                f"its first name is {names.iloc[0] if len(names) else 'missing'}"
            )
        extra = extra.iloc[matches["row"]].set_index(matches["position"].to_numpy())
        extra = extra[~extra.index.duplicated()].reindex(range(len(table)))
        # Only what is asked for: a column of the same name in the table wins over that of the manifest.
        wanted = [name for name in options.columns if name in extra]
        table = table.drop(columns=[name for name in wanted if name in table]).join(extra[wanted])
    if not options.columns:
        unverified.append(
            "patients: no column names them, so images of one patient may lie in several parts unless they are "
            "near-duplicates"
        )
    for name in options.columns:
        if name in table:
            empty = int(is_missing(table[name]).sum())
            if empty:
                unverified.append(f"{name}: {empty} of {len(table)} images have no value, so theirs is unknown")
    return table, unverified
