"""Decide which images take part in a split, join their metadata and put them into groups."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.audit.duplicates import Duplicates
from radrefine.errors import SplitError, UsageError
from radrefine.schema import MANIFEST_COLUMNS
from radrefine.split.assign import UNASSIGNED, GroupCounts, count_groups
from radrefine.split.given import cut_old_groups, read_earlier
from radrefine.split.grouping import group_images, name_groups, plain_values
from radrefine.split.names import find_key, match_images, read_table
from radrefine.split.options import SplitOptions

# Before the names of columns to group by, in the table of the images.
_OWN: Final = "group by "

# What the manifest says of an image alone: equal values of these are chance, or the same image.
_OF_ONE_IMAGE: Final = {"failure", *MANIFEST_COLUMNS} - {"label", "modality", "anatomy", "pathology"}

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
    groups = group_images(
        images, components=components, columns=tuple(_OWN + name for name in options.columns), sequence=options.sequence
    )
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
    table, extra, key = table.copy(deep=False), pd.DataFrame(), ""
    if options.metadata is not None:
        extra = read_table(options.metadata)
        key = find_key(extra, options.metadata)
        names = extra[key]
        matches = match_images(table["path"], names)
        if matches.empty:
            raise SplitError(
                f"{options.metadata} names none of the {len(table)} images, such as {table['path'].iloc[0]}; its first "
                f"name is {names.iloc[0] if len(names) else 'missing'}, and names should be paths below the source"
            )
        # What names a frame is stronger than what names its whole file.
        matches = matches[~matches["whole"] | ~matches["position"].isin(matches.loc[~matches["whole"], "position"])]
        extra = extra.iloc[matches["row"]].set_index(matches["position"].to_numpy())
    # Under names of their own: a column that is called label must not change the classes.
    for name in options.columns:
        if name == key or (name not in extra and name in _OF_ONE_IMAGE):
            told = f"--group-by {name}: that tells of each image alone what it is, not what belongs together"
            raise UsageError(f"{told}; name a column of patients or cases in a table, and the table with --metadata")
        if name in extra:
            table[_OWN + name] = _only_values(extra[name], table["path"], options.metadata)
        elif name in table:
            table[_OWN + name] = plain_values(table[name])
        else:
            there = ", ".join(map(str, dict.fromkeys([*table.columns, *extra.columns])))
            raise UsageError(f"--group-by {name}: no such column; there are {there}")
    if not any(name in extra for name in options.columns):
        grouped = (
            f"grouping by {', '.join(options.columns)} of the manifest does not tell them" if options.columns else ""
        )
        unverified.append(
            f"patients: {grouped or 'no column names them'}, so images of one patient may lie in several parts unless "
            "they are near-duplicates"
        )
    for name in options.columns:
        values = table[_OWN + name]
        empty = int(values.isna().sum())
        if empty:
            unverified.append(f"{name}: {empty} of {len(table)} images have no value, so theirs is unknown")
        distinct = pd.Series(values.dropna().unique(), dtype=object)
        alike = distinct[distinct.str.casefold().str.lstrip("0").duplicated(keep=False)]
        if len(alike):
            unverified.append(
                f"{name}: {len(alike)} values differ from another by case or leading zeros alone, such as "
                f"{alike.iloc[0]}; they were taken for different ones"
            )
    return table, unverified


def _only_values(values: pd.Series, paths: pd.Series, place: Path | None) -> pd.Series:
    """Return the one value that a table has for each image, None where it has none.

    Args:
        values: Of the rows of the table, with the position of the image of each as index.
        paths: (N,) of the images.
        place: The table.

    Raises:
        SplitError: Rows of one image differ.
    """
    known = plain_values(values).dropna()
    differing = known.groupby(level=0).nunique()
    differing = differing[differing > 1]
    if len(differing):
        position = differing.index[0]
        told = " and ".join(sorted(known.loc[position].unique())[:2])
        raise SplitError(f"{place} gives {paths.iloc[position]} the {values.name} {told}; keep one row for each image")
    return known[~known.index.duplicated()].reindex(range(len(paths)))
