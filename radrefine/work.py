"""What a worker is told of one image, and what it tells of it afterwards."""

import dataclasses
import hashlib
import json
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from radrefine import __version__
from radrefine.corrections import Correction
from radrefine.images import DEFAULT_MAX_PIXELS
from radrefine.members import DEFAULT_MAX_BYTES, Locator
from radrefine.outputs import remove
from radrefine.refine import RefineOptions
from radrefine.review import Decision

if TYPE_CHECKING:
    pass


class Task(NamedTuple):
    """One image to be done.

    Attributes:
        position: Its place in the order of the source.
        source: Its path in the source.
        path: Its path in the refined folder, below `images/`.
        refine: Whether it is ultrasound; all else keeps its bytes.
        stamp: See `radrefine.sources.Member`.
        recipe: Stands for all options that shape its result.
        locator: How to read it.
        known_sha256: Hash that the file had when it was last done with the same recipe; None where it never was.
        correction: What to do to it, where corrections were given.
        decisions: Those of a person about its marks.
    """

    position: int
    source: str
    path: str
    refine: bool
    stamp: str
    recipe: str
    locator: Locator
    known_sha256: str | None = None
    correction: Correction | None = None
    decisions: tuple[Decision, ...] = ()


class Outcome(NamedTuple):
    """What became of one image; a row of the journal.

    `status` is one of `radrefine.schema.STATUSES`, or "unchanged" where only the stamp is new. `findings` is a JSON
    list of rows in the order of `radrefine.schema.FINDING_COLUMNS` without the path. `output_sha256` hashes the
    written image and mask; None where the source's bytes were passed on. The other fields are those of the manifest.
    """

    path: str
    source: str
    position: int
    stamp: str
    recipe: str
    status: str
    width: int | None = None
    height: int | None = None
    channels: int | None = None
    source_sha256: str | None = None
    pixel_sha256: str | None = None
    phash: str | None = None
    phash_refined: str | None = None
    blank: bool | None = None
    mask_fraction: float | None = None
    residual_score: float | None = None
    findings: str | None = None
    image_bytes: int | None = None
    mask_bytes: int | None = None
    output_sha256: str | None = None
    stage: str | None = None
    reason: str | None = None
    elapsed_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """What every worker must know.

    Attributes:
        out: The refined folder.
        refine: How ultrasound is refined.
        link: Whether bytes that are passed on become hard links.
        corrected: Whether predefined corrections take the place of finding marks.
        max_bytes: Size of one file above which it is refused.
        max_pixels: Pixels of one image above which it is refused.
    """

    out: str
    refine: RefineOptions = field(default_factory=RefineOptions)
    link: bool = False
    corrected: bool = False
    max_bytes: int = DEFAULT_MAX_BYTES
    max_pixels: int = DEFAULT_MAX_PIXELS

    @property
    def sees_together(self) -> bool:
        """Whether the network sees several images together: torch takes them in one batch, as a GPU wants them."""
        return self.refine.engine == "torch" and self.refine.detector != "classical" and not self.corrected


def versions() -> dict[str, str]:
    """Return the versions of what shapes the pixels of a refined image."""
    import cv2
    import numpy as np

    return {
        "radrefine": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
    }


def refine_recipe(options: RefineOptions) -> str:
    """Return a short name for what shapes every refined image: options, weights, templates, versions."""
    parts = {"options": dataclasses.asdict(options), **versions()}
    if options.detector != "classical":
        from radrefine.artifacts.learned.detector import weights_hash

        parts["weights"] = weights_hash(options.weights)
        if options.engine == "torch":
            parts["torch"] = metadata.version("torch")
    if options.templates:
        from radrefine.artifacts.classical.bank import templates_hash

        parts["templates"] = templates_hash(Path(options.templates))
    del parts["python"]
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=list).encode()).hexdigest()[:16]


def refined_name(path: str) -> str:
    """Return the name of a refined image: a PNG keeps its own, anything else gets `.png` appended."""
    return path if path.lower().endswith(".png") else f"{path}.png"


def outcome_of(task: Task, status: str, **fields: object) -> Outcome:
    """Return the outcome of an image, with some fields of its row."""
    return Outcome(task.path, task.source, task.position, task.stamp, task.recipe, status, **fields)  # type: ignore[arg-type]


def failed(settings: Settings, task: Task, stage: str, reason: str) -> Outcome:
    """Return the outcome of an image that did not make it.

    Args:
        settings: Names the refined folder, from which an earlier result of the image is removed.
        task: The image.
        stage: Where it failed: read, decode, write or worker.
        reason: One sentence for the failures table.
    """
    # An earlier version of the file may have been done; its result must not stay.
    remove(f"{settings.out}/images/{task.path}")
    remove(f"{settings.out}/masks/{task.path}")
    return outcome_of(task, "failed", stage=stage, reason=reason)
