"""Lay a split out as an ImageFolder of links, for tools that want one."""

import hashlib
import os
import shutil
from pathlib import Path

import pandas as pd

from radrefine.errors import SplitError, UsageError
from radrefine.schema import SPLITS

IMAGEFOLDER = "imagefolder"
_UNFINISHED = f".{IMAGEFOLDER}.part"
_LONGEST_NAME = 255


def link_images(folder: Path, root: Path, images: pd.DataFrame) -> Path:
    """Make `imagefolder/<part>/<label>/<file>` of relative symbolic links; what was there before is replaced.

    Args:
        folder: The split folder.
        root: The folder of the images.
        images: A row per image: path (below `root`), label, part (an index into train, val, test).

    Returns:
        The folder of links.

    Raises:
        SplitError: The file system allows no links.
    """
    final, temporary = folder / IMAGEFOLDER, folder / _UNFINISHED
    shutil.rmtree(temporary, ignore_errors=True)
    names = _name_links(images)
    root = root.resolve()
    folders = images["part"].map(dict(enumerate(SPLITS))) + "/" + images["label"]
    for folder_name, rows in images.assign(name=names).groupby(folders):
        place = temporary / str(folder_name)
        place.mkdir(parents=True)
        # Links are relative to their final place, which is as deep as the temporary one.
        up = os.path.relpath(root, place.resolve())
        for path, name in zip(rows["path"], rows["name"], strict=True):
            try:
                (place / name).symlink_to(f"{up}/{path}")
            except OSError as error:
                raise SplitError(
                    f"{place} takes no links ({error.strerror}); use --layout csv or another disk"
                ) from error
    remove_links(folder)
    temporary.rename(final)
    return final


def refuse_files(folder: Path) -> None:
    """Raise UsageError where a split folder would lose files that are no links of an earlier split."""
    for name in (IMAGEFOLDER, _UNFINISHED):
        place = folder / name
        for parent, _, files in os.walk(place):
            for file in files:
                if not Path(parent, file).is_symlink():
                    told = f"{place} holds files that no split put there, such as {file}"
                    raise UsageError(f"{told}; choose another --out")


def remove_links(folder: Path) -> None:
    """Remove the links of an earlier split, which would tell of other parts than the present one."""
    shutil.rmtree(folder / IMAGEFOLDER, ignore_errors=True)


def _name_links(images: pd.DataFrame) -> pd.Series:
    """Return the file's own name where it is the only one of its class and part, else its whole path in one name.

    Where that is no name of its own either, or too long for one, a digest of the path is.
    """
    base = images["path"].str.rpartition("/")[2]
    names = base.where(_alone(images, base), images["path"].str.replace("/", "__"))
    digests = images["path"].map(lambda path: hashlib.sha256(path.encode()).hexdigest()[:16] + Path(path).suffix)
    fits = names.map(lambda name: len(name.encode()) <= _LONGEST_NAME)
    return names.where(_alone(images, names) & fits, digests)


def _alone(images: pd.DataFrame, names: pd.Series) -> pd.Series:
    return ~pd.DataFrame({"part": images["part"], "label": images["label"], "name": names}).duplicated(keep=False)
