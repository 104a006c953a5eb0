import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_rgb

from pgnm import plots
from pgnm.figure_style import on_dark, save_figure
from pgnm.metrics import reliability

RNG = np.random.default_rng(0)
NAMES = ["CT__head__normal", "MR__knee__tear", "US__breast__a_very_long_name_of_a_finding"]
P = RNG.dirichlet(np.ones(3), 60)
CURVES = pd.DataFrame({"epoch": [1, 2, 3], "loss": [2, 1, 0.5], "val_f1": [0.1, 0.5, 0.6], "lr": [0.1, 0.05, 0]})
SHAPES = pd.DataFrame(
    {"epoch": [1, 2], "alpha_p05": 0.5, "alpha_p50": 1.0, "alpha_p95": 2.0, "mask_mean": 0.5, "share_at_bound": 0.0}
)
SCORES = pd.DataFrame(
    [(s, b, n, 0.1 * n**0.3) for s in "AB" for b in ("x", "y") for n in (8, 16) for _ in range(3)],
    columns=["set", "backbone", "samples", "f1"],
)
IMAGE = RNG.random((16, 16))
FIGURES = {
    "confusion": lambda: plots.plot_confusion(np.array([[3, 1, 0], [0, 2, 2], [0, 0, 0]]), NAMES),
    "confusion of many": lambda: plots.plot_confusion(np.eye(165), [str(i) for i in range(165)]),
    "reliability": lambda: plots.plot_reliability({"plain": reliability(np.arange(60) % 3, P)}),
    "training": lambda: plots.plot_training({"a": CURVES, "b": CURVES}),
    "policy": lambda: plots.plot_policy(SHAPES),
    "low-shot": lambda: plots.plot_low_shot(SCORES),
    "per label": lambda: plots.plot_per_label(
        pd.Series([0.1, 0.5, np.nan], NAMES), pd.Series([0.2, 0.4, 1], NAMES), ("baseline", "method")
    ),
    "masking": lambda: plots.plot_masking([("CT", IMAGE, IMAGE, IMAGE**2)]),
    "split": lambda: plots.plot_split(pd.DataFrame({"label": NAMES, "n_train": 9, "n_val": 0, "n_test": 3})),
    "mask sheet": lambda: plots.plot_mask_sheet([("CT", [IMAGE] * 3, [IMAGE] * 3), ("US", [IMAGE], [IMAGE])]),
    "comparison": lambda: plots.plot_comparison(
        pd.DataFrame(
            {
                "arm": ["a", "b"],
                "difference": [0.1, 0.0],
                "low": [0.0, np.nan],
                "high": [0.2, np.nan],
                "differences": [[0.1, 0.1], [0.0]],
            }
        ),
        "macro F1",
    ),
}


def test_the_loss_of_a_run_without_masks_is_drawn_as_cross_entropy() -> None:
    masked = pd.DataFrame({"epoch": [0, 1], "loss": [40.0, 30.0], "cross_entropy": [3.0, 2.0]})
    figure = plots.plot_training({"heated": masked, "finetuned": pd.DataFrame({"epoch": [0, 1], "loss": [2.0, 1.0]})})
    lines = {axis.get_ylabel(): [line.get_label() for line in axis.lines] for axis in figure.axes}
    assert lines == {"training objective": ["heated"], "training cross-entropy": ["heated", "finetuned"]}


@pytest.mark.parametrize("name", FIGURES)
def test_figures_are_written_and_leave_the_global_style_alone(name, tmp_path):
    before = dict(mpl.rcParams)
    path = save_figure(FIGURES[name](), tmp_path / "figure.png")
    assert path.read_bytes().startswith(b"\x89PNG")
    assert dict(mpl.rcParams) == before


def test_the_same_figure_gives_the_same_file(tmp_path):
    first, second = (save_figure(FIGURES["low-shot"](), tmp_path / f"{i}.pdf") for i in range(2))
    assert first.read_bytes() == second.read_bytes()


def test_confusion_shows_counts_and_names():
    axis = FIGURES["confusion"]().axes[0]
    assert [text.get_text() for text in axis.texts] == ["3", "1", "2", "2"]
    assert axis.get_yticklabels()[0].get_text() == "CT head normal"


def test_the_legend_of_the_calibration_covers_no_curve() -> None:
    figure = FIGURES["reliability"]()
    figure.draw_without_rendering()
    [legend] = figure.legends
    assert not any(legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes)


def test_letters_of_a_figure_for_dark_pages_stand_out() -> None:
    figure = on_dark(FIGURES["confusion"]())
    paper = np.array(to_rgb(figure.get_facecolor()[:3]))
    assert paper.max() < 0.2
    for axes in figure.axes:
        words = [axes.xaxis.label, axes.yaxis.label, *axes.get_xticklabels(), *axes.get_yticklabels()]
        assert all(min(to_rgb(word.get_color())) > 0.8 for word in words)
