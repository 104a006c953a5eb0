"""Read a refined folder."""

from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from radrefine.errors import RefinedFolderError
from radrefine.outputs import refuse_unfinished
from radrefine.reading import reading, refuse_outside
from radrefine.schema import KINDS

MANIFEST: Final = "manifest.parquet"
IMAGES: Final = "images"
MASKS: Final = "masks"

_REQUIRED = ("path", "label", "modality", "status", "source_sha256", "pixel_sha256", "phash", "phash_refined", "blank")
_MARKS = [f"n_{kind}" for kind in KINDS]


def load_manifest(refined: Path) -> pd.DataFrame:
    """Load the manifest of a refined folder, a row per image, sorted by path.

    Args:
        refined: A folder that `radrefine clean` wrote.

    Returns:
        The columns of `radrefine.schema.MANIFEST_COLUMNS`; `path` is the path of the stored image below `images/`.

    Raises:
        RefinedFolderError: When there is no manifest, it lacks columns, a path occurs twice or leads out of the folder,
            or the last run did not finish.
    """
    place = refined / MANIFEST
    refuse_unfinished(refined)
    if not place.is_file():
        raise RefinedFolderError(
            f"expected a refined folder with {MANIFEST}, but {refined} has none; run: radrefine clean --src SOURCE"
        )
    with reading(place):
        manifest = pd.read_parquet(place)
    missing = [name for name in _REQUIRED if name not in manifest]
    if missing:
        raise RefinedFolderError(f"{place} lacks the columns {', '.join(missing)}; run radrefine clean again")
    refuse_outside(manifest["path"], place)
    manifest = manifest.sort_values("path", ignore_index=True)
    if manifest["path"].duplicated().any():
        twice = manifest["path"][manifest["path"].duplicated()].iloc[0]
        raise RefinedFolderError(f"{place} lists {twice} more than once; run radrefine clean again")
    return manifest


def has_marks(manifest: pd.DataFrame) -> np.ndarray:
    """Tell, per row, whether marks were found in the image; (N,) bool."""
    present = [name for name in _MARKS if name in manifest]
    if not present:
        return np.zeros(len(manifest), dtype=bool)
    return manifest[present].fillna(0).sum(axis=1).to_numpy() > 0
