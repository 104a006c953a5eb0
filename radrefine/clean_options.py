"""How a collection is cleaned, and what a run tells of it."""

from dataclasses import dataclass, field
from pathlib import Path

from radrefine.catalog import Layout
from radrefine.images import DEFAULT_MAX_PIXELS
from radrefine.members import DEFAULT_MAX_BYTES
from radrefine.refine import RefineOptions


@dataclass(frozen=True, slots=True)
class CleanOptions:
    """How a collection is cleaned; the help of each option stands in the metadata of its field."""

    refine: RefineOptions = field(default_factory=RefineOptions)
    jobs: int = field(default=0, metadata={"help": "Workers; 0 means one for each processor."})
    backend: str = field(
        default="loky",
        metadata={
            "help": "Where workers run: loky (processes), threading (one process, slower for ultrasound) or dask."
        },
    )
    scheduler: str | None = field(default=None, metadata={"help": "Address of a Dask scheduler, tcp://host:port."})
    layout: Layout = field(default="radimagenet", metadata={"help": "How paths are read: radimagenet or imagefolder."})
    modality: str | None = field(default=None, metadata={"help": "Modality of every image: CT, MR, US or XR."})
    masks: Path | None = field(
        default=None, metadata={"help": "Folder or archive of corrections to apply instead of finding marks."}
    )
    review: Path | None = field(
        default=None, metadata={"help": "Table of decisions about single marks, as the report exports it."}
    )
    link: bool = field(
        default=False,
        metadata={"help": "Hard links instead of copies: no extra space, but an edited output is an edited source."},
    )
    limit: int | None = field(default=None, metadata={"help": "Clean only the first N images."})
    follow_links: bool = field(default=False, metadata={"help": "Read through links inside a source folder."})
    max_bytes: int = field(default=DEFAULT_MAX_BYTES, metadata={"help": "Refuse files larger than this, bytes."})
    max_pixels: int = field(default=DEFAULT_MAX_PIXELS, metadata={"help": "Refuse images of more pixels than this."})
    timings: bool = field(
        default=False,
        metadata={"help": "Fill in elapsed_ms in the manifest, which then differs from run to run."},
    )


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
