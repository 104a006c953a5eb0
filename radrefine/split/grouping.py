"""Put images into groups that must not be divided between parts."""

import hashlib
import re
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.audit.duplicates import connect, link_equal
from radrefine.errors import UsageError
from radrefine.split.names import FRAME

# A number at the end of a file's name, before the suffixes. Other dots belong to the name: UIDs are numbers and dots.
_NUMBER = re.compile(r"^(?P<stem>.*?)(?P<number>\d{1,18})(?:\.(?:png|jpe?g|tiff?|bmp|dcm|dicom))*$", re.IGNORECASE)
_NO_VALUE: Final = (
    *("", "-", "--", "?", "na", "n/a", "n.a.", "nan", "none", "null", "<na>"),
    *("unknown", "unk", "missing"),
)


def group_images(
    images: pd.DataFrame,
    *,
    components: NDArray[np.int64] | None,
    columns: tuple[str, ...] = (),
    sequence: int = 0,
) -> NDArray[np.int64]:
    """Join what belongs together: frames of a file, duplicates, equal values in columns, neighbouring file numbers.

    Args:
        images: A row per image with `path` and the named columns.
        components: (N,) equal for duplicates; None to leave them apart.
        columns: Columns whose equal values belong together; missing values to nothing (`is_missing`).
        sequence: Largest difference of file numbers that belong together; 0 for none.

    Returns:
        (N,) int64, the group of each image, 0 to G - 1 in the order of the paths.
    """
    links = [link_equal(images["path"].str.extract(FRAME, expand=False))]
    if components is not None:
        links.append(link_equal(pd.Series(components)))
    for name in columns:
        if name not in images:
            raise UsageError(f"--group-by {name}: no such column; there are {', '.join(map(str, images.columns))}")
        links.append(link_equal(plain_values(images[name])))
    if sequence:
        links.append(link_numbers(images["path"], sequence))
    groups = connect(len(images), np.concatenate(links))
    order = np.argsort(images["path"].to_numpy(dtype=str), kind="stable")
    in_order = np.empty_like(groups)
    in_order[order] = pd.factorize(groups[order])[0]
    return in_order


def is_missing(values: pd.Series) -> pd.Series:
    """Tell which values are none: missing, empty, or one of the words that tables write for it."""
    return values.isna() | values.astype(str).str.strip().str.casefold().isin(_NO_VALUE)


def plain_values(values: pd.Series) -> pd.Series:
    """Return values as text without blanks around them, in one Unicode form, missing ones as None (`is_missing`)."""
    text = values.astype(str).str.strip().str.normalize("NFC").astype(object)
    return text.where(~is_missing(values), None)


def link_numbers(paths: pd.Series, most: int) -> NDArray[np.int64]:
    """Link files of one folder and one stem whose numbers differ by at most `most`; (M, 2) positions.

    `knee/im_007.png` and `knee/im_009.png` are linked by 2 and above; files without a number are left alone. Frames
    carry the number of their DICOM file.
    """
    parts = paths.str.extract(FRAME, expand=False).fillna(paths).str.extract(_NUMBER)
    known = np.flatnonzero(parts["number"].notna().to_numpy())
    stems = pd.factorize(parts["stem"].iloc[known])[0]
    numbers = parts["number"].iloc[known].astype(np.int64).to_numpy()
    order = np.lexsort((numbers, stems))
    close = (np.diff(stems[order]) == 0) & (np.diff(numbers[order]) <= most)
    return np.stack([known[order[:-1][close]], known[order[1:][close]]], axis=1).astype(np.int64)


def name_groups(paths: pd.Series, groups: NDArray[np.int64]) -> NDArray[np.str_]:
    """Name each group after a digest of its first path, so that the names do not depend on the other groups.

    Returns:
        (N,) 13 characters for each image.
    """
    first = paths.groupby(groups).min()
    names = np.array(["g" + hashlib.sha256(path.encode()).hexdigest()[:12] for path in first])
    return names[groups]
