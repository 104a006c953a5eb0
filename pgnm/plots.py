"""Figures: the paper's and those of an evaluation.

Every function returns a figure that `figure_style.save_figure` writes; none touches matplotlib's global state.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullFormatter, NullLocator
from numpy.typing import NDArray

from pgnm.figure_style import COLOURS, MARKERS, finish_grid, line, styled, subplots

# 0.25, 1, 100 rather than powers, on logarithmic axes.
_PLAIN = FuncFormatter(lambda value, _: f"{value:g}")
# Above so many classes, names beside the axes cannot be read any more.
_MOST_NAMED = 40
# Up to this ratio of largest and smallest count, ticks within the decades have room.
_FEW_DECADES = 1000
_MOST_ROWS = 90
_METRICS = {
    "f1": "macro F1",
    "balanced_accuracy": "balanced accuracy",
    "auroc_ovr": "AUROC (one against the rest)",
    "auroc_ovo": "AUROC (one against one)",
}


def _short(name: str) -> str:
    """Shorten a label such as US__breast__benign to what fits beside an axis."""
    text = name.replace("__", " ").replace("_", " ")
    return text if len(text) <= 28 else text[:27] + "…"


@styled
def plot_confusion(confusion: NDArray, names: Sequence[str]) -> Figure:
    """Draw a confusion matrix as shares of each target's images, with counts where they can be read."""
    n = len(names)
    total = confusion.sum(axis=1, keepdims=True)
    share = np.divide(confusion, total, out=np.zeros(confusion.shape), where=total > 0)
    side = float(np.clip(0.42 * n, 3.2, 12))
    figure, axes = subplots(1, 1, side + 1.6, side)
    axis = axes[0, 0]
    axis.grid(False)
    picture = axis.imshow(share, vmin=0, vmax=1, interpolation="nearest")
    figure.colorbar(picture, ax=axis, label="share of the target's images", shrink=0.8)
    axis.set(xlabel="prediction", ylabel="target")
    if n <= _MOST_NAMED:
        labels = [_short(name) for name in names]
        axis.set_xticks(range(n), labels, rotation=90)
        axis.set_yticks(range(n), labels)
    if n <= 20:
        for (row, column), value in np.ndenumerate(confusion):
            if value:
                ink = "black" if share[row, column] > 0.5 else "white"
                axis.text(column, row, f"{value:.0f}", ha="center", va="center", fontsize=7, color=ink)
    return figure


@styled
def plot_reliability(tables: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw accuracy against confidence for one or more tables of `metrics.reliability`, with the images per bin."""
    figure, axes = subplots(2, 1, 4.4, 2.2)
    figure.set_size_inches(4.4, 5.0)
    curve, bars = axes[:, 0]
    curve.plot([0, 1], [0, 1], color="#888888", linewidth=1, label="perfect calibration")
    width = 0.9 / max(1, len(tables))
    for i, (name, table) in enumerate(tables.items()):
        filled = table[table["n"] > 0]
        curve.plot(filled["confidence"], filled["accuracy"], label=name, **line(i))
        step = float(table["upper"].iloc[0] - table["lower"].iloc[0])
        left = table["lower"] + step * (0.05 + width * i)
        bars.bar(left, table["n"] / table["n"].sum(), step * width, align="edge", color=COLOURS[i], label=name)
    curve.set(xlabel="confidence", ylabel="accuracy", xlim=(0, 1), ylim=(0, 1.02))
    # Curves of models that are too sure and of others that are not fill both corners.
    figure.legend(*curve.get_legend_handles_labels(), loc="outside upper center", ncols=min(3, 1 + len(tables)))
    bars.set(xlabel="confidence", ylabel="share of images", xlim=(0, 1))
    return figure


@styled
def plot_training(runs: Mapping[str, pd.DataFrame]) -> Figure:
    """Draw the training curves of one or more runs from their metrics.csv: every pair of columns that is there.

    Args:
        runs: metrics.csv by name of the run, with `epoch` and any of the columns drawn. Without noise masks the loss is
            the cross-entropy itself, and drawn with that of the others.
    """
    runs = {
        run: table if "cross_entropy" in table else table.rename(columns={"loss": "cross_entropy"})
        for run, table in runs.items()
    }
    wanted = {
        "loss": "training objective",
        "cross_entropy": "training cross-entropy",
        "val_loss": "validation cross-entropy",
        "val_f1": "validation macro F1",
        "val_balanced_accuracy": "validation balanced accuracy",
        "lr": "learning rate",
        "images_per_second": "images per second",
    }
    there = [name for name in wanted if any(name in table for table in runs.values())]
    columns = min(3, max(1, len(there)))
    figure, axes = subplots(-(-max(1, len(there)) // columns), columns, 3.0, 2.3)
    for axis, name in zip(axes.flat, there, strict=False):
        for i, (run, table) in enumerate(runs.items()):
            if name in table:
                axis.plot(table["epoch"], table[name], label=run, **line(i, marker=len(table) <= 15))
        axis.set(xlabel="epoch", ylabel=wanted[name])
        _count_epochs(axis)
    finish_grid(figure, axes, len(there), legend=len(runs) > 1)
    return figure


def _count_epochs(axis: Axes) -> None:
    """Put ticks at whole epochs; where there is one alone, beside it there is room and no other tick."""
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = axis.dataLim.intervalx
    if low == high:
        axis.set_xlim(low - 0.5, low + 0.5)
        axis.set_xticks([low])


@styled
def plot_policy(table: pd.DataFrame) -> Figure:
    """Draw how the shapes of the mask's Beta distributions move over the epochs (method, section 1.3).

    Args:
        table: metrics.csv of a pretrained run, with `epoch` and the columns of the policy's log: alpha_p05, alpha_p50,
            alpha_p95, the same of beta, mask_mean, mask_std, policy_entropy, share_at_bound; those that are there.
    """
    panels = [
        panel
        for panel in (
            ("alpha", ["alpha_p50"], ("alpha_p05", "alpha_p95")),
            ("beta", ["beta_p50"], ("beta_p05", "beta_p95")),
            ("mask", ["mask_mean", "mask_std"], None),
            ("policy entropy (nats)", ["policy_entropy"], None),
            ("share of shapes at a bound", ["share_at_bound"], None),
        )
        if any(name in table for name in panel[1])
    ]
    columns = min(3, max(1, len(panels)))
    figure, axes = subplots(-(-max(1, len(panels)) // columns), columns, 3.0, 2.3)
    for axis, (title, names, band) in zip(axes.flat, panels, strict=False):
        for i, name in enumerate(name for name in names if name in table):
            axis.plot(table["epoch"], table[name], label=name.replace("_", " "), **line(i, marker=len(table) <= 15))
        if band and all(name in table for name in band):
            axis.fill_between(table["epoch"], table[band[0]], table[band[1]], color=COLOURS[0], alpha=0.2, linewidth=0)
            axis.set_yscale("log", base=2)
            axis.yaxis.set_major_formatter(_PLAIN)
            title += " (median, 5 to 95 %)"
        if len(names) > 1:
            axis.legend()
        if names[0] == "share_at_bound":
            axis.set_ylim(-0.02, 1.02)
        axis.set(xlabel="epoch", ylabel=title)
        _count_epochs(axis)
    finish_grid(figure, axes, len(panels), legend=False)
    return figure


@styled
def plot_low_shot(results: pd.DataFrame) -> Figure:
    """Draw the low-shot curves (figure 5): a panel per set, a line per backbone, one standard deviation around it.

    Args:
        results: A row per trial with `set`, `backbone`, `samples` and `f1`.
    """
    sets = list(dict.fromkeys(results["set"]))
    backbones = list(dict.fromkeys(results["backbone"]))
    columns = min(2, len(sets))
    figure, axes = subplots(-(-len(sets) // columns), columns, 3.6, 2.8)
    for axis, name in zip(axes.flat, sets, strict=False):
        for i, backbone in enumerate(backbones):
            rows = results[(results["set"] == name) & (results["backbone"] == backbone)]
            spread = rows.groupby("samples")["f1"].agg(["mean", "std"]).fillna(0)
            axis.plot(spread.index, spread["mean"], label=backbone, **line(i))
            low, high = spread["mean"] - spread["std"], spread["mean"] + spread["std"]
            axis.fill_between(spread.index, low, high, color=COLOURS[i % len(COLOURS)], alpha=0.15, linewidth=0)
        _powers_of_two(axis, sorted(set(results["samples"])))
        axis.set(title=name, xlabel="training samples", ylabel="macro F1")
    finish_grid(figure, axes, len(sets), legend=True)
    return figure


def _powers_of_two(axis: Axes, values: Sequence[int]) -> None:
    axis.set_xscale("log", base=2)
    axis.xaxis.set_major_locator(FixedLocator(list(values)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xticklabels([str(value) for value in values])


@styled
def plot_per_label(baseline: pd.Series, method: pd.Series, names: tuple[str, str], score: str = "F1") -> Figure:
    """Draw a score of every class for the method against the baseline (figure 7), sorted by the difference.

    Args:
        baseline: Score by label.
        method: Score by the same labels.
        names: Names of baseline and method.
        score: Name of the score.
    """
    table = pd.DataFrame({"baseline": baseline, "method": method}).dropna()
    table = table.loc[(table["method"] - table["baseline"]).sort_values().index]
    figure, axes = subplots(1, 1, 6.0, float(np.clip(0.22 * len(table) + 1.2, 2.4, 20)))
    axis = axes[0, 0]
    rows = np.arange(len(table))
    better = table["method"] >= table["baseline"]
    for side, colour in ((better, COLOURS[0]), (~better, COLOURS[1])):
        axis.hlines(rows[side], table["baseline"][side], table["method"][side], color=colour, linewidth=1.6)
    axis.plot(table["baseline"], rows, "o", color="white", markeredgecolor="#444444", markersize=5, label=names[0])
    axis.plot(table["method"], rows, "D", color="#444444", markersize=4.5, label=names[1])
    _name_rows(axis, rows, list(table.index))
    axis.set(xlabel=f"{score} of the class", xlim=(-0.02, 1.02), ylim=(-0.7, len(table) - 0.3))
    counts = [int((sign * (table["method"] - table["baseline"]) > 0).sum()) for sign in (1, -1)]
    told = f"{counts[0]} classes better, {counts[1]} worse, {len(table) - sum(counts)} equal"
    axis.set_title(told, loc="left")
    figure.legend(loc="outside lower center", ncols=2)
    return figure


def _name_rows(axis: Axes, rows: NDArray, names: Sequence[str]) -> None:
    if len(names) <= _MOST_ROWS:
        axis.set_yticks(rows, [_short(name) for name in names])
    else:
        axis.set_yticks([])
        axis.set_ylabel(f"{len(names)} classes")


@styled
def plot_masking(examples: Sequence[tuple[str, NDArray, NDArray, NDArray]]) -> Figure:
    """Draw images before and after masking with the mask between and their histograms (figure 6).

    Args:
        examples: Title, image, mask and masked image of each row; (H, W) floats in [0, 1].
    """
    figure = Figure(figsize=(8.0, 1.75 * max(1, len(examples)) + 0.4), layout="constrained")
    axes = figure.subplots(max(1, len(examples)), 4, squeeze=False, width_ratios=(1, 1, 1, 1.6))
    for row, (title, image, mask, masked) in zip(axes, examples, strict=True):
        for axis, picture, name in zip(row, (image, mask, masked), ("image", "mask", "masked"), strict=False):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1)
            axis.set_axis_off()
            axis.set_title(f"{title}: {name}" if name == "image" else name, fontsize=8)
        for i, (values, name) in enumerate(((image, "before"), (masked, "after"))):
            share, edges = np.histogram(values, bins=48, range=(0, 1))
            row[3].stairs(
                share / share.sum(), edges, label=name, fill=i == 0, alpha=0.45 if i == 0 else 1, color=COLOURS[i]
            )
        row[3].set(xlabel="intensity", ylabel="share of pixels", yscale="log", xlim=(0, 1))
    if len(examples):
        figure.legend(*axes[0, 3].get_legend_handles_labels(), loc="outside lower right", ncols=2)
    return figure


@styled
def plot_split(counts: pd.DataFrame) -> Figure:
    """Draw the images of each class in train, val and test (figure 8), on a logarithmic scale.

    Args:
        counts: classes.csv: label, n_train, n_val, n_test.
    """
    table = counts.sort_values("n_train")
    figure, axes = subplots(1, 1, 6.0, float(np.clip(0.24 * len(table) + 1.0, 2.4, 20)))
    axis = axes[0, 0]
    rows = np.arange(len(table))
    for i, part in enumerate(("train", "val", "test")):
        # Validation and test often hold as many images; a little apart, both can be seen.
        place = rows + 0.2 * (1 - i)
        axis.plot(table[f"n_{part}"].clip(lower=0.5), place, MARKERS[i], color=COLOURS[i], markersize=4, label=part)
    axis.set_xscale("log")
    low, high = axis.dataLim.intervalx
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < _FEW_DECADES * low else (1,)))
    axis.xaxis.set_major_formatter(_PLAIN)
    axis.xaxis.set_minor_formatter(NullFormatter())
    _name_rows(axis, rows, list(table["label"]))
    axis.set(xlabel="images (0 is drawn at 0.5)", ylim=(-0.7, len(table) - 0.3))
    figure.legend(loc="outside lower center", ncols=3)
    return figure


@styled
def plot_mask_sheet(rows: Sequence[tuple[str, Sequence[NDArray], Sequence[NDArray]]]) -> Figure:
    """Draw sampled masks and the images under them, a row of pairs per modality.

    Args:
        rows: Name of the modality, its masks and as many masked images; (H, W) floats in [0, 1].
    """
    columns = max(len(masks) for _, masks, _ in rows)
    figure, axes = subplots(2 * len(rows), columns, 1.25, 1.25)
    for axis in axes.flat:
        axis.set_axis_off()
    for place, (name, masks, images) in enumerate(rows):
        for column, (mask, image) in enumerate(zip(masks, images, strict=True)):
            axes[2 * place, column].imshow(mask, cmap="gray", vmin=0, vmax=1)
            axes[2 * place + 1, column].imshow(image, cmap="gray", vmin=0, vmax=1)
        axes[2 * place, 0].set_title(f"{name}: masks, and images under them", loc="left", fontsize=9)
    return figure


@styled
def plot_comparison(table: pd.DataFrame, metric: str) -> Figure:
    """Draw the difference of each arm from the baseline with its interval, and the seeds behind it.

    Args:
        table: A row per arm: arm, difference, low, high, and `differences`, a list with one value per seed.
        metric: Name of the metric.
    """
    figure, axes = subplots(1, 1, 5.4, 0.45 * len(table) + 1.2)
    axis = axes[0, 0]
    rows = np.arange(len(table))[::-1]
    axis.axvline(0, color="#888888", linewidth=1)
    for row, (_, arm) in zip(rows, table.iterrows(), strict=True):
        seeds = np.asarray(arm["differences"], float)
        axis.plot(seeds, np.full(len(seeds), row + 0.18), "|", color="#666666", markersize=8)
        axis.errorbar(
            arm["difference"],
            row,
            xerr=np.nan_to_num([[arm["difference"] - arm["low"]], [arm["high"] - arm["difference"]]]),
            fmt="o",
            color=COLOURS[0],
            capsize=3,
        )
    axis.set_yticks(rows, list(table["arm"]))
    axis.set(
        xlabel=f"difference in {_METRICS.get(metric, metric)} from the baseline, 95 % interval; ticks: seeds",
        ylim=(-0.6, len(table) - 0.4),
    )
    return figure
