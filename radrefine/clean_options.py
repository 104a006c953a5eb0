"""How a collection is cleaned, and what a run tells of it."""

from dataclasses import dataclass, field
from pathlib import Path

from radrefine.catalog import Layout
from radrefine.images import DEFAULT_MAX_PIXELS
from radrefine.members import DEFAULT_MAX_BYTES
from radrefine.refine import RefineOptions


@dataclass(frozen=True, slots=True)
class CleanOptions:
    """How a collection is cleaned.

    Attributes:
        refine: How ultrasound is refined.
        jobs: Workers; 0 means one for each processor.
        backend: Where workers run: loky (processes), threading (one process, slower for ultrasound) or dask.
        scheduler: Address of a Dask scheduler, tcp://host:port.
        layout: How paths are read: radimagenet or imagefolder.
        modality: Modality of every image: CT, MR, US or XR.
        masks: Folder or archive of corrections to apply instead of finding marks.
        review: Table of decisions about single marks, as the report exports it.
        link: Hard links instead of copies: no extra space, but an edited output is an edited source.
        limit: Clean only the first N images.
        follow_links: Read through links inside a source folder.
        max_bytes: Refuse files larger than this, bytes.
        max_pixels: Refuse images of more pixels than this.
        timings: Fill in elapsed_ms in the manifest, which then differs from run to run.
    """

    refine: RefineOptions = field(default_factory=RefineOptions)
    jobs: int = 0
    backend: str = "loky"
    scheduler: str | None = None
    layout: Layout = "radimagenet"
    modality: str | None = None
    masks: Path | None = None
    review: Path | None = None
    link: bool = False
    limit: int | None = None
    follow_links: bool = False
    max_bytes: int = DEFAULT_MAX_BYTES
    max_pixels: int = DEFAULT_MAX_PIXELS
    timings: bool = False


@dataclass(frozen=True, slots=True)
class CleanSummary:
    """What a run did.

    Attributes:
        out: The refined folder.
        counts: Images by status, and under "failed" also the files that were refused.
        done: Images that this run worked on.
        kept: Images that an earlier run had done.
        seconds: Duration of this run.
        notes: What went wrong on the way without harm to the result.
    """

    out: Path
    counts: dict[str, int]
    done: int
    kept: int
    seconds: float
    notes: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Files that did not make it."""
        return self.counts.get("failed", 0)
