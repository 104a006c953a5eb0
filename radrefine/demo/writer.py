"""Writes the images of the phantom collection with their truth."""

import csv
import dataclasses
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from radrefine.demo.items import COLLECTION, DemoOptions, DemoSummary, Item
from radrefine.files import write_bytes, write_text
from radrefine.marks import DRAWN_KINDS, MarkedImage, Style, add_clutter, draw_marks, random_style
from radrefine.phantoms import make_phantom
from radrefine.records import Image

# Share of ultrasound images with marks; lesions are measured more often than healthy tissue.
_MARKED = {"normal": 0.5, "": 0.7}
_PLACES = {
    "breast": ("BREAST", "AXILLA"),
    "thyroid": ("THYROID", "LOBE", "NECK"),
    "liver": ("LIVER", "LOBE"),
    "kidney": ("KIDNEY",),
    "hip": ("HIP",),
    "heart": ("ATRIUM", "VENTRICLE"),
}
# Share of ultrasound images with a needle, specular spots or colour flow: tissue that looks like marks.
_CLUTTERED = 0.12


class Writer:
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
        """Return where the image `relative` lies."""
        return self.out / COLLECTION / relative

    def picture(self, item: Item) -> Image:
        """Return the phantom of `item` without marks."""
        width = round(self.options.size * 4 / 3) if item.phantom == "US/heart" else self.options.size
        image = make_phantom(item.phantom, self.rng(f"{item.path}:phantom"), (self.options.size, width))
        if not item.phantom.startswith("US/"):
            return image
        image = np.repeat(image[..., None], 3, axis=2)
        rng = self.rng(f"{item.path}:clutter")
        return add_clutter(image, rng, count=1) if rng.random() < _CLUTTERED else image

    def add(self, item: Item) -> None:
        """Write the image of `item`, with marks and truth where it is ultrasound."""
        picture = self.picture(item)
        if item.phantom.startswith("US/"):
            self.write_marked(item.path, with_marks(picture, self.rng(f"{item.path}:marks"), item))
        else:
            self.write(item.path, encoded(picture))

    def write(self, relative: str, data: bytes) -> None:
        """Write one file of the collection."""
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

    def write_copy(self, relative: str, of: str, data: bytes) -> None:
        """Write an image that shows the same as `of`, with the same truth where that is ultrasound."""
        self.write(relative, data)
        truth, name = self.out / "truth", _png(relative)
        for folder in ("masks", "clean"):
            if (truth / folder / of).is_file():
                write_bytes(truth / folder / name, (truth / folder / of).read_bytes())
        same = [{**finding, "path": relative} for finding in self.findings if finding["path"] == of]
        self.findings += same
        self.marked += bool(same)

    def duplicate(self, relative: str, of: str, relation: str) -> None:
        """Note that the image `relative` shows the same as `of`."""
        self.duplicates.append({"path": relative, "of": of, "relation": relation})

    def fault(self, relative: str, fault: str) -> None:
        """Note what is wrong with the file `relative`."""
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


def style_for(picture: Image, rng: np.random.Generator, item: Item) -> Style:
    """Draw the style of one screen, with annotations that name the organ in the picture."""
    return dataclasses.replace(random_style(rng, picture.shape[:2]), places=_PLACES[item.phantom.split("/")[1]])


def with_marks(picture: Image, rng: np.random.Generator, item: Item) -> MarkedImage:
    """Draw marks as often as the class has them; every kind comes round in turn."""
    style = style_for(picture, rng, item)
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


def _png(relative: str) -> str:
    """Return the name of the mask of `relative`: other formats than PNG get `.png` appended."""
    return relative if relative.endswith(".png") else relative + ".png"


def encoded(image: Image, suffix: str = ".png", quality: int = 90, *, compression: int = 1) -> bytes:
    """Return `image` (grey or RGB) as the bytes of a PNG or JPEG file."""
    bgr = np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image
    options = [cv2.IMWRITE_PNG_COMPRESSION, compression] if suffix == ".png" else [cv2.IMWRITE_JPEG_QUALITY, quality]
    return bytes(cv2.imencode(suffix, bgr, options)[1])


def decoded(data: bytes) -> Image:
    """Return the grey or RGB image in the bytes of a file."""
    image = np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED), np.uint8)
    return np.ascontiguousarray(image[..., ::-1]) if image.ndim == 3 else image


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return buffer.getvalue()
