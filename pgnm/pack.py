"""Pack a class folder as an Enhanced-MedMNIST-style set: one .npz per size, checked for leakage."""

import contextlib
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from pgnm.concepts import ConceptPart, ConceptSet, Image, count_shared, load_concepts, pixel_hashes, tell_shared
from pgnm.errors import LeakageError, SplitError, UsageError
from pgnm.files import atomic_path, write_json
from pgnm.progress import Progress, ProgressCallback, ignore_progress

SIZES: Final = (28, 64, 128, 224)


@dataclass(frozen=True, slots=True)
class PackOptions:
    """How to pack; the help of each option is in its field's metadata."""

    sizes: tuple[int, ...] = field(default=SIZES, metadata={"help": "Sides of the square images, px."})
    seed: int = field(default=0, metadata={"help": "Seed of the parts that have to be carved."})
    task: str = field(
        default="",
        metadata={"help": "Task to state in the info; binary-class or multi-class by the classes where left out."},
    )
    license: str = field(default="", metadata={"help": "Licence of the images, to state in the info."})
    source: str = field(default="", metadata={"help": "Where the images come from, to state in the info."})

    def __post_init__(self) -> None:
        if not self.sizes or min(self.sizes) < 8:
            raise UsageError(f"--size must be at least 8 px, got {', '.join(map(str, self.sizes)) or 'none'}")


def pack(
    place: Path,
    name: str,
    out: Path,
    options: PackOptions | None = None,
    progress: ProgressCallback = ignore_progress,
) -> dict[str, Any]:
    """Write `<name>.npz` (28 px), `<name>_<size>.npz` for larger sizes, and `<name>.json`; return the last.

    Equal images count once before parts are carved. Images shared between given parts are refused, not moved.

    Args:
        place: A folder of class folders, one with train, val and test, or a split folder.
        name: Name of the set; ends in `mnist` by custom.
        out: Folder of the files.
        options: Sizes, seed and what the info states.
        progress: Hears of images resized.

    Raises:
        UsageError: A name that cannot be a file's, or files of that name that no pack wrote.
        SplitError: No images, or one image under two labels.
        LeakageError: An image is in two of the given parts.
    """
    options = options or PackOptions()
    if not name.isidentifier():
        raise UsageError(f"--name is made of letters, digits and underscores, got {name!r}")
    if place.is_file():
        raise SplitError(f"{place} is a file; give a folder of class folders")
    paths = {size: out / (f"{name}.npz" if size == 28 else f"{name}_{size}.npz") for size in sorted(options.sizes)}
    _refuse_foreign(out / f"{name}.json", list(paths.values()))
    concepts = load_concepts(place, seed=options.seed, distinct=True)
    colour = any(image.ndim == 3 and not _is_grey(image) for _, part in concepts.parts() for image in part.images)
    shared = find_leaks(concepts, colour=colour)
    if shared:
        raise LeakageError(
            f"{place} shares images between its parts ({tell_shared(shared)}); remove them and pack again"
        )
    label_type = np.uint8 if len(concepts.class_names) <= 256 else np.int32
    files = []
    with contextlib.ExitStack() as together:  # no file of this call appears beside others of an earlier one
        for size, path in paths.items():
            arrays: dict[str, Any] = {}
            for part_name, part in concepts.parts():
                stage = f"{name} {size} px {part_name}"
                arrays[f"{part_name}_images"] = _resize_all(part, size, colour, stage, progress)
                arrays[f"{part_name}_labels"] = part.labels.astype(label_type)[:, None]
            temporary = together.enter_context(atomic_path(path))
            with temporary.open("wb") as stream:
                np.savez_compressed(stream, **arrays)
            with temporary.open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
            files.append({"file": path.name, "size": size, "sha256": digest})
    info = {
        "schema": 1,
        "name": name,
        "task": options.task or ("binary-class" if len(concepts.class_names) == 2 else "multi-class"),
        "label": {str(index): label for index, label in enumerate(concepts.class_names)},
        "n_channels": 3 if colour else 1,
        "n_samples": {part_name: len(part.labels) for part_name, part in concepts.parts()},
        "carved": list(concepts.carved),
        "seed": options.seed,
        "license": options.license,
        "source": options.source,
        "leakage": {"equal_images_shared_between_parts": 0, "near_duplicates": "not examined"},
        "files": files,
    }
    write_json(out / f"{name}.json", info)
    return info


def _refuse_foreign(description: Path, paths: list[Path]) -> None:
    """Raise UsageError where a pack would write over files beside which no pack left its description."""
    there = [path.name for path in (description, *paths) if path.exists()]
    try:
        ours = {"name", "carved", "files"} <= json.loads(description.read_text()).keys()
    except (OSError, ValueError, AttributeError):
        ours = False
    if there and not ours:
        told = f"--out {description.parent} holds {', '.join(there)} that no pack wrote"
        raise UsageError(f"{told}; choose another --name or --out, or remove them")


def find_leaks(concepts: ConceptSet, *, colour: bool) -> dict[tuple[str, str], int]:
    """Count images with equal pixels in two parts, as they are written; only pairs of parts that share some are named.

    Args:
        concepts: The parts.
        colour: Whether they are written in colour.
    """
    return count_shared(
        {
            name: set(pixel_hashes([_square(_with_channels(image, colour)) for image in part.images]))
            for name, part in concepts.parts()
        }
    )


def _is_grey(image: Image) -> bool:
    return bool((image == image[..., :1]).all())


def _resize_all(
    part: ConceptPart, size: int, colour: bool, stage: str, progress: ProgressCallback
) -> NDArray[np.uint8]:
    resized = np.empty((len(part.labels), size, size, *((3,) if colour else ())), np.uint8)
    for row, image in enumerate(part.images):
        resized[row] = resize(_with_channels(image, colour), size)
        if row % 256 == 255 or row + 1 == len(resized):
            progress(Progress(stage, row + 1, len(resized)))
    return resized


def _with_channels(image: Image, colour: bool) -> Image:
    if colour:
        return image if image.ndim == 3 else np.repeat(image[..., None], 3, axis=2)
    return image if image.ndim == 2 else image[..., 0]


def _square(image: Image) -> Image:
    height, width = image.shape[:2]
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return image[top : top + side, left : left + side]


def resize(image: Image, size: int) -> Image:
    """Cut the central square and resize it to `size` px: by area when it shrinks, bicubic when it grows."""
    square = _square(image)
    method = cv2.INTER_AREA if len(square) >= size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(square), (size, size), interpolation=method), dtype=np.uint8)
