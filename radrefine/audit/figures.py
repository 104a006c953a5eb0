"""Histograms of classes and splits, after figure 8 of arXiv 2406.14568."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from radrefine.files import atomic_path

_COLOURS = ("#4c78a8", "#f58518", "#54a24b")
_MOST_NAMED = 60
"""Classes beyond which names no longer fit below the bars."""

_FEW_DECADES = 1000
"""Images of a class below which ticks within the decades have room."""


def draw_histogram(place: Path, labels: pd.Series, counts: Mapping[str, NDArray[np.int64]], title: str) -> None:
    """Draw images per class on a logarithmic axis, the largest class first.

    Args:
        place: PNG file to write.
        labels: (C,) names of the classes.
        counts: Images of each class, (C,), by the name of the series, such as train, val and test.
        title: Words above the picture.
    """
    # The object interface: no display, no global state, safe in threads.
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import SymmetricalLogLocator

    order = np.argsort(-np.sum(list(counts.values()), axis=0), kind="stable")
    named = len(labels) <= _MOST_NAMED
    figure = Figure(figsize=(max(6.0, min(16.0, 1.5 + 0.22 * len(labels))), 4.8), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    width = 0.85 / len(counts)
    for index, (name, values) in enumerate(counts.items()):
        shift = (index - (len(counts) - 1) / 2) * width
        axes.bar(np.arange(len(order)) + shift, values[order], width, label=name, color=_COLOURS[index % 3])
    axes.set_yscale("symlog", linthresh=1, linscale=0.4)
    few = max(values.max(initial=0) for values in counts.values()) < _FEW_DECADES
    axes.yaxis.set_major_locator(SymmetricalLogLocator(base=10, linthresh=1, subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter("{x:,.0f}")
    axes.set_ylabel("images")
    axes.set_xlabel("" if named else f"{len(labels)} classes, the largest first")
    axes.set_xticks(range(len(order)) if named else [])
    if named:
        axes.set_xticklabels(labels.iloc[order], rotation=90, fontsize=7)
    if len(counts) > 1:
        axes.legend(frameon=False)
    axes.set_title(title)
    axes.spines[["top", "right"]].set_visible(False)
    with atomic_path(place) as temporary:
        figure.savefig(temporary, format="png")


def draw_classes(place: Path, classes: pd.DataFrame) -> None:
    """Draw the images and the groups of each class; `classes` is from `count_labels`."""
    counts = {name: classes[name].to_numpy() for name in ("images", "groups")}
    draw_histogram(place, classes["label"], counts, "Images and groups of duplicates per class")
