"""Say what is in a collection: which images, of which modality, anatomy and pathology.

The label of an image is the parts of its path from the modality to its folder, joined with `__`:
`RadImageNet/CT/abd/adrenal_pathology/1.png` has the label `CT__abd__adrenal_pathology`. Names are taken as they are
written; nothing is corrected.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

from radrefine.errors import ImageError, SourceError, UsageError
from radrefine.images import DEFAULT_MAX_PIXELS
from radrefine.members import DICOM_SUFFIXES
from radrefine.schema import LABEL_SEPARATOR, MODALITIES
from radrefine.sources import DEFAULT_MAX_BYTES, Locator, Refusal, Source, open_members

Layout = Literal["radimagenet", "imagefolder"]
LAYOUTS: Final = ("radimagenet", "imagefolder")


class Place(NamedTuple):
    """What the path of an image says about it.

    Attributes:
        label: Class name.
        modality: CT, MR, US or XR.
        anatomy: The folder below the modality, None where there is none.
        pathology: The folders below the anatomy, joined with `__`, None where there is none.
    """

    label: str
    modality: str
    anatomy: str | None
    pathology: str | None


class Entry(NamedTuple):
    """One image of a collection.

    Attributes:
        path: Relative path in the source, POSIX form.
        label: Class name.
        modality: CT, MR, US or XR.
        anatomy: See `Place`.
        pathology: See `Place`.
        size: Bytes.
        stamp: Changes when the file does.
        locator: How to read it; see `radrefine.sources.read_bytes`.
    """

    path: str
    label: str
    modality: str
    anatomy: str | None
    pathology: str | None
    size: int
    stamp: str
    locator: Locator


@dataclass(frozen=True, slots=True)
class Catalog:
    """The images of a source, each with what its path says.

    Attributes:
        source: Where they lie.
        layout: How paths are read.
        modality: The modality of every image, None to take it from the path.
    """

    source: Source
    layout: Layout = "radimagenet"
    modality: str | None = None

    def entries(self) -> Iterator[Entry | Refusal]:
        """Yield every image in the fixed order of the source, and what was refused."""
        for member in self.source.members():
            if isinstance(member, Refusal):
                yield member
                continue
            try:
                place = parse_label(member.path, layout=self.layout, modality=self.modality)
            except ImageError as error:
                yield Refusal(member.path, str(error))
            else:
                yield Entry(member.path, *place, member.size, member.stamp, member.locator)

    def count(self) -> int | None:
        """Count the image files; None where only reading all of the source would tell."""
        return self.source.count()


def open_source(
    path: str | Path,
    *,
    layout: Layout = "radimagenet",
    modality: str | None = None,
    max_bytes: int = DEFAULT_MAX_BYTES,
    max_pixels: int = DEFAULT_MAX_PIXELS,
    follow_links: bool = False,
) -> Catalog:
    """Open a collection for reading in place.

    Args:
        path: A folder, `.tar`, `.tar.gz` or `.zip`.
        layout: "radimagenet" finds the modality among the folders; "imagefolder" takes the folders as the class.
        modality: CT, MR, US or XR for every image; None takes it from the path.
        max_bytes: Size of one file above which it is refused.
        max_pixels: Pixels of one frame above which a DICOM file is refused.
        follow_links: Whether links inside a folder are read through.

    Raises:
        SourceError: The source does not exist or is not what its name says.
        UsageError: The layout or modality is none of those known.
    """
    if layout not in LAYOUTS:
        raise UsageError(f"--layout {layout} is unknown; expected one of {', '.join(LAYOUTS)}")
    if modality is not None and modality not in MODALITIES:
        raise UsageError(f"--modality {modality} is unknown; expected one of {', '.join(MODALITIES)}")
    source = open_members(
        Path(path).expanduser(), max_bytes=max_bytes, max_pixels=max_pixels, follow_links=follow_links
    )
    return Catalog(source, layout, modality)


def parse_label(path: str, *, layout: Layout = "radimagenet", modality: str | None = None) -> Place:
    """Read label, modality, anatomy and pathology from the path of an image.

    Args:
        path: Relative POSIX path of the image.
        layout: With "imagefolder" the folders are the class, and images are ultrasound unless a folder or
            `modality` says otherwise.
        modality: The modality of every image; None takes it from the path.

    Raises:
        ImageError: No folder of the path names a modality, and none was given.
    """
    return _parse_folder(path.rpartition("/")[0], layout, modality)


@lru_cache(maxsize=4096)
def _parse_folder(folder: str, layout: str, modality: str | None) -> Place:
    parts = folder.split("/") if folder else []
    if folder.lower().endswith(DICOM_SUFFIXES):  # frames are listed below their file
        parts.pop()
    wanted = MODALITIES if modality is None else (modality,)
    start = next((index for index, part in enumerate(parts) if part in wanted), None)
    if layout == "imagefolder":
        known = modality or (parts[start] if start is not None else "US")
        return Place(LABEL_SEPARATOR.join(parts) or known, known, parts[0] if parts else None, _joined(parts[1:]))
    if start is not None:
        parts = parts[start:]
    elif modality is not None:
        parts = [modality, *parts]
    else:
        raise ImageError(
            f"no folder of its path is one of {', '.join(MODALITIES)}; for other trees name --modality US (or CT, MR, "
            "XR), and --layout imagefolder where the folders are the classes"
        )
    anatomy = parts[1] if len(parts) > 1 else None
    return Place(LABEL_SEPARATOR.join(parts), parts[0], anatomy, _joined(parts[2:]))


def _joined(parts: list[str]) -> str | None:
    return LABEL_SEPARATOR.join(parts) or None


def default_out(path: Path) -> Path:
    """Name the refined folder beside a source: `RadImageNet/` gives `RadImageNet-refined`, so does a tar of it.

    Raises:
        SourceError: The source has no name of its own, such as `/`.
    """
    resolved = path.expanduser().resolve()
    name = resolved.name
    if not resolved.is_dir():
        for suffix in (".tar.gz", ".tgz", ".tar", ".zip"):
            if name.lower().endswith(suffix):
                name = name[: -len(suffix)]
                break
    if not name:
        raise SourceError(f"{path} has no name to derive a folder from; name one with --out")
    return resolved.with_name(f"{name}-refined")
