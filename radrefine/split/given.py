"""Take over splits that exist: those of others as CSV files, and earlier ones of our own."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.errors import SplitError
from radrefine.schema import SPLITS
from radrefine.split.grouping import find_key, match_images, read_table


@dataclass(frozen=True, slots=True)
class Earlier:
    """An earlier split, as far as its images are still there.

    Attributes:
        parts: (N,) int64 part of each image, -1 for those that are new.
        class_names: Its classes, in their order.
    """

    parts: NDArray[np.int64]
    class_names: list[str]


def read_earlier(folder: Path, paths: pd.Series) -> Earlier:
    """Read an earlier split folder.

    Args:
        folder: The split folder.
        paths: (N,) paths of the images that there are now.

    Raises:
        SplitError: It is not a split folder, or has an image in two parts.
    """
    for name in ("split.json", "classes.csv", *(f"{part}.csv" for part in SPLITS)):
        if not (folder / name).is_file():
            raise SplitError(f"--extend expects a split folder, but {folder} has no {name}; name one, or leave it out")
    tables = [read_table(folder / f"{part}.csv")["path"] for part in SPLITS]
    part_of = pd.concat([pd.Series(index, index=table) for index, table in enumerate(tables)])
    if part_of.index.has_duplicates:
        twice = part_of.index[part_of.index.duplicated()][0]
        raise SplitError(f"{folder} has {twice} in two parts and cannot be extended; make the split anew")
    parts = np.asarray(part_of.reindex(paths, fill_value=-1), dtype=np.int64)
    return Earlier(parts, read_table(folder / "classes.csv")["label"].tolist())


def read_given(files: tuple[Path, ...], paths: pd.Series) -> tuple[pd.DataFrame, list[str]]:
    """Read the CSV files of a split made by others, one per part, named after it.

    Args:
        files: Such as RadiologyAI_train.csv; each with a column of file names.
        paths: (N,) paths of the images.

    Returns:
        A row per image and file that names it (position, part), and sentences on what the files name in vain.

    Raises:
        SplitError: A file's name does not say its part, or it names none of the images.
    """
    rows, told = [], []
    for place in files:
        table = read_table(place)
        matches = match_images(paths, table[find_key(table, place)])
        if matches.empty:
            raise SplitError(
                f"{place} names none of the {len(paths)} images, such as {paths.iloc[0]}; name paths below the source"
            )
        rows.append(pd.DataFrame({"position": np.unique(matches["position"]), "part": _part_of(place)}))
        missing = len(table) - matches["row"].nunique()
        if missing:
            told.append(f"{place.name} names {missing} images that are not there or unusable")
    return pd.concat(rows, ignore_index=True).drop_duplicates(ignore_index=True), told


def _part_of(place: Path) -> int:
    named = [index for index, part in enumerate(SPLITS) if part in place.stem.lower()]
    if len(named) != 1:
        raise SplitError(f"--given {place.name}: the name must say which part it is, one of {', '.join(SPLITS)}")
    return named[0]


def cut_old_groups(groups: NDArray[np.int64], parts: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Cut the groups whose images an earlier split has in several parts, so that none of these has to move.

    Args:
        groups: (N,) group of each image.
        parts: (N,) earlier part of each image, -1 for new ones.

    Returns:
        (N,) the new groups, and (N,) True for new images that belong to several parts at once and to none.
    """
    old = pd.DataFrame({"group": groups, "part": parts})[parts >= 0]
    of_group = old.groupby("group")["part"].nunique()
    torn = np.isin(groups, of_group.index[of_group > 1])
    cells = np.where(torn, groups * (len(SPLITS) + 1) + parts + 1, groups * (len(SPLITS) + 1))
    return pd.factorize(cells)[0].astype(np.int64), torn & (parts < 0)
