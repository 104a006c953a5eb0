"""Read the tables of others, and find the images that the file names in them mean."""

import csv
import re
import warnings
from itertools import product
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.errors import SplitError

KEYS: Final = ("path", "filename", "file_name", "file", "image")
"""Names of the column of a table that holds file names, in the order in which they are looked for."""

FRAME: Final = re.compile(r"^(.*\.(?:dcm|dicom))/\d+\.png$", re.IGNORECASE)
"""Path of a frame of a DICOM file, which is listed below that file; the group is the path of the file."""

_MOST_DROPPED = 4
_MOST_ABSOLUTE = 20
_SAMPLED = 1000


def read_table(place: Path) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet table as text.

    Raises:
        SplitError: It is missing or cannot be read.
    """
    if not place.is_file():
        raise SplitError(f"{place} is not there; name a CSV, TSV or Parquet file")
    try:
        table = pd.read_parquet(place) if _is_parquet(place) else _read_text(place)
    except (OSError, ValueError, csv.Error) as error:
        told = " ".join(str(error).split())
        raise SplitError(f"{place} cannot be read as a table ({told}); expected CSV, TSV or Parquet") from error
    if any(name is not None for name in table.index.names):
        table = table.reset_index()
    table = table.rename(columns=lambda name: str(name).strip())
    if table.columns.has_duplicates:
        twice = table.columns[table.columns.duplicated()][0]
        raise SplitError(f"{place} has two columns {twice}; rename one of them")
    return table


def _read_text(place: Path) -> pd.DataFrame:
    separator = "\t" if place.suffix.lower() in (".tsv", ".tab") else ","
    # Where every row ends with a separator, pandas would take the first column for an index.
    how: dict[str, Any] = {"sep": separator, "dtype": str, "keep_default_na": False, "index_col": False}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(place, encoding="utf-8-sig", **how)
    except pd.errors.ParserWarning:  # rows hold more values than there are columns
        with place.open(newline="", encoding="utf-8-sig") as file:
            rows = (row for row in csv.reader(file, delimiter=separator) if row)
            header, first = next(rows, []), next(rows, [])
    beyond = [f"\0{n}" for n in range(len(first) - len(header))]
    table = pd.read_csv(place, encoding="utf-8-sig", names=[*header, *beyond], header=0, **how)
    if (table[beyond] != "").to_numpy().any():
        raise ValueError(f"its rows have {len(first)} values, and its first line names {len(header)} columns")
    return table.drop(columns=beyond)


def _is_parquet(place: Path) -> bool:
    return place.suffix.lower() == ".parquet"


def find_key(table: pd.DataFrame, place: Path) -> str:
    """Return the name of the column that holds file names."""
    by_lower = {str(name).lower(): str(name) for name in table.columns}
    for name in KEYS:
        if name in by_lower:
            return by_lower[name]
    commas = "" if _is_parquet(place) else ", and commas between columns"
    raise SplitError(
        f"{place} needs a column of file names, one of {', '.join(KEYS)}{commas}; it has {', '.join(by_lower)}"
    )


def match_images(paths: pd.Series, names: pd.Series) -> pd.DataFrame:
    """Match file names to images as `match_paths` does; the name of a DICOM file also to all frames of that file.

    Args:
        paths: (N,) paths of the images.
        names: (M,) file names.

    Returns:
        A row per match: `row`, the position of the name; `position`, that of the image; and `whole`, whether the name
        is that of a file of which the image is a frame.
    """
    position = match_paths(paths, names)
    own = pd.DataFrame({"row": np.flatnonzero(position >= 0), "position": position[position >= 0], "whole": False})
    of_frame = paths.str.extract(FRAME, expand=False)
    frames = np.flatnonzero(of_frame.notna().to_numpy())
    if not len(frames):
        return own
    file, files = pd.factorize(of_frame.iloc[frames])
    wanted = np.where(position < 0, match_paths(pd.Series(files), names), -1)
    rows = pd.DataFrame({"row": np.flatnonzero(wanted >= 0), "file": wanted[wanted >= 0]})
    whole = rows.merge(pd.DataFrame({"file": file, "position": frames}), on="file")[["row", "position"]]
    whole["whole"] = True
    return pd.concat([own, whole], ignore_index=True)


def match_paths(paths: pd.Series, names: pd.Series) -> NDArray[np.int64]:
    """Match file names to the paths of images, whatever leading folders either of them carries.

    Args:
        paths: (N,) paths of the images.
        names: (M,) file names.

    Returns:
        (M,) int64, the position of each name's image, -1 where there is none. As few leading parts are dropped on both
        sides as match the most images: up to four of a path, any of a name. What is not unique without them, among the
        paths or among the names, is never matched.
    """
    written = [str(name).strip().replace("\\", "/").removeprefix("./") for name in names]
    distinct = list(dict.fromkeys(written))
    sample = distinct[:: max(1, len(distinct) // _SAMPLED)]
    deepest = min(_MOST_ABSOLUTE, max((name.count("/") for name in sample), default=0))
    drops = sorted(product(range(_MOST_DROPPED + 1), range(max(deepest, _MOST_DROPPED) + 1)), key=sum)
    indices = {dropped: _index(paths, dropped) for dropped in range(_MOST_DROPPED + 1)}
    # At most so many images can be matched; which of them are, only all names together can tell.
    hopes = [len({*_look_up(indices[on_left], sample, on_right)} - {-1}) for on_left, on_right in drops]
    best, most, fewest = np.full(len(distinct), -1, np.int64), 1, len(drops)
    for hope, choice in sorted(zip(hopes, range(len(drops)), strict=True), key=lambda item: -item[0]):
        if hope < most:
            break
        found = _look_up(indices[drops[choice][0]], distinct, drops[choice][1])
        met = pd.Series(found[found >= 0]).value_counts()
        found[np.isin(found, met.index[met > 1])] = -1
        score = len({*found[:: max(1, len(distinct) // _SAMPLED)]} - {-1})
        if score > most or (score == most and choice < fewest):  # the choices are in the order of what they drop
            best, most, fewest = found, score, choice
        if score == hope:  # no other can match more, or as many by dropping less
            break
    of_name = dict(zip(distinct, best.tolist(), strict=True))
    return np.array([of_name[name] for name in written], dtype=np.int64)


def _index(paths: pd.Series, dropped: int) -> dict[str, int]:
    """Return positions by path without leading parts; -1 for paths that are not unique then."""
    position: dict[str, int] = {}
    for index, path in enumerate(paths):
        cut = _drop(path, dropped)
        position[cut] = -1 if cut in position or not cut else index
    return position


def _look_up(position: dict[str, int], names: list[str], dropped: int) -> NDArray[np.int64]:
    # A refined image that was no PNG has got `.png` appended to its name.
    cut = [_drop(name, dropped) for name in names]
    return np.array([position.get(name, position.get(f"{name}.png", -1)) for name in cut], dtype=np.int64)


def _drop(path: str, count: int) -> str:
    """Drop `count` leading parts; a path with no more parts than that becomes empty."""
    return path.split("/", count)[count] if path.count("/") >= count else ""
