"""Clean pictures to draw marks on: folders of real ones and phantoms."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from radrefine.areas import grown
from radrefine.artifacts.colours import to_grey
from radrefine.errors import UsageError
from radrefine.images import list_images, read_image
from radrefine.inpaint import inpaint
from radrefine.phantoms import PHANTOMS, make_phantom

T = TypeVar("T")

_SCENES: Final = tuple(name for name in PHANTOMS if name.startswith("US/"))
# Of the real pictures, one in this many is kept for validation.
_HELD_OUT: Final = 6


@dataclass(frozen=True, slots=True)
class Backgrounds:
    """Clean pictures, all grey.

    Attributes:
        real: (H, W) uint8 pictures from folders.
        phantoms: (H, W) uint8 phantoms.
        sources: Name of each folder and how many pictures it gave.
        names: `folder/file` of each of `real`.
    """

    real: tuple[NDArray[np.uint8], ...]
    phantoms: tuple[NDArray[np.uint8], ...]
    sources: tuple[tuple[str, int], ...]
    names: tuple[str, ...] = ()

    @property
    def pictures(self) -> tuple[NDArray[np.uint8], ...]:
        """All pictures, the real ones first."""
        return self.real + self.phantoms


def load_backgrounds(
    folders: Sequence[Path], *, leave_out: Sequence[str] = (), phantoms: int = 96, seed: int = 0, size: int = 256
) -> tuple[Backgrounds, Backgrounds]:
    """Read clean pictures for training and for validation.

    Where a folder `NAME_masks` lies beside a folder `NAME`, its masks tell the few marks that the pictures have; they
    are filled, so that no mark is taught to be tissue.

    Args:
        folders: Folders of clean images.
        leave_out: Words; folders and phantoms whose name contains one of them are left out.
        phantoms: Number of phantoms, a sixth of them for validation.
        seed: Of the phantoms.
        size: Side of the phantoms, px.

    Returns:
        The pictures for training and those for validation; none is in both.

    Raises:
        UsageError: Nothing is left to train on.
        SourceError: A folder without images.
    """
    kept = [folder for folder in folders if not _named(folder.name, leave_out)]
    scenes = [scene for scene in _SCENES if not _named(scene, leave_out)]
    if not kept and (not scenes or phantoms < 1):
        raise UsageError("no backgrounds are left to train on; name more --backgrounds or leave out less")
    files = {folder: list_images(folder) for folder in kept}
    pictures = [_read_unmarked(folder, path) for folder in kept for path in files[folder]]
    names = [f"{folder.name}/{path.relative_to(folder)}" for folder in kept for path in files[folder]]
    sources = tuple((folder.name, len(files[folder])) for folder in kept)
    count = phantoms if scenes else 0
    made = [
        make_phantom(scenes[number % len(scenes)], np.random.default_rng([seed, number]), (size, size))
        for number in range(count)
    ]
    sources += (("phantoms", count),)
    return (
        Backgrounds(_rest(pictures), _rest(made), sources, _rest(names)),
        Backgrounds(tuple(pictures[::_HELD_OUT]), tuple(made[::_HELD_OUT]), sources, tuple(names[::_HELD_OUT])),
    )


def _rest(items: Sequence[T]) -> tuple[T, ...]:
    """Return what is not held out."""
    return tuple(item for number, item in enumerate(items) if number % _HELD_OUT)


def _named(name: str, words: Sequence[str]) -> bool:
    return any(word.lower() in name.lower() for word in words)


def _read_unmarked(folder: Path, path: Path) -> NDArray[np.uint8]:
    grey = to_grey(read_image(path))
    mask = folder.with_name(f"{folder.name}_masks") / f"{path.stem}.png"
    if not mask.is_file():
        return grey
    marks = to_grey(read_image(mask)) > 0
    return inpaint(grey, grown(marks, 2))
