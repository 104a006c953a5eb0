"""What a user may choose about a split."""

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from radrefine.audit.confirm import MIN_CORRELATION
from radrefine.audit.neighbours import MAX_DISTANCE
from radrefine.errors import UsageError
from radrefine.schema import SPLITS

RARE_POLICIES: Final = ("one-each", "train", "error")
LAYOUTS: Final = ("csv", "imagefolder")
DUPLICATES: Final = "duplicates"


@dataclass(frozen=True, slots=True)
class SplitOptions:
    """Options of a split; the text beside each is the command's help."""

    ratios: str = field(default="24:1:2", metadata={"help": "Sizes of train, val and test, such as 24:1:2 or 8:1:1."})
    stratify: bool = field(default=True, metadata={"help": "Divide every class in the ratios, not only the whole."})
    seed: int = field(default=0, metadata={"help": "Decides between groups that are alike."})
    group_by: tuple[str, ...] = field(
        default=(DUPLICATES,),
        metadata={"help": "Columns whose equal values stay in one part; 'duplicates' is always among them."},
    )
    duplicates: bool = field(
        default=True, metadata={"help": "Keep exact and near-duplicates in one part. Without it, images may leak."}
    )
    sequence: int = field(
        default=0, metadata={"help": "Keep files in one part whose numbers differ by at most this; 0 for not."}
    )
    metadata: Path | None = field(
        default=None, metadata={"help": "CSV, TSV or Parquet file with a row per image, joined by file name."}
    )
    rare: str = field(
        default="one-each",
        metadata={"help": "Classes too small for the ratios: one-each (a group in every part), train, or error."},
    )
    given: tuple[Path, ...] = field(
        default=(), metadata={"help": "CSV files of a split made by others (train, val, test) to verify and use."}
    )
    extend: Path | None = field(
        default=None, metadata={"help": "An earlier split: its images stay in their parts, new ones are added."}
    )
    folds: int = field(default=0, metadata={"help": "Make this many folds for cross-validation instead of one split."})
    layout: str = field(
        default="csv", metadata={"help": "csv, or imagefolder for <part>/<class>/<file> links beside the CSV files."}
    )
    keep_blank: bool = field(default=False, metadata={"help": "Keep blank images, all in train, not leave them out."})
    max_distance: int = field(
        default=MAX_DISTANCE, metadata={"help": "Bits in which perceptual hashes of near-duplicates may differ."}
    )
    min_correlation: float = field(
        default=MIN_CORRELATION,
        metadata={"help": "Least correlation of aligned texture that confirms a near-duplicate."},
    )
    jobs: int = field(default=-1, metadata={"help": "Threads; 0 or -1 for one per core."})

    def __post_init__(self) -> None:
        self.shares()
        _choose("--rare", self.rare, RARE_POLICIES)
        _choose("--layout", self.layout, LAYOUTS)
        if self.folds and not 3 <= self.folds <= 100:
            raise UsageError(f"--folds must be 3 to 100, one fold each for val and test; got {self.folds}")
        if self.folds and self.keep_blank:
            raise UsageError("--keep-blank keeps blank images in train, and folds have every image in test once")
        if self.metadata is not None and not self.columns:
            raise UsageError("--metadata is joined for the sake of a column; name it with --group-by")
        if self.given and (self.extend or self.folds):
            raise UsageError("--given takes a split as it is and cannot be combined with --extend or --folds")
        if self.extend and self.folds:
            raise UsageError("--extend and --folds cannot be combined; name one of them")
        if self.seed < 0:
            raise UsageError(f"--seed must be 0 or more; got {self.seed}")
        if self.sequence < 0:
            raise UsageError(f"--sequence must be 0 or more; got {self.sequence}")
        if not 0 <= self.max_distance <= 64:
            raise UsageError(f"--max-distance must be 0 to 64 bits; got {self.max_distance}")
        if not -1 <= self.min_correlation <= 1:
            raise UsageError(f"--min-correlation must be -1 to 1; got {self.min_correlation}")

    def shares(self) -> tuple[float, float, float]:
        """Return the shares of train, val and test, which sum to 1.

        Raises:
            UsageError: `ratios` is not three numbers, at least two of them above 0 and train among these.
        """
        try:
            numbers = [float(part) for part in self.ratios.replace(",", ":").split(":")]
        except ValueError:
            numbers = []
        good = len(numbers) == len(SPLITS) and math.isfinite(sum(numbers)) and min(numbers) >= 0
        if not good or numbers[0] == 0 or sum(number > 0 for number in numbers) < 2:
            raise UsageError(
                f"--ratios must be three numbers such as 24:1:2 for train, val and test; got {self.ratios}"
            )
        total = sum(numbers)
        return numbers[0] / total, numbers[1] / total, numbers[2] / total

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to group by, without `duplicates`."""
        return tuple(name for name in self.group_by if name != DUPLICATES)


def _choose(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{flag} must be one of {', '.join(known)}; got {value}")
