"""Images with known truth: composites on clean images, and folders with true masks."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from radrefine.errors import SourceError
from radrefine.images import list_images, read_image
from radrefine.marks import DRAWN_KINDS, draw_marks
from radrefine.phantoms import PHANTOMS, make_phantom
from radrefine.records import Image, Mask

_QUALITIES = (None, 95, 80)

Box = tuple[str, int, int, int, int]
"""Kind, x, y, width and height of a mark, px."""


@dataclass(frozen=True, slots=True)
class Case:
    """One image and the truth about it.

    Attributes:
        name: For messages.
        image: (H, W) or (H, W, 3), uint8.
        truth: (H, W) bool, True where a mark is.
        boxes: The marks.
        clean: What lies under the marks; None where nobody knows.
        ignored: (H, W) bool, pixels that count neither as found nor as missed nor as damage; None where all count.
    """

    name: str
    image: Image
    truth: Mask
    boxes: tuple[Box, ...]
    clean: Image | None = None
    ignored: Mask | None = None


def composite_cases(
    folders: Sequence[Path], count: int, seed: int, size: int = 256, magnify: float = 1.0
) -> Iterator[Case]:
    """Draw known annotations on clean images, every kind in turn, with what belongs to them as on a screen.

    Args:
        folders: Folders of clean images; phantoms of ultrasound where there are none.
        count: Composites in all.
        seed: Of every choice.
        size: Side of the phantoms, px.
        magnify: Factor by which the clean images of `folders` are scaled; marks keep their size on the screen, and so
            have more pixels on a larger one.

    Yields:
        Cases with the clean image.
    """
    files = [path for folder in folders for path in list_images(folder)]
    scenes = [name for name in PHANTOMS if name.startswith("US/")]
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        if files:
            path = files[int(rng.integers(len(files)))]
            clean, name = _magnified(read_image(path), magnify), path.name
        else:
            name = scenes[number % len(scenes)]
            clean = make_phantom(name, rng, (size, size))
        kinds = (DRAWN_KINDS[number % len(DRAWN_KINDS)], DRAWN_KINDS[int(rng.integers(len(DRAWN_KINDS)))])
        quality = _QUALITIES[int(rng.integers(len(_QUALITIES)))]
        marked = draw_marks(clean, rng, kinds, jpeg=quality, companions=True)
        boxes = tuple((found.kind, found.x, found.y, found.width, found.height) for found in marked.findings)
        yield Case(name, marked.image, marked.mask, boxes, marked.clean)


def _magnified(image: Image, factor: float) -> Image:
    if factor == 1:
        return image
    size = round(image.shape[1] * factor), round(image.shape[0] * factor)
    way = cv2.INTER_CUBIC if factor > 1 else cv2.INTER_AREA
    return np.asarray(cv2.resize(image, size, interpolation=way), np.uint8)


def folder_cases(
    images: Path,
    masks: Path | None = None,
    objects: Path | None = None,
    *,
    ignore: Path | None = None,
    unmarked: bool = False,
) -> Iterator[Case]:
    """Read images with true masks of the same names.

    Args:
        images: Folder of images.
        masks: Folder of 8-bit masks, non-zero = mark; None for images without marks.
        objects: JSON file, per image name a list of {"type", "bbox": [x0, y0, x1, y1]}; without it, pixels that touch
            or nearly touch make one mark.
        ignore: Folder of 8-bit masks, non-zero = leave out of the scores; an image without one is scored whole.
        unmarked: Take the images as free of marks: `masks` then tells of small ones, a corner logo say, which count
            neither as marks nor, with 3 px around them, as damage.

    Yields:
        One case per image.

    Raises:
        SourceError: No images, an image without its mask or of another size than it, or no such JSON.
        ImageError: An image cannot be read.
    """
    known = _read_objects(objects) if objects else {}
    for path in list_images(images):
        image = read_image(path)
        truth = np.zeros(image.shape[:2], bool) if masks is None else _read_mask(masks / f"{path.stem}.png", image)
        ignored = None
        if ignore is not None and (ignore / f"{path.stem}.png").is_file():
            ignored = _read_mask(ignore / f"{path.stem}.png", image)
        if unmarked:
            yield Case(path.name, image, np.zeros_like(truth), (), ignored=_around(truth, ignored))
            continue
        boxes = known[path.name] if path.name in known else _boxes_of(truth)
        yield Case(path.name, image, truth, boxes, ignored=ignored)


def _around(marks: Mask, ignored: Mask | None) -> Mask:
    near = np.asarray(cv2.dilate(marks.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0)
    return near if ignored is None else near | ignored


def _read_mask(path: Path, image: Image) -> Mask:
    if not path.is_file():
        raise SourceError(f"expected the true mask {path}, which does not exist; name masks like their images")
    mask = read_image(path)
    if mask.shape[:2] != image.shape[:2]:
        raise SourceError(f"the mask {path} is {mask.shape[:2]}, its image {image.shape[:2]}; make them the same size")
    return np.asarray((mask if mask.ndim == 2 else mask.max(axis=2)) > 0)


def _boxes_of(truth: Mask) -> tuple[Box, ...]:
    near = cv2.dilate(truth.astype(np.uint8), np.ones((5, 5), np.uint8))
    count, _, stats, _ = cv2.connectedComponentsWithStats(near, connectivity=8)
    return tuple(("mark", *(int(value) for value in stats[number, :4])) for number in range(1, count))  # type: ignore[misc]


def _read_objects(path: Path) -> dict[str, tuple[Box, ...]]:
    try:
        entries = json.loads(path.read_text())
        return {name: tuple(_box(entry) for entry in marks) for name, marks in entries.items()}
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}; check the path") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise SourceError(
            f'{path} does not list marks; write {{"image.png": [{{"type": "text", "bbox": [x0, y0, x1, y1]}}]}}'
        ) from None


def _box(entry: dict) -> Box:
    left, top, right, bottom = (int(value) for value in entry["bbox"])
    return entry["type"], left, top, right - left, bottom - top
