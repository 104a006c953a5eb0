"""What is wrong with the phantom collection on purpose: near-duplicates, blank and broken files."""

from collections.abc import Iterator, Sequence
from pathlib import PurePosixPath

import cv2
import numpy as np

from radrefine.demo.items import Item
from radrefine.demo.writer import Writer, decoded, encoded, style_for, with_marks
from radrefine.marks import draw_marks
from radrefine.records import Image

# Near-duplicates of each sort.
_EACH = 6


def add_duplicates(writer: Writer, items: Sequence[Item]) -> None:
    """Add what archives hold twice: copies under two labels, files saved again, neighbouring frames, marked pairs."""
    chosen = _picks(writer, items)
    for _ in range(_EACH):
        _add_copy(writer, next(chosen), items)
    for number in range(_EACH):
        _add_saved_again(writer, next(chosen), as_jpeg=number % 2 == 1)
    for _ in range(_EACH):
        _add_neighbour(writer, next(chosen))
    for item in [item for item in items if item.phantom.startswith("US/") and item.number == 2][:_EACH]:
        _add_pair(writer, item)


def _picks(writer: Writer, items: Sequence[Item]) -> Iterator[Item]:
    """Yield items of classes with a pathology, ultrasound and others in turn, in an order that the seed decides."""
    candidates = [item for item in items if item.phantom.count("/") == 2 and item.number != 2]
    order = writer.rng("duplicates").permutation(len(candidates))
    ultrasound = [candidates[index] for index in order if candidates[index].phantom.startswith("US/")]
    others = [candidates[index] for index in order if not candidates[index].phantom.startswith("US/")]
    for pair in zip(ultrasound, others, strict=False):
        yield from pair


def _add_copy(writer: Writer, item: Item, items: Sequence[Item]) -> None:
    """Add the same bytes under another pathology of the same organ: a label conflict."""
    organ = item.phantom.rsplit("/", 1)[0]
    labels = sorted({other.phantom for other in items if other.phantom.startswith(organ + "/")} - {item.phantom})
    relative = f"{(labels or [item.phantom])[0]}/copy_of_{PurePosixPath(item.path).name}"
    writer.write_copy(relative, item.path, writer.path(item.path).read_bytes())
    writer.duplicate(relative, item.path, "same bytes")


def _add_saved_again(writer: Writer, item: Item, *, as_jpeg: bool) -> None:
    """Add the same picture in a file of other bytes: a PNG packed harder, or a JPEG."""
    image = decoded(writer.path(item.path).read_bytes())
    data = encoded(image, ".jpg", 88) if as_jpeg else encoded(image, compression=9)
    relative = f"{item.phantom}/{PurePosixPath(item.path).stem}_saved_again{'.jpg' if as_jpeg else '.png'}"
    writer.write_copy(relative, item.path, data)
    writer.duplicate(relative, item.path, "saved again")


def _add_neighbour(writer: Writer, item: Item) -> None:
    """Add the next frame of the same sequence: moved by a pixel or two, with new noise and the marks in place."""
    rng = writer.rng(f"{item.path}:neighbour")
    frame = _next_frame(writer.picture(item), rng)
    relative = f"{item.phantom}/{PurePosixPath(item.path).stem}_next.png"
    if item.phantom.startswith("US/"):
        writer.write_marked(relative, with_marks(frame, writer.rng(f"{item.path}:marks"), item))
    else:
        writer.write(relative, encoded(frame))
    writer.duplicate(relative, item.path, "neighbouring frame")


def _next_frame(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    zoom, turn = 1 + float(rng.normal(0, 0.004)), float(rng.normal(0, 0.3))
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom), np.float64)
    matrix[:, 2] += rng.normal(0, 0.0035 * width, 2)
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    noise = rng.normal(0, 1.5, image.shape[:2])
    noisy = moved * float(rng.uniform(0.98, 1.02)) + (noise[..., None] if image.ndim == 3 else noise)
    return np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)


def _add_pair(writer: Writer, item: Item) -> None:
    """Add the same ultrasound frame without marks and with other ones, as archives keep both."""
    picture, rng = writer.picture(item), writer.rng(f"{item.path}:pair")
    stem = PurePosixPath(item.path).stem
    plain, measured = (f"{item.phantom}/{stem}_{name}.png" for name in ("plain", "measured"))
    writer.write_marked(plain, draw_marks(picture, rng, count=0))
    writer.write_marked(measured, draw_marks(picture, rng, ["caliper", "text"], style=style_for(picture, rng, item)))
    writer.duplicate(plain, item.path, "same frame without marks")
    writer.duplicate(measured, item.path, "same frame with other marks")


def add_faults(writer: Writer) -> None:
    """Add two blank images, a truncated file and a text file that calls itself an image."""
    size = writer.options.size
    whole = writer.path("US/liver/normal/normal_0001.png").read_bytes()
    notes = b"Not an image: somebody saved their notes under the wrong name.\n"
    for relative, fault, data in (
        ("US/breast/normal/blank_0001.png", "blank", encoded(np.zeros((size, size, 3), np.uint8))),
        ("CT/chest/normal/blank_0001.png", "blank", encoded(np.full((size, size), 17, np.uint8))),
        ("US/liver/normal/truncated_0001.png", "truncated", whole[: len(whole) // 2]),
        ("US/thyroid/nodule/notes_0001.png", "text, not an image", notes),
    ):
        writer.write(relative, data)
        writer.fault(relative, fault)
