"""Measure what the audit finds.

    python tests/benchmarks/audit.py planted [--images 200000] [--size 128] [--raw]
    python tests/benchmarks/audit.py openrad SHARED_DATA

`planted` makes phantoms with planted duplicates, cleans the ultrasound among them (not with --raw), audits them and
prints JSON: recall and precision per kind of duplicate, images per second of the audit and beside imagehash
on the same images. `openrad` compares the near-duplicate pairs of the breast images in openrad.tar with the groups in
openrad_sources.csv, which were found by another method and by eye, and names the disagreements.
"""

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

import cv2
import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from radrefine.audit import find_duplicates, load_manifest
from radrefine.fingerprints import perceptual_hash
from radrefine.images import decode_image
from radrefine.marks import draw_marks
from radrefine.phantoms import PHANTOMS, make_phantom
from radrefine.threads import one_thread
from tests.radrefine.refined import unpack_refined, write_refined

_PLANTED_SHARE = 0.02  # of all images, for each kind
_TIMED = 500


def main() -> None:
    """Run one of the measurements and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    planted = commands.add_parser("planted")
    planted.add_argument("--images", type=int, default=200_000)
    planted.add_argument("--size", type=int, default=128)
    planted.add_argument("--raw", action="store_true")
    openrad = commands.add_parser("openrad")
    openrad.add_argument("data", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.command == "planted":
            result = measure_planted(Path(folder), options.images, options.size, clean=not options.raw)
        else:
            result = measure_openrad(Path(folder), options.data)
    sys.stdout.write(json.dumps(result, indent=2) + "\n")


def _encoded(image: np.ndarray, rng: np.random.Generator) -> bytes:
    quality = int(rng.integers(70, 96))
    return cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _resized(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    factor = float(rng.uniform(0.5, 1.5))
    return cv2.resize(
        image, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    )


def _shifted(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(image.astype(np.float32) * rng.uniform(0.8, 1.15) + rng.uniform(-20, 20), 0, 255).astype(np.uint8)


def _marked(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return draw_marks(image, rng, kinds=("caliper", "text"), count=4).image


_KINDS: dict[str, Callable[[np.ndarray, np.random.Generator], bytes | np.ndarray]] = {
    "exact": lambda image, rng: image,
    "re-encoded": _encoded,
    "resized": _resized,
    "brightness": _shifted,
    "marks": _marked,
}


def measure_planted(folder: Path, images: int, size: int, *, clean: bool) -> dict[str, object]:
    """Plant duplicates of five kinds among phantoms and count which of them the audit links."""
    each = max(1, int(images * _PLANTED_SHARE))
    originals = images - each * len(_KINDS)
    made = Parallel(n_jobs=-1, return_as="generator")(
        delayed(_make)(index, size, list(_KINDS)[index // each] if index < each * len(_KINDS) else None)
        for index in range(originals)
    )
    truth: dict[str, tuple[str, str]] = {}
    write_refined(folder, _collect(made, truth), clean=clean)
    started = time.perf_counter()
    found = find_duplicates(folder, load_manifest(folder))
    seconds = time.perf_counter() - started
    group = dict(zip(found.images["path"], found.components, strict=True))
    linked = pd.DataFrame(
        [(kind, group[original] == group[copy]) for copy, (original, kind) in truth.items()], columns=["kind", "linked"]
    )
    precision = _precision_by_kind(found.pairs, truth)
    return {
        "images": len(found.images),
        "planted_of_each_kind": each,
        "recall": linked.groupby("kind")["linked"].mean().round(4).to_dict(),
        "near_pairs": len(found.pairs),
        "precision_of_near_pairs": precision,
        "images_per_second": round(len(found.images) / seconds, 1),
        **_time_hashes(folder, found.images["path"].tolist()),
    }


def _precision_by_kind(pairs: pd.DataFrame, truth: dict[str, tuple[str, str]]) -> dict[str, float]:
    """Return the share of planted pairs among those found, in all and for each kind of copy that takes part in a pair.

    Pairs of two originals, and of copies of different kinds, are false for whichever kinds take part.
    """
    right: dict[str, list[bool]] = {"all": []}
    for first, second in pairs[["path_a", "path_b"]].to_numpy():
        is_planted = any(truth.get(a, ("", ""))[0] == b for a, b in ((first, second), (second, first)))
        kinds = {truth[path][1] for path in (first, second) if path in truth} or {"originals"}
        for kind in ("all", *kinds):
            right.setdefault(kind, []).append(is_planted)
    return {kind: round(float(np.mean(values)), 4) for kind, values in sorted(right.items()) if values}


def _make(index: int, size: int, kind: str | None) -> list[tuple[str, bytes | np.ndarray, str]]:
    """Make a phantom and, where a kind is named, its copy in another class; (path, content, kind)."""
    rng = np.random.default_rng([7, index])
    names = [name for name in PHANTOMS if kind != "marks" or name.startswith("US/")]
    name = names[index % len(names)]
    image = make_phantom(name, rng, (size, size))
    made: list[tuple[str, bytes | np.ndarray, str]] = [(f"{name}/{index:07d}.png", image, "")]
    if kind is not None:
        made.append((f"{name[:2]}/copies/{index:07d}.png", _KINDS[kind](image, rng), kind))
    return made


def _collect(
    made: Iterator[list[tuple[str, bytes | np.ndarray, str]]], truth: dict[str, tuple[str, str]]
) -> Iterator[tuple[str, bytes | np.ndarray]]:
    for group in made:
        for path, content, kind in group:
            if kind:
                truth[path] = (group[0][0], kind)
            yield path, content


@one_thread()
def _time_hashes(folder: Path, paths: list[str]) -> dict[str, float]:
    """Time decoding and hashing per image on one thread: imagehash's phash and ours."""
    import imagehash
    from PIL import Image

    files = [folder / "images" / path for path in paths[:: max(1, len(paths) // _TIMED)]]
    started = time.perf_counter()
    for place in files:
        with Image.open(place) as image:
            imagehash.phash(image)
    between = time.perf_counter()
    for place in files:
        perceptual_hash(decode_image(place.read_bytes()))
    ended = time.perf_counter()
    return {
        "imagehash_images_per_second_one_thread": round(len(files) / (between - started), 1),
        "our_hash_images_per_second_one_thread": round(len(files) / (ended - between), 1),
    }


def measure_openrad(folder: Path, data: Path) -> dict[str, object]:
    """Compare the groups of breast images with those of `openrad_sources.csv`, pair by pair."""
    refined = unpack_refined(data / "openrad.tar", folder, only="US/breast")
    sources = pd.read_csv(data / "openrad_sources.csv", dtype=str, keep_default_na=False)
    known = sources[sources["filename"].str.startswith("US/breast")]
    truth = _pairs(known.assign(path="openrad/" + known["filename"]), "patient_or_case")
    found = find_duplicates(refined, load_manifest(refined))
    groups = _pairs(found.images.assign(group=found.components), "group")
    direct = {frozenset(pair) for pair in found.pairs[["path_a", "path_b"]].to_numpy()}
    direct |= _pairs(found.images, "pixel_sha256")
    return {
        "known_pairs": len(truth),
        "pairs": _score(direct, truth),
        "pairs_of_groups": _score(groups, truth),
        "found_but_not_known": sorted(sorted(pair) for pair in groups - truth),
        "known_but_not_found": sorted(sorted(pair) for pair in truth - groups),
    }


def _pairs(rows: pd.DataFrame, column: str) -> set[frozenset[str]]:
    return {
        frozenset(pair)
        for _, group in rows.groupby(column)
        for pair in combinations(group["path"], 2)
        if len(group) > 1
    }


def _score(found: set[frozenset[str]], truth: set[frozenset[str]]) -> dict[str, float]:
    both = len(found & truth)
    return {
        "found": len(found),
        "precision": round(both / max(1, len(found)), 4),
        "recall": round(both / max(1, len(truth)), 4),
    }


if __name__ == "__main__":
    main()
