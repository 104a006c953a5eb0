"""Count what a refined folder holds, for the overview page."""

from dataclasses import dataclass
from typing import Any

import pandas as pd

from radrefine.schema import KINDS, STATUSES


@dataclass(frozen=True, slots=True)
class Bar:
    """One bar of a histogram: its name, its count and its share of the longest bar, 0 to 1."""

    name: str
    count: int
    share: float


@dataclass(frozen=True, slots=True)
class Overview:
    """The figures of the overview page.

    Attributes:
        n_images: Rows of the manifest.
        statuses: Images per status.
        kinds: Findings per kind: found and removed.
        labels: Images per label, most frequent first.
        failures: Path and reason of the failed images, at most `MAX_FAILURES`.
        n_failures: How many failed in all.
        median_ms: Median time per refined or clean image in ms, None where none was looked at.
        mean_mask_fraction: Mean share of replaced pixels among the refined images, None where there is none.
    """

    n_images: int
    statuses: list[Bar]
    kinds: list[tuple[str, int, int]]
    labels: list[Bar]
    failures: list[tuple[str, str]]
    n_failures: int
    median_ms: float | None
    mean_mask_fraction: float | None


MAX_FAILURES = 200


def summarise(manifest: pd.DataFrame, findings: pd.DataFrame, failures: pd.DataFrame) -> Overview:
    """Count images, findings and failures.

    Args:
        manifest: The table `manifest.parquet`.
        findings: The table `findings.parquet`.
        failures: The table `failures.csv`.

    Returns:
        The figures of the overview page.
    """
    found = findings["kind"].value_counts()
    removed = findings.loc[findings["removed"].astype(bool), "kind"].value_counts()
    looked_at = manifest["status"].isin(["refined", "clean"])
    refined = manifest["status"] == "refined"
    return Overview(
        n_images=len(manifest),
        statuses=_bars({status: int((manifest["status"] == status).sum()) for status in STATUSES}),
        kinds=[(kind, int(found.get(kind, 0)), int(removed.get(kind, 0))) for kind in KINDS],
        labels=_bars(manifest["label"].value_counts().to_dict()),
        failures=[(str(row.path), str(row.reason)) for row in failures.head(MAX_FAILURES).itertuples()],
        n_failures=len(failures),
        median_ms=_number(manifest.loc[looked_at, "elapsed_ms"].median()) if looked_at.any() else None,
        mean_mask_fraction=_number(manifest.loc[refined, "mask_fraction"].mean()) if refined.any() else None,
    )


def _bars(counts: dict[Any, int]) -> list[Bar]:
    longest = max(counts.values(), default=0) or 1
    return [Bar(str(name), int(count), count / longest) for name, count in counts.items()]


def _number(value: Any) -> float | None:
    return None if pd.isna(value) else float(value)
