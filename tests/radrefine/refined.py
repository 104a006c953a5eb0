"""Make refined folders for tests and benchmarks, as `radrefine clean` would write them, without cleaning anything."""

import tarfile
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

from radrefine.catalog import parse_label
from radrefine.errors import ImageError
from radrefine.fingerprints import file_sha256, is_blank, perceptual_hash, pixel_sha256
from radrefine.images import decode_image, encode_png
from radrefine.schema import KINDS, MANIFEST_COLUMNS


def write_refined(
    out: Path,
    files: Iterable[tuple[str, bytes | np.ndarray]],
    *,
    marked: frozenset[str] = frozenset(),
    clean: bool = False,
) -> Path:
    """Write a refined folder of files, given as bytes or as images that are encoded as PNG.

    Ultrasound gets the columns that cleaning fills (status clean, or refined where `marked` names the path); the
    others are copied and never decoded. With `clean`, ultrasound is refined as the command does it.
    """
    rows = []
    for path, content in files:
        data = content if isinstance(content, bytes) else encode_png(content)
        if clean and path.startswith("US/"):
            row, data, mask = _refine(path, data)
            rows.append(row)
            _put(out, path, data)
            if mask:
                _put(out, path, mask, "masks")
            continue
        _put(out, path, data)
        rows.append(_describe(path, data, marked))
    pd.DataFrame(rows, columns=list(MANIFEST_COLUMNS)).to_parquet(out / "manifest.parquet", index=False)
    return out


def _put(out: Path, path: str, data: bytes, kind: str = "images") -> None:
    place = out / kind / path
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(data)


def _refine(path: str, data: bytes) -> tuple[dict[str, object], bytes, bytes]:
    """Return the manifest row of a cleaned image, its PNG file and that of its mask, if any."""
    from radrefine.refine import refine_image

    result = refine_image(decode_image(data))
    marked = bool(result.mask.any())
    row = _describe(path, data, frozenset({path}) if marked else frozenset())
    row |= {"phash_refined": perceptual_hash(result.image), "mask_fraction": float(result.mask.mean())}
    if not marked:
        return row, data, b""
    return row, encode_png(result.image), encode_png(result.mask.astype(np.uint8) * 255)


def unpack_refined(archive: Path, out: Path, *, only: str = "") -> Path:
    """Write a refined folder from the files of a tar whose paths contain `only`."""
    with tarfile.open(archive) as tar:
        members = (member for member in tar if member.isfile() and only in member.name)
        return write_refined(out, ((member.name, tar.extractfile(member).read()) for member in members))  # type: ignore[union-attr]


def _describe(path: str, data: bytes, marked: frozenset[str]) -> dict[str, object]:
    place = parse_label(path)
    row: dict[str, object] = dict.fromkeys(MANIFEST_COLUMNS)
    row |= {"path": path, "source_sha256": file_sha256(data), "status": "copied"}
    row |= dict(zip(("label", "modality", "anatomy", "pathology"), place, strict=True))
    if place.modality != "US":
        return row
    try:
        image = decode_image(data)
    except ImageError:
        return row | {"status": "failed"}
    hashes = {"pixel_sha256": pixel_sha256(image), "phash": perceptual_hash(image), "blank": is_blank(image)}
    marks = {f"n_{kind}": 0 for kind in KINDS} | {"n_caliper": int(path in marked)}
    return row | hashes | marks | {"phash_refined": hashes["phash"], "status": "refined" if path in marked else "clean"}
