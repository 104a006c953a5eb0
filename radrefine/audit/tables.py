"""Turn what was found in a collection into tables of faults, the worst first."""

from collections.abc import Hashable, Iterable
from itertools import combinations, repeat
from typing import Any, Final

import numpy as np
import pandas as pd

from radrefine.audit.duplicates import Duplicates

_MOST_PAIRED: Final = 20
CONFLICT_COLUMNS: Final = ("path_a", "label_a", "path_b", "label_b", "kind")


def find_exact(images: pd.DataFrame) -> pd.DataFrame:
    """List the images whose pixels occur more than once.

    Args:
        images: `Duplicates.images`.

    Returns:
        A row per image, the largest sets first: set (number), images (in the set), path, label, kind (`bytes` where
        another file of the set has the same bytes, else `pixels`), pixel_sha256. Blank images are left out.
    """
    known = images[images["failure"].isna() & ~images["blank"] & images["pixel_sha256"].notna()]
    known = known.assign(images=known.groupby("pixel_sha256")["path"].transform("size"))
    same = known[known["images"] > 1].sort_values(["images", "pixel_sha256", "path"], ascending=[False, True, True])
    same = same.assign(
        set=pd.factorize(same["pixel_sha256"])[0],
        kind=np.where(same.duplicated(["pixel_sha256", "file_sha256"], keep=False), "bytes", "pixels"),
    )
    return same[["set", "images", "path", "label", "kind", "pixel_sha256"]].reset_index(drop=True)


def find_conflicts(exact: pd.DataFrame, pairs: pd.DataFrame) -> pd.DataFrame:
    """List the pairs of images that are the same, or nearly so, and have different labels.

    Args:
        exact: From `find_exact`.
        pairs: `Duplicates.pairs`.

    Returns:
        `CONFLICT_COLUMNS`; from each set of equal pixels the first image of each label stands for the others, and where
        a set has more than 20 labels, as of a blank card, its first is set against each of the others.
    """
    first = exact.drop_duplicates(["set", "label"])
    first = first[first.duplicated("set", keep=False)]
    rows = [
        (a["path"], a["label"], b["path"], b["label"], "bytes" if a["kind"] == b["kind"] == "bytes" else "pixels")
        for _, same in first.groupby("set", sort=True)
        for a, b in _paired(same.to_dict("records"))
    ]
    near = pairs[pairs["label_a"] != pairs["label_b"]].sort_values("correlation", ascending=False, kind="stable")
    told = pd.DataFrame(rows, columns=list(CONFLICT_COLUMNS), dtype=object)
    return pd.concat([told, near[list(CONFLICT_COLUMNS)].astype(object)], ignore_index=True)


def _paired(rows: list[dict[Hashable, Any]]) -> Iterable[tuple[dict[Hashable, Any], dict[Hashable, Any]]]:
    return combinations(rows, 2) if len(rows) <= _MOST_PAIRED else zip(repeat(rows[0]), rows[1:], strict=False)


def count_labels(duplicates: Duplicates, fewest: int) -> pd.DataFrame:
    """Count images and groups of each class.

    Args:
        duplicates: What was found.
        fewest: Images below which a class is too small to be in every part in the usual ratios; fewer than three
            groups always are.

    Returns:
        label, modality, images, groups (of duplicates and near-duplicates), largest_group, blank, too_small; the
        smallest classes first. Blank and unreadable images are not counted among images.
    """
    images = duplicates.images.assign(group=duplicates.components)
    usable = images[images["failure"].isna() & ~images["blank"]]
    groups = usable.groupby(["label", "group"]).size()
    table = images.groupby("label").agg(modality=("modality", "first"), blank=("blank", "sum"))
    table["images"] = usable.groupby("label").size()
    table["groups"] = groups.groupby(level="label").size()
    table["largest_group"] = groups.groupby(level="label").max()
    counts = ["images", "groups", "largest_group"]
    table[counts] = table[counts].fillna(0).astype(np.int64)
    table["too_small"] = (table["images"] < fewest) | (table["groups"] < 3)
    columns = ["label", "modality", *counts, "blank", "too_small"]
    return table.reset_index().sort_values(["images", "label"], ignore_index=True)[columns]


def flag_images(duplicates: Duplicates, exact: pd.DataFrame, conflicts: pd.DataFrame) -> pd.DataFrame:
    """Say of every image what is the matter with it.

    Returns:
        path, label, modality, group, failure and the flags is_unreadable, is_blank, is_exact_duplicate,
        is_near_duplicate, is_label_conflict; in the order of the manifest.
    """
    images = duplicates.images
    near = pd.concat([duplicates.pairs["path_a"], duplicates.pairs["path_b"]])
    in_conflict = pd.concat([conflicts["path_a"], conflicts["path_b"]])
    return images[["path", "label", "modality"]].assign(
        group=duplicates.components,
        failure=images["failure"],
        is_unreadable=images["failure"].notna(),
        is_blank=images["blank"],
        is_exact_duplicate=images["path"].isin(exact["path"]),
        is_near_duplicate=images["path"].isin(near),
        is_label_conflict=images["path"].isin(in_conflict),
    )
