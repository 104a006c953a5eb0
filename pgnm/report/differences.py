"""How far a run is from the baseline on the images that both judged, and how sure that is."""

from dataclasses import dataclass

import pandas as pd

from pgnm.data import Split
from pgnm.metrics import METRICS
from pgnm.report.runs import RunView, read_predictions, shared_evaluations
from pgnm.statistics import Intervals, bootstrap_differences


@dataclass(frozen=True, slots=True)
class Difference:
    """The metrics of a run less those of the baseline, in one evaluation.

    Attributes:
        run: Name of the run.
        baseline: Name of the baseline.
        evaluation: Name of the evaluation that both have, such as `classify-noisy`.
        images: Images that both judged.
        values: Difference by metric; a metric that one of the two lacks is missing.
        intervals: Paired bootstrap intervals of the differences.
    """

    run: str
    baseline: str
    evaluation: str
    images: int
    values: dict[str, float]
    intervals: Intervals

    def is_sure(self, metric: str) -> bool:
        """Tell whether the interval of a metric leaves 0 out."""
        low, high = self.intervals.bounds.get(metric, (0.0, 0.0))
        return low > 0 or high < 0


def differences(run: RunView, baseline: RunView, split: Split | None, seed: int) -> list[Difference]:
    """Return how a run differs from the baseline in each evaluation of the same input, images and classes.

    Args:
        run: The run.
        baseline: What it is compared with.
        split: The split of the images, which knows their groups; without it each image is a group of its own.
        seed: Seed of the resampling.

    Raises:
        RunError: Predictions are missing or damaged.
    """
    found = []
    for name in shared_evaluations(run, baseline):
        (table, own), (_, other) = (read_predictions(one, name) for one in (run, baseline))
        summary = run.evaluations[name]
        scores = [summary["metrics"], baseline.evaluations[name]["metrics"]]
        values = {
            metric: scores[0][metric] - scores[1][metric]
            for metric in METRICS
            if all(score.get(metric) is not None for score in scores)
        }
        groups = None if split is None else _groups(split, summary["part"], table["path"])
        intervals = bootstrap_differences(table["target"].to_numpy(), own, other, groups, seed=seed)
        found.append(Difference(run.name, baseline.name, name, len(table), values, intervals))
    return found


def _groups(split: Split, part: str, paths: pd.Series) -> list[object]:
    """Return the group of each image, None where the split does not know it."""
    known = split.part(part).drop_duplicates("path").set_index("path")["group"]
    return known.reindex(paths).tolist()
