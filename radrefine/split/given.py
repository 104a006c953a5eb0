"""Take over splits that exist: those of others as CSV files, and earlier ones of our own."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.errors import SplitError
from radrefine.schema import SPLITS
from radrefine.split.names import find_key, match_images, read_table

_EXPECTED: Final = "names should be paths below the source"


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
    tables = [read_table(place) for place in files]
    names = [table[find_key(table, place)] for table, place in zip(tables, files, strict=True)]
    # All files together tell how names lead to images: an image that one names must not be taken for that of another.
    matches = match_images(paths, pd.concat(names, ignore_index=True))
    rows, told, start = [], [], 0
    for place, named in zip(files, names, strict=True):
        own = matches[(matches["row"] >= start) & (matches["row"] < start + len(named))]
        start += len(named)
        if own.empty:
            raise SplitError(f"{place} names none of the {len(paths)} images, such as {paths.iloc[0]}; {_EXPECTED}")
        rows.append(pd.DataFrame({"position": np.unique(own["position"]), "part": _part_of(place)}))
        missing = len(named) - own["row"].nunique()
        if missing:
            told.append(f"{place.name} names {missing} images that are not there or unusable")
    return pd.concat(rows, ignore_index=True).drop_duplicates(ignore_index=True), told


def _part_of(place: Path) -> int:
    words = re.split(r"[^a-z]+", place.stem.lower())
    named = [index for index, part in enumerate(SPLITS) if any(word.startswith(part) for word in words)]
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
