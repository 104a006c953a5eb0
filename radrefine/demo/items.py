"""Records of the phantom collection."""

from dataclasses import dataclass
from pathlib import Path

COLLECTION = "RadImageNet-phantom"
DEFAULT_IMAGES = 618


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What `make_demo` makes.

    Attributes:
        images: Images in all, besides planned near-duplicates and faults.
        seed: Seed of the collection; the same seed gives the same bytes with the same versions of the libraries.
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
class Item:
    """One planned image: its path in the collection, its phantom and its number within the class."""

    path: str
    phantom: str
    number: int
