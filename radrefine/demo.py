"""Make a small collection of phantoms in RadImageNet's layout, with everything known that cleaning has to find.

Under the output folder, `RadImageNet-phantom/<CT|MR|US|XR>/<anatomy>/[<pathology>/]<file>` is the collection, and
`truth/` beside it what is known about it: `masks/` and `findings.csv` (where the marks are), `clean/` (the marked
ultrasound images without their marks), `duplicates.csv` and `faults.csv` (what is wrong on purpose), `demo.json`.
"""

import csv
import dataclasses
import io
import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from radrefine.errors import UsageError
from radrefine.files import write_bytes, write_json, write_text
from radrefine.marks import DRAWN_KINDS, MarkedImage, draw_marks, random_style
from radrefine.phantoms import make_phantom
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.records import Image
from radrefine.schema import SCHEMA

COLLECTION = "RadImageNet-phantom"

# Images of each class in a collection of the default size; unequal, as in every clinic.
_CLASSES = {
    "CT/abdomen/normal": 42,
    "CT/abdomen/liver_lesion": 22,
    "CT/chest/normal": 34,
    "CT/chest/nodule": 18,
    "CT/chest/effusion": 12,
    "CT/head/normal": 30,
    "CT/head/haemorrhage": 16,
    "MR/brain/normal": 30,
    "MR/brain/tumour": 22,
    "MR/brain/plaques": 12,
    "MR/knee/normal": 22,
    "MR/knee/effusion": 12,
    "US/breast/normal": 40,
    "US/breast/cyst": 32,
    "US/breast/malignant": 26,
    "US/thyroid/normal": 22,
    "US/thyroid/nodule": 34,
    "US/liver/normal": 26,
    "US/liver/cyst": 14,
    "US/kidney/normal": 20,
    "US/kidney/stone": 12,
    "US/hip": 14,
    "US/heart": 12,
    "XR/chest/normal": 32,
    "XR/chest/pneumonia": 18,
    "XR/chest/effusion": 12,
    "XR/hand/normal": 20,
    "XR/hand/fracture": 12,
}
DEFAULT_IMAGES = sum(_CLASSES.values())
# A class needs three images to appear in training, validation and test.
_FEWEST = 3
# Share of ultrasound images with marks; lesions are measured more often than healthy tissue.
_MARKED = {"normal": 0.5, "": 0.7}
_PAIRS = 6


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `make_demo` makes.

    Attributes:
        images: Images in all, besides planned near-duplicates and faults.
        seed: Seed of the collection; the same seed gives the same bytes.
        size: Height of the images, px.
    """

    images: int = DEFAULT_IMAGES
    seed: int = 0
    size: int = 224


@dataclass(frozen=True, slots=True)
class DemoSummary:
    """What `make_demo` wrote.

    Attributes:
        collection: Folder of the images.
        truth: Folder of what is known about them.
        images: Image files written, duplicates and faults included.
        classes: Classes in the collection.
        marked: Ultrasound images that carry marks.
        findings: Marks in all.
        duplicates: Planned near-duplicates.
        faults: Images that are blank or cannot be read, on purpose.
    """

    collection: Path
    truth: Path
    images: int
    classes: int
    marked: int
    findings: int
    duplicates: int
    faults: int


@dataclass(frozen=True, slots=True)
class _Item:
    path: str
    phantom: str
    number: int


def make_demo(
    out: Path, options: DemoOptions | None = None, progress: ProgressCallback = ignore_progress
) -> DemoSummary:
    """Write a phantom collection and its truth under `out`.

    Every image is made from a seed of its own (`options.seed` and its name), so that it does not depend on the order
    or number of the others.

    Args:
        out: Folder to write `RadImageNet-phantom/` and `truth/` into.
        options: Number of images, seed and size; None for the defaults.
        progress: Called after each image.

    Returns:
        Where the collection is and what it holds.

    Raises:
        UsageError: Too few images, too small a size, or a folder that holds another collection.
    """
    options = DemoOptions() if options is None else options
    items = _plan(options)
    _claim(out, options)
    writer = _Writer(out, options)
    for number, item in enumerate(items, 1):
        writer.add(item)
        progress(Progress("phantoms", number, len(items), {"marked": writer.marked}))
    _add_duplicates(writer, items)
    _add_faults(writer)
    return writer.finish(len({item.phantom for item in items}))


def _plan(options: DemoOptions) -> list[_Item]:
    fewest = _FEWEST * len(_CLASSES)
    if options.images < fewest:
        raise UsageError(f"--images must be at least {fewest} ({_FEWEST} for each class), got {options.images}")
    if not 64 <= options.size <= 2048:
        raise UsageError(f"--size must be between 64 and 2048 px, got {options.size}")
    counts = _shared_out(options.images)
    return [
        _Item(f"{name}/{name.rsplit('/', 1)[1]}_{number:04d}.png", name, number)
        for name, count in counts.items()
        for number in range(1, count + 1)
    ]


def _shared_out(images: int) -> dict[str, int]:
    """Share `images` out over the classes in their proportions, largest remainders first, a few to each."""
    spare = images - _FEWEST * len(_CLASSES)
    exact = {name: spare * weight / DEFAULT_IMAGES for name, weight in _CLASSES.items()}
    if images == DEFAULT_IMAGES:
        return dict(_CLASSES)
    counts = {name: _FEWEST + int(share) for name, share in exact.items()}
    by_remainder = sorted(exact, key=lambda name: exact[name] - int(exact[name]), reverse=True)
    for name in by_remainder[: images - sum(counts.values())]:
        counts[name] += 1
    return counts


def _claim(out: Path, options: DemoOptions) -> None:
    """Note the options in the output folder; refuse a folder that holds another collection."""
    note = out / "truth" / "demo.json"
    wanted = {"schema": SCHEMA, **asdict(options)}
    if note.is_file():
        try:
            known = json.loads(note.read_text())
        except ValueError:
            known = {}
        if {key: known.get(key) for key in wanted} == wanted:
            return
    if (out / COLLECTION).exists() or (out / "truth").exists():
        raise UsageError(
            f"{out} already holds another collection ({COLLECTION}/ or truth/); delete it or choose another --out"
        )
    write_json(note, wanted)


class _Writer:
    """Writes images with their truth and remembers what the tables need."""

    def __init__(self, out: Path, options: DemoOptions) -> None:
        self.out, self.options = out, options
        self.images = self.marked = 0
        self.findings: list[dict[str, Any]] = []
        self.duplicates: list[dict[str, str]] = []
        self.faults: list[dict[str, str]] = []

    def rng(self, key: str) -> np.random.Generator:
        """Return the generator that belongs to `key` and to no other."""
        return np.random.default_rng([self.options.seed, zlib.crc32(key.encode())])

    def path(self, relative: str) -> Path:
        return self.out / COLLECTION / relative

    def picture(self, item: _Item) -> Image:
        """Return the phantom of `item` without marks."""
        width = round(self.options.size * 4 / 3) if item.phantom == "US/heart" else self.options.size
        image = make_phantom(item.phantom, self.rng(f"{item.path}:phantom"), (self.options.size, width))
        return np.repeat(image[..., None], 3, axis=2) if item.phantom.startswith("US/") else image

    def add(self, item: _Item) -> None:
        """Write the image of `item`, with marks and truth where it is ultrasound."""
        picture = self.picture(item)
        if item.phantom.startswith("US/"):
            self.write_marked(item.path, _with_marks(picture, self.rng(f"{item.path}:marks"), item))
        else:
            self.write(item.path, encoded(picture))

    def write(self, relative: str, data: bytes) -> None:
        write_bytes(self.path(relative), data)
        self.images += 1

    def write_marked(self, relative: str, marked: MarkedImage) -> None:
        """Write an ultrasound image, its mask, its findings and, where it has marks, the image without them."""
        self.write(relative, encoded(marked.image))
        truth = self.out / "truth"
        write_bytes(truth / "masks" / relative, encoded(np.where(marked.mask, 255, 0).astype(np.uint8)))
        if not marked.findings:
            return
        self.marked += 1
        write_bytes(truth / "clean" / relative, encoded(marked.clean))
        for finding in marked.findings:
            box = {"x": finding.x, "y": finding.y, "width": finding.width, "height": finding.height}
            self.findings.append({"path": relative, "kind": finding.kind, **box})

    def duplicate(self, relative: str, of: str, relation: str) -> None:
        self.duplicates.append({"path": relative, "of": of, "relation": relation})

    def fault(self, relative: str, fault: str) -> None:
        self.faults.append({"path": relative, "fault": fault})

    def finish(self, classes: int) -> DemoSummary:
        """Write the tables and return the summary."""
        truth = self.out / "truth"
        write_text(truth / "findings.csv", _table(("path", "kind", "x", "y", "width", "height"), self.findings))
        write_text(truth / "duplicates.csv", _table(("path", "of", "relation"), self.duplicates))
        write_text(truth / "faults.csv", _table(("path", "fault"), self.faults))
        return DemoSummary(
            collection=self.out / COLLECTION,
            truth=truth,
            images=self.images,
            classes=classes,
            marked=self.marked,
            findings=len(self.findings),
            duplicates=len(self.duplicates),
            faults=len(self.faults),
        )


def _with_marks(picture: Image, rng: np.random.Generator, item: _Item) -> MarkedImage:
    """Draw marks as often as the class has them; every kind comes round in turn."""
    place = item.phantom.split("/")[1].upper()
    style = dataclasses.replace(random_style(rng, picture.shape[:2]), places=(place,))
    share = _MARKED["normal"] if "normal" in item.phantom else _MARKED[""]
    jpeg = int(rng.integers(60, 95)) if rng.random() < 0.25 else None
    if item.phantom == "US/heart":  # a capture of the whole screen
        kinds = ["ui_bar", "text", "text", "tick", "probe_mark", *rng.choice(["caliper", "arrow", "colour_overlay"], 1)]
        return draw_marks(picture, rng, kinds, style=style, jpeg=jpeg)
    if rng.random() > share:
        return draw_marks(picture, rng, count=0, jpeg=jpeg)
    first = DRAWN_KINDS[item.number % len(DRAWN_KINDS)]
    further = [str(kind) for kind in rng.choice(["caliper", "text", "probe_mark", first], int(rng.integers(0, 3)))]
    return draw_marks(picture, rng, [first, *further], style=style, jpeg=jpeg)


def _add_duplicates(writer: _Writer, items: Sequence[_Item]) -> None:
    """Add what clinics' archives hold twice: copies under two labels, re-encodings, neighbouring frames, pairs."""
    chosen = _picks(writer, items)
    labels = sorted({item.phantom for item in items})
    for item in [next(chosen) for _ in range(_PAIRS)]:
        anatomy = item.phantom.rsplit("/", 1)[0]
        others = [label for label in labels if label.startswith(anatomy + "/") and label != item.phantom]
        folder = others[0] if others else item.phantom
        _again(
            writer, item, f"{folder}/copy_of_{Path(item.path).name}", "same bytes", writer.path(item.path).read_bytes()
        )
    for item in [next(chosen) for _ in range(_PAIRS)]:
        image = _decoded(writer.path(item.path).read_bytes())
        data = encoded(image, ".jpg", 88) if item.number % 2 else encoded(image, compression=9)
        suffix = ".jpg" if item.number % 2 else ".png"
        _again(writer, item, f"{item.phantom}/{Path(item.path).stem}_saved_again{suffix}", "encoded again", data)
    for item in [next(chosen) for _ in range(_PAIRS)]:
        _add_neighbour(writer, item)
    for item in [item for item in items if item.phantom.startswith("US/") and item.number == 2][:_PAIRS]:
        _add_pair(writer, item)


def _picks(writer: _Writer, items: Sequence[_Item]) -> Iterator[_Item]:
    """Yield items of all modalities in a random order that the seed decides; ultrasound stays apart."""
    # An ultrasound image that was copied needs its truth copied too; `_add_neighbour` and `_add_pair` do that.
    others = [item for item in items if not item.phantom.startswith("US/") and item.phantom.count("/") == 2]
    order = writer.rng("duplicates").permutation(len(others))
    return (others[index] for index in order)


def _again(writer: _Writer, item: _Item, relative: str, relation: str, data: bytes) -> None:
    writer.write(relative, data)
    writer.duplicate(relative, item.path, relation)


def _add_neighbour(writer: _Writer, item: _Item) -> None:
    """Add the next frame of the same sequence: moved by a pixel or two, with new noise."""
    rng = writer.rng(f"{item.path}:neighbour")
    image = _decoded(writer.path(item.path).read_bytes())
    relative = f"{item.phantom}/{Path(item.path).stem}_next.png"
    _again(writer, item, relative, "neighbouring frame", encoded(_next_frame(image, rng)))


def _next_frame(image: Image, rng: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    zoom, turn = 1 + float(rng.normal(0, 0.004)), float(rng.normal(0, 0.3))
    matrix = np.asarray(cv2.getRotationMatrix2D((width / 2, height / 2), turn, zoom), np.float64)
    matrix[:, 2] += rng.normal(0, 0.8, 2)
    moved = cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT)
    noisy = moved * float(rng.uniform(0.98, 1.02)) + rng.normal(0, 1.5, image.shape[:2]).reshape(
        *image.shape[:2], *(1,) * (image.ndim - 2)
    )
    return np.rint(np.clip(noisy, 0, 255)).astype(np.uint8)


def _add_pair(writer: _Writer, item: _Item) -> None:
    """Add the same ultrasound frame with and without marks, as archives keep both."""
    picture = writer.picture(item)
    rng = writer.rng(f"{item.path}:pair")
    stem = Path(item.path).stem
    plain, measured = (f"{item.phantom}/{stem}_{name}.png" for name in ("plain", "measured"))
    writer.write_marked(plain, draw_marks(picture, rng, count=0))
    writer.write_marked(measured, draw_marks(picture, rng, ["caliper", "text"]))
    writer.duplicate(plain, item.path, "same frame without marks")
    writer.duplicate(measured, item.path, "same frame with other marks")


def _add_faults(writer: _Writer) -> None:
    """Add a blank image, a truncated file, a text file and an empty file that call themselves images."""
    size = writer.options.size
    writer.write("US/breast/normal/blank_0001.png", encoded(np.zeros((size, size, 3), np.uint8)))
    writer.fault("US/breast/normal/blank_0001.png", "blank")
    writer.write("CT/chest/normal/blank_0001.png", encoded(np.full((size, size), 17, np.uint8)))
    writer.fault("CT/chest/normal/blank_0001.png", "blank")
    whole = writer.path("US/liver/normal/normal_0001.png").read_bytes()
    writer.write("US/liver/normal/truncated_0001.png", whole[: len(whole) // 2])
    writer.fault("US/liver/normal/truncated_0001.png", "truncated")
    writer.write(
        "US/thyroid/nodule/notes_0001.png", b"Not an image: somebody saved their notes under the wrong name.\n"
    )
    writer.fault("US/thyroid/nodule/notes_0001.png", "text, not an image")


def encoded(image: Image, suffix: str = ".png", quality: int = 90, *, compression: int = 1) -> bytes:
    """Return `image` (grey or RGB) as the bytes of a PNG or JPEG file."""
    bgr = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    options = [cv2.IMWRITE_PNG_COMPRESSION, compression] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    return bytes(cv2.imencode(suffix, bgr, options)[1])


def _decoded(data: bytes) -> Image:
    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
