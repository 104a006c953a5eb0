"""What a user may choose about a split."""

import math
from dataclasses import dataclass, fields
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
    """Options of a split.

    Attributes:
        ratios: Sizes of train, val and test, such as 24:1:2 or 8:1:1.
        stratify: Divide every class in the ratios, not only the whole.
        seed: Decides between groups that are alike.
        group_by: Columns whose equal values stay in one part; `duplicates` may stand among them.
        duplicates: Keep exact and near-duplicates in one part; without it, images may leak.
        sequence: Keep files in one part whose numbers differ by at most this; 0 for not.
        metadata: CSV, TSV or Parquet file with a row per image, joined by file name.
        rare: What becomes of classes too small for the ratios: "one-each" (a group in every part), "train" or "error".
        given: CSV files of a split made by others (train, val, test) to verify and use; then no ratios are.
        extend: An earlier split: its images stay in their parts, new ones are added.
        folds: Make this many folds of equal size for cross-validation instead of one split; then no ratios are used.
        layout: "csv", or "imagefolder" for <part>/<class>/<file> links beside the CSV files.
        keep_blank: Keep blank images, all in train, not leave them out.
        max_distance: Bits in which perceptual hashes of near-duplicates may differ.
        min_correlation: Least correlation of aligned texture that confirms a near-duplicate.
        jobs: Threads; 0 or -1 for one per core.
    """

    ratios: str = "24:1:2"
    stratify: bool = True
    seed: int = 0
    group_by: tuple[str, ...] = (DUPLICATES,)
    duplicates: bool = True
    sequence: int = 0
    metadata: Path | None = None
    rare: str = "one-each"
    given: tuple[Path, ...] = ()
    extend: Path | None = None
    folds: int = 0
    layout: str = "csv"
    keep_blank: bool = False
    max_distance: int = MAX_DISTANCE
    min_correlation: float = MIN_CORRELATION
    jobs: int = -1

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
        if self.folds:
            self._refuse_unused("--folds makes parts of equal size", "ratios", *(() if self.uses_rare else ("rare",)))
        if self.given:
            self._refuse_unused("--given takes a split as it is", "ratios", "rare", "stratify")
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
    def uses_rare(self) -> bool:
        """Whether `rare` says anything: a given split stays as it is, and folds can only be refused."""
        return not self.given and (not self.folds or self.rare == "error")

    def _refuse_unused(self, why: str, *names: str) -> None:
        defaults = {option.name: option.default for option in fields(self)}
        for name in names:
            if getattr(self, name) != defaults[name]:
                flag = "no-stratify" if name == "stratify" else name
                raise UsageError(f"{why} and does not use --{flag}; leave that option out")

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns to group by, without `duplicates`."""
        return tuple(name for name in self.group_by if name != DUPLICATES)


def _choose(flag: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise UsageError(f"{flag} must be one of {', '.join(known)}; got {value}")
