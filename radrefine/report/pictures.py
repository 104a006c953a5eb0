"""Put the pictures that the pages show beside them."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from radrefine.errors import ImageError, MissingExtraError
from radrefine.files import write_bytes
from radrefine.images import DEFAULT_MAX_PIXELS, decode_image, encode_png
from radrefine.members import DICOM_SUFFIXES, FileLocator, FrameLocator, Locator, Member, has_suffix, read_bytes
from radrefine.outputs import Bounds, bounds_of
from radrefine.progress import Progress, ProgressCallback
from radrefine.report.gallery import GalleryItem
from radrefine.sources import open_members
from radrefine.work import refined_name

# What every browser shows as it is.
_SHOWN: Final = {".png", ".jpg", ".jpeg"}


def write_pictures(
    items: list[GalleryItem], refined: Path, source: Path | None, out: Path, progress: ProgressCallback
) -> None:
    """Write the pictures of `items` below `out` and note their places in the items.

    An image in which nothing was replaced needs no picture before refinement.

    Args:
        items: The images to show; changed in place.
        refined: The refined folder.
        source: Folder or archive of the images before refinement; None leaves those pictures out.
        out: Folder of the page.
        progress: Receives the state of the work.
    """
    by_path = {item.path: item for item in items}
    for done, (number, item) in enumerate(enumerate(items), start=1):
        name = f"{number:06d}.png"
        item.after = _copy(refined / "images" / item.path, out / "after" / name, out)
        item.mask = _copy(refined / "masks" / item.path, out / "mask" / name, out)
        progress(Progress("pictures", done, len(items)))
    if source is not None and items:
        numbers = {item.path: number for number, item in enumerate(items) if item.status == "refined"}
        _write_before(by_path, numbers, source, out, bounds_of(refined))


def copy_picture(source: Path, stem: Path, out: Path, max_pixels: int = DEFAULT_MAX_PIXELS) -> str:
    """Put an image of any kind beside the page, in a form that a browser shows.

    Args:
        source: An image of the refined folder.
        stem: The picture without its ending.
        out: Folder of the page.
        max_pixels: Pixels above which an image is left out.

    Returns:
        The path of the picture relative to the page; empty where the image is missing or unreadable.
    """
    suffix = source.suffix.lower()
    if suffix in _SHOWN:
        return _copy(source, stem.with_name(stem.name + suffix), out)
    target = stem.with_name(stem.name + ".png")
    try:
        write_bytes(target, encode_png(decode_image(source.read_bytes(), max_pixels=max_pixels)))
    except (ImageError, OSError):
        return ""
    return target.relative_to(out).as_posix()


def _copy(source: Path, target: Path, out: Path) -> str:
    if not source.is_file():
        return ""
    target.parent.mkdir(exist_ok=True)
    shutil.copyfile(source, target)
    return target.relative_to(out).as_posix()


def _write_before(
    items: Mapping[str, GalleryItem], numbers: Mapping[str, int], source: Path, out: Path, bounds: Bounds
) -> None:
    for path, data in _read_sources(source, set(numbers), bounds):
        target = out / "before" / f"{numbers[path]:06d}.png"
        # A source that changed since it was refined may be unreadable now; the page says that the picture is missing.
        with contextlib.suppress(ImageError):
            write_bytes(target, encode_png(decode_image(data, max_pixels=bounds.max_pixels)))
            items[path].before = target.relative_to(out).as_posix()


def _read_sources(source: Path, wanted: set[str], bounds: Bounds) -> Iterator[tuple[str, bytes]]:
    """Yield the manifest path and the bytes of the `wanted` images that the source still holds."""
    for path, locator in _locate(source, wanted, bounds):
        # The source may have changed since; the page says which pictures are missing.
        with contextlib.suppress(ImageError, OSError, MissingExtraError):
            yield path, read_bytes(locator, max_bytes=bounds.max_bytes)


def _locate(source: Path, wanted: set[str], bounds: Bounds) -> Iterator[tuple[str, Locator]]:
    if source.is_dir():
        # A folder of a million files need not be listed to find a few hundred.
        for path in sorted(wanted):
            locator = _find_file(source, path, bounds)
            if locator is not None:
                yield path, locator
        return
    for member in open_members(source, max_bytes=bounds.max_bytes, max_pixels=bounds.max_pixels).members():
        if isinstance(member, Member) and refined_name(member.path) in wanted:
            yield refined_name(member.path), member.locator


def _find_file(source: Path, path: str, bounds: Bounds) -> Locator | None:
    """Return where the image lies from which the refined image `path` was made."""
    for name in (path, path.removesuffix(".png")):
        if (source / name).is_file():
            return FileLocator(str(source / name))
    file, _, frame = path.rpartition("/")
    if has_suffix(file, DICOM_SUFFIXES) and (source / file).is_file():
        return FrameLocator(FileLocator(str(source / file)), int(frame.removesuffix(".png")), bounds.max_pixels)
    return None
