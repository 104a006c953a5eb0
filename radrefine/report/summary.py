"""Count what a refined folder holds, for the overview page."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pandas as pd

from radrefine.schema import KINDS, STATUSES

MAX_FAILURES: Final = 200
MAX_LABELS: Final = 400
_BINS: Final = 20


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar: its name, its count, and the shares of its parts of the longest bar, 0 to 1, by name of the part."""

    name: str
    count: int
    parts: dict[str, float]


@dataclass(frozen=True, slots=True)
class Histogram:
    """How a figure is spread over the images that were looked at: images per bin of equal width from 0 to `upper`."""

    counts: list[int]
    upper: float


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures of the overview page.

    Attributes:
        n_images: Rows of the manifest.
        statuses: Images by status.
        kinds: Findings by kind; the parts are `removed` and `left`.
        labels: Images by label, most frequent first, at most `MAX_LABELS`; the parts are statuses.
        n_labels: How many labels there are.
        failures: Path, stage and reason of the failed images, at most `MAX_FAILURES`.
        n_failures: How many failed in all.
        residuals: Residual scores of the images that were looked at, None where there is none.
        replaced: Shares of replaced pixels of the refined images, None where there is none.
        timings: What the run tells of its duration: name and value with unit.
        mean_replaced: Mean share of replaced pixels of the refined images, None where there is none.
    """

    n_images: int
    statuses: dict[str, int]
    kinds: list[Bar]
    labels: list[Bar]
    n_labels: int
    failures: list[tuple[str, str, str]]
    n_failures: int
    residuals: Histogram | None
    replaced: Histogram | None
    timings: list[tuple[str, str]]
    mean_replaced: float | None

    @property
    def n_found(self) -> int:
        """Marks found."""
        return sum(bar.count for bar in self.kinds)


def summarise(
    manifest: pd.DataFrame, findings: pd.DataFrame, failures: pd.DataFrame, timings: Mapping[str, Any] | None = None
) -> Overview:
    """Count images, findings and failures.

    Args:
        manifest: The table `manifest.parquet`.
        findings: The table `findings.parquet`.
        failures: The table `failures.csv`.
        timings: `timings` of `run.json`.

    Returns:
        The figures of the overview page.
    """
    status = manifest["status"].astype(str)
    statuses = {name: int((status == name).sum()) for name in STATUSES}
    # A file that could not be opened has no row in the manifest.
    statuses["failed"] = max(statuses["failed"], len(failures))
    replaced = manifest.loc[status == "refined", "mask_fraction"].dropna()
    removed = findings["removed"].astype(bool).map({True: "removed", False: "left"})
    labels = _bars(pd.crosstab(manifest["label"].astype(str), status), STATUSES)
    return Overview(
        n_images=len(manifest),
        statuses=statuses,
        kinds=_bars(pd.crosstab(findings["kind"].astype(str), removed).reindex(list(KINDS)), ("removed", "left")),
        labels=labels[:MAX_LABELS],
        n_labels=len(labels),
        failures=[(str(row.path), str(row.stage), str(row.reason)) for row in failures.head(MAX_FAILURES).itertuples()],
        n_failures=len(failures),
        residuals=_histogram(manifest.loc[status.isin(["refined", "clean"]), "residual_score"], upper=1.0),
        replaced=_histogram(replaced, upper=_round_up(replaced.max())),
        timings=_describe_timings(timings or {}),
        mean_replaced=float(replaced.mean()) if len(replaced) else None,
    )


def _bars(counts: pd.DataFrame, parts: tuple[str, ...]) -> list[Bar]:
    counts = counts.reindex(columns=list(parts)).fillna(0).astype(int)
    totals = counts.sum(axis=1).sort_values(ascending=False, kind="stable")
    longest = int(totals.iloc[0]) if len(totals) else 0
    rows = counts.to_dict("index")
    return [
        Bar(str(name), int(total), {part: rows[name][part] / (longest or 1) for part in parts})
        for name, total in totals.items()
    ]


def _histogram(values: "pd.Series[Any]", upper: float) -> Histogram | None:
    numbers = values.dropna().to_numpy(dtype=float)
    if not len(numbers):
        return None
    counts, _ = np.histogram(np.clip(numbers, 0, upper), bins=_BINS, range=(0, upper))
    return Histogram(counts.tolist(), upper)


def _round_up(value: float) -> float:
    """Round a share up to 1, 2 or 5 times a power of ten."""
    if not value > 0:
        return 1.0
    scale = 10.0 ** np.floor(np.log10(value))
    return float(min(1.0, next(scale * step for step in (1, 2, 5, 10) if value <= scale * step * (1 + 1e-9))))


def _describe_timings(timings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Name what `run.json` knows of the duration; a run from an older or other hand may know less."""
    told = []
    if "seconds" in timings:
        told.append(("last run", f"{timings['seconds']:,.1f} s"))
    if "done" in timings and "kept" in timings:
        told.append(("images done then", f"{timings['done']:,}, and {timings['kept']:,} kept from earlier runs"))
    if timings.get("done"):
        told.append(("images per second", f"{timings.get('images_per_second', 0):,.1f}"))
    means = timings.get("mean_ms", {})
    return told + [(f"mean time of an image, {status}", f"{mean:,.1f} ms") for status, mean in means.items()]
