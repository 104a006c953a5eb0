"""Write what a study found: tables 1 to 4 beside the published figures, paired tests, figures, one report."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd

from pgnm.arms import Arm
from pgnm.data import load_split
from pgnm.errors import TrainingError, UsageError
from pgnm.figure_style import save_figure
from pgnm.figures import draw_masks, draw_split, draw_training
from pgnm.files import atomic_path, write_text
from pgnm.plots import plot_comparison, plot_low_shot, plot_per_label
from pgnm.probe_report import table_unseen
from pgnm.probes import summarise
from pgnm.statistics import compare_paired, holm
from pgnm.study import run_folder, whole_arms
from pgnm.tables import published_source, published_table, show_spread, to_markdown, write_table

COMPARED: Final = ("f1", "balanced_accuracy", "auroc_ovr", "accuracy")
_TABLE1: Final = ("precision", "recall", "f1", "auroc_ovo", "balanced_accuracy")
_TABLE2: Final = ("entropy", "f1", "balanced_accuracy")


def write_report(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    split: Path,
    out: Path,
    baseline: str = "",
    probes: Mapping[str, pd.DataFrame] | None = None,
    failed: Mapping[str, str] | None = None,
) -> Path:
    """Write runs.csv, the tables, the figures and report.md of a finished study; return the report.

    Args:
        arms: The arms that have every seed; the first is the baseline unless `baseline` names another.
        seeds: The seeds of the study.
        split: The split of the study.
        out: Folder of the study.
        baseline: Name of the arm with which the others are compared.
        probes: Results of `study_probes.probe_arms` by protocol, where the arms were probed.
        failed: What `run_study` returned; the report tells of it.

    Raises:
        UsageError: No arm is called `baseline`.
    """
    probes = probes or {}
    reference = check_baseline(arms, baseline)
    runs = collect_runs(arms, seeds, out)
    with atomic_path(out / "runs.csv") as temporary:
        runs.to_csv(temporary, index=False)
    tables = out / "tables"
    results = runs[runs["result"]]
    comparison = compare_arms(results, reference, [arm.name for arm in arms])
    source = f"Published: {published_source()}; RadImageNet, 165 classes."
    named = {
        "table1": (
            "Table 1. Training techniques, macro scores on the test images, mean ± sd over seeds.",
            _table1(results),
        ),
        "table2": ("Table 2. The heated model on plain and noisy input.", _table2(runs, arms)),
        **_table3(probes),
        "table4": ("Table 4. Noise models and masks.", table_noises(results, arms)),
        "comparison": (
            f"Paired comparison with {reference} over seeds; p corrected after Holm for several arms.",
            comparison.drop(columns="differences"),
        ),
    }
    for name, (caption, table) in named.items():
        write_table(table, tables, name, caption if name == "comparison" else f"{caption} {source}")
    pictures = _draw(arms, seeds, split, out, reference, comparison)
    if "fewshot" in probes:
        path = save_figure(plot_low_shot(probes["fewshot"]), out / "figures" / "lowshot.png")
        pictures.append(("Low-shot curves on unseen concepts, frozen features (figure 5).", path))
    report = out / "report.md"
    write_text(report, _report(arms, seeds, named, pictures, out, comparison, failed or {}))
    return report


def check_baseline(arms: Sequence[Arm], baseline: str) -> str:
    """Return the name of the baseline arm, the first one where `baseline` is empty.

    Raises:
        UsageError: No arm is called `baseline`.
    """
    names = [arm.name for arm in arms]
    if baseline and baseline not in names:
        raise UsageError(f"--against must be one of {', '.join(names)}; got {baseline!r}")
    return baseline or names[0]


def check_failures(failed: Mapping[str, str], arms: Sequence[Arm], baseline: str) -> None:
    """Refuse to compare where the baseline has a run that failed, or where nothing else is left.

    Raises:
        TrainingError: So it is; the message tells of the first failure.
    """
    reference = check_baseline(arms, baseline)
    whole = [arm.name for arm in whole_arms(arms, failed)]
    if reference not in whole or (len(whole) == 1 < len(arms)):
        place, fault = next(iter(failed.items()))
        raise TrainingError(
            f"runs failed ({len(failed)}) and too little is left to compare; {place}: {fault}; "
            "run the same command again to try them anew"
        )


def collect_runs(arms: Sequence[Arm], seeds: Sequence[int], out: Path) -> pd.DataFrame:
    """Return a row per evaluation: arm, seed, model, input, result (the arm's last model), epochs and the metrics."""
    rows = []
    for arm in arms:
        stages = arm.stages()
        for seed in seeds:
            for run, kind in stages:
                path = run_folder(arm, seed, out) / run / "eval" / f"classify-{kind}" / "eval.json"
                metrics = json.loads(path.read_text(encoding="utf-8"))["metrics"]
                result = run == stages[-1][0] and kind == "normalized"
                row = {"arm": arm.name, "seed": seed, "model": run, "input": kind, "result": result}
                rows.append({**row, "network": arm.pretrain.model, "epochs": arm.epochs, **metrics})
    return pd.DataFrame(rows)


def compare_arms(results: pd.DataFrame, baseline: str, arms: Sequence[str]) -> pd.DataFrame:
    """Compare every arm with the baseline, paired by seed.

    Args:
        results: A row per arm and seed with the metrics.
        baseline: Name of the arm to compare with.
        arms: Names of all arms, in order.

    Returns:
        A row per metric and arm: difference (arm minus baseline), 95 % t interval, permutation and Wilcoxon p, both
        corrected after Holm over the arms, the smallest p that so few seeds can give, and the differences by seed.
    """
    rows: list[dict[str, Any]] = []
    for metric in COMPARED:
        scores = results.pivot_table(index="seed", columns="arm", values=metric)
        own = []
        for arm in arms:
            if arm != baseline and arm in scores:
                pairs = scores[[arm, baseline]].dropna()
                found = compare_paired(pairs[arm], pairs[baseline])
                own.append(
                    {
                        "metric": metric,
                        "arm": arm,
                        "seeds": found.n,
                        "difference": found.difference,
                        "low": found.low,
                        "high": found.high,
                        "p_permutation": found.p_permutation,
                        "p_wilcoxon": found.p_wilcoxon,
                        "p_smallest": found.p_smallest,
                        "differences": (pairs[arm] - pairs[baseline]).tolist(),
                    }
                )
        for kind in ("permutation", "wilcoxon"):
            for row, p in zip(own, holm([row[f"p_{kind}"] for row in own]), strict=True):
                row[f"p_{kind}_holm"] = float(p)
        rows += own
    columns = ["metric", "arm", "seeds", "difference", "low", "high", "p_permutation", "p_permutation_holm"]
    return pd.DataFrame(rows, columns=[*columns, "p_wilcoxon", "p_wilcoxon_holm", "p_smallest", "differences"])


def _spread(rows: pd.DataFrame, metrics: Sequence[str]) -> dict[str, str]:
    return {metric: show_spread(rows[metric].mean(), rows[metric].std()) for metric in metrics}


def _with_published(ours: list[dict[str, Any]], name: str) -> pd.DataFrame:
    """Put the published rows below ours; the column `source` tells them apart."""
    published = published_table(name)
    published["source"] = "published"
    return pd.concat([pd.DataFrame(ours, dtype=object), published], ignore_index=True)


def _table1(results: pd.DataFrame) -> pd.DataFrame:
    ours = [
        {"source": "ours", "model": rows["network"].iloc[0], "technique": arm, "epochs": rows["epochs"].iloc[0]}
        | _spread(rows, _TABLE1)
        for arm, rows in results.groupby("arm", sort=False)
    ]
    return _with_published(ours, "table1")


def _table2(runs: pd.DataFrame, arms: Sequence[Arm]) -> pd.DataFrame:
    names = {arm.name: "heated" if arm.masked else "pretrained" for arm in arms}
    ours = []
    for (arm, model, kind), rows in runs.groupby(["arm", "model", "input"], sort=False):
        label = f"{arm}, {'finetuned' if model == 'finetuned' else names[str(arm)]}"
        ours.append({"source": "ours", "model": label, "input": kind} | _spread(rows, _TABLE2))
    return _with_published(ours, "table2")


def _table3(probes: Mapping[str, pd.DataFrame]) -> dict[str, tuple[str, pd.DataFrame]]:
    if "unseen" not in probes:
        return {}
    caption = "Table 3. Unseen concepts, frozen features: macro F1 of an MLP, mean ± sd over trials and seeds."
    return {"table3": (caption, table_unseen(summarise(probes["unseen"])))}


def table_noises(results: pd.DataFrame, arms: Sequence[Arm]) -> pd.DataFrame:
    """Return table 4: arms by their noise, above the published rows.

    What an agent erases is no noise, so APGA is left out; arms that share a noise are told apart by their name.

    Args:
        results: A row per run, with `arm` and the metrics.
        arms: The arms.
    """
    ours = []
    for arm in (arm for arm in arms if arm.pretrain.policy != "apga"):
        recipe, rows = arm.pretrain, results[results["arm"] == arm.name]
        row: dict[str, Any] = {"source": "ours", "arm": arm.name, "noise": recipe.policy, "grid": None, "blur": False}
        if arm.masked:
            row |= {"grid": recipe.grid, "blur": recipe.kernel > 1, "kernel": recipe.kernel, "sigma": recipe.sigma}
        ours.append(row | _spread(rows, _TABLE2[1:]))
    return _with_published(ours, "table4")


def _draw(
    arms: Sequence[Arm], seeds: Sequence[int], split_folder: Path, out: Path, baseline: str, comparison: pd.DataFrame
) -> list[tuple[str, Path]]:
    """Draw every figure of the study; return caption and path."""
    folder, seed = out / "figures", seeds[0]
    split = load_split(split_folder, allow_leakage=True)  # what the study accepted
    pictures = [("Images per class in train, val and test (figure 8).", draw_split(split, folder))]
    for metric, rows in comparison.groupby("metric", sort=False):
        path = folder / f"comparison_{metric}.png"
        pictures.append(
            (f"Difference in {metric} from {baseline}.", save_figure(plot_comparison(rows, str(metric)), path))
        )
    for stage in ("heated", "finetuned"):
        runs = {arm.name: run_folder(arm, seed, out) / stage for arm in arms}
        curves = draw_training(runs, folder / stage)
        pictures += [(f"Stage {stage}, seed {seed}: {text}.", path) for text, path in curves]
    for arm in arms:
        if arm.masked:
            place = folder / "masks" / arm.name.replace(" ", "_")
            drawn = draw_masks(run_folder(arm, seed, out) / "heated", split, place, seed=seed)
            pictures += [(f"{arm.name}: {path.stem} (figure 6).", path) for path in drawn]
        if arm.name != baseline:
            reference = next(other for other in arms if other.name == baseline)
            figure = plot_per_label(
                mean_class_scores(reference, seeds, out), mean_class_scores(arm, seeds, out), (baseline, arm.name)
            )
            path = folder / f"per_label_{arm.name.replace(' ', '_')}.png"
            pictures.append((f"{arm.name} against {baseline}, class by class (figure 7).", save_figure(figure, path)))
    return pictures


def mean_class_scores(arm: Arm, seeds: Sequence[int], out: Path, score: str = "f1") -> pd.Series:
    """Return a score of every class, averaged over the seeds, for the arm's last model on plain input; by label."""
    run = arm.stages()[-1][0]
    tables = []
    for seed in seeds:
        path = run_folder(arm, seed, out) / run / "eval" / "classify-normalized" / "eval.json"
        rows = pd.DataFrame(json.loads(path.read_text(encoding="utf-8"))["per_class"])
        tables.append(rows[rows["n"] > 0].set_index("label")[score].astype(float))
    return pd.concat(tables, axis=1).mean(axis=1)


def _report(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    tables: dict[str, tuple[str, pd.DataFrame]],
    pictures: Sequence[tuple[str, Path]],
    out: Path,
    comparison: pd.DataFrame,
    failed: Mapping[str, str],
) -> str:
    budgets = pd.DataFrame(
        {
            "arm": [arm.name for arm in arms],
            "pretraining epochs": [arm.pretrain.epochs for arm in arms],
            "finetuning epochs": [arm.finetune.epochs if arm.finetune else 0 for arm in arms],
            "in all": [arm.epochs for arm in arms],
        }
    )
    equal = len(set(budgets["in all"])) == 1
    lines = [
        "# Study",
        f"{len(arms)} arms, {len(seeds)} seeds ({', '.join(map(str, seeds))}), every arm with the same seeds.",
        "## Budgets",
        "All arms have the same number of epochs." if equal else "**The arms differ in epochs; compare with care.**",
        to_markdown(budgets),
    ]
    if failed:
        told = (
            "Arms with a run that failed are left out below: a mean over the seeds that went well would flatter them."
        )
        lines += ["## Failed runs", told, "\n".join(f"- {place}: {fault}" for place, fault in failed.items())]
    for name, (caption, table) in tables.items():
        lines += ["## " + name.replace("table", "Table ").capitalize(), caption, to_markdown(table)]
        if name == "comparison" and len(comparison):
            smallest = float(np.max(comparison["p_smallest"]))
            lines.append(f"With {len(seeds)} seeds a permutation test cannot give a p below {smallest:.3g}.")
    lines.append("Published figures come from another data set and larger models; they stand here for orientation.")
    lines.append("## Figures")
    for caption, path in pictures:
        lines += [caption, f"![{caption}]({path.relative_to(out).as_posix().replace(' ', '%20')})"]
    return "\n\n".join(line.strip("\n") for line in lines) + "\n"
