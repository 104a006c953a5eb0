"""How figures look: readable in print and with any colour vision.

Colours are those of Okabe and Ito, and no line is told apart by colour alone.
"""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, ParamSpec

from matplotlib import rc_context
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from numpy.typing import NDArray

from pgnm.files import atomic_path

_P = ParamSpec("_P")

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#8A8A00")
MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X", "*")
LINES: Final = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1)), (0, (1, 1)), (0, (7, 2, 1, 2)))
# The panels and letters of a dark page.
_DARK_PAPER: Final = "#161d24"
_DARK_INK: Final = "#e6ecf2"
_STYLE: Final[Any] = {
    "font.size": 9,
    "axes.labelsize": 8,
    "axes.titlesize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#DDDDDD",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "image.cmap": "cividis",
}


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure atomically in the format of its suffix (.png at 200 dpi, .pdf, .svg) and return the path."""
    # Without a date, the same figure gives the same file.
    metadata = {"CreationDate": None} if path.suffix == ".pdf" else {"Date": None} if path.suffix == ".svg" else None
    with rc_context(_STYLE), atomic_path(path) as temporary:
        figure.savefig(temporary, format=path.suffix[1:], dpi=200, bbox_inches="tight", metadata=metadata)
    return path


def on_dark(figure: Figure) -> Figure:
    """Give a figure that has no lines of its own, such as a matrix, letters and axes for a dark page; returns it."""
    figure.set_facecolor(_DARK_PAPER)
    for axes in figure.axes:
        axes.set_facecolor(_DARK_PAPER)
        axes.tick_params(colors=_DARK_INK)
        for words in (axes.title, axes.xaxis.label, axes.yaxis.label):
            words.set_color(_DARK_INK)
        for spine in axes.spines.values():
            spine.set_edgecolor(_DARK_INK)
    return figure


def styled(draw: Callable[_P, Figure]) -> Callable[_P, Figure]:
    """Run a drawing function under this module's style, without touching the global one."""

    @functools.wraps(draw)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> Figure:
        with rc_context(_STYLE):
            return draw(*args, **kwargs)

    return run


def subplots(rows: int, columns: int, width: float, height: float) -> tuple[Figure, NDArray]:
    """Return a figure of rows x columns axes, each of the given size in inches."""
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False)


def line(i: int, *, marker: bool = True) -> dict[str, object]:
    """Return colour, dashes and marker of the i-th line of a figure, as matplotlib's `plot` takes them."""
    style: dict[str, object] = {"color": COLOURS[i % len(COLOURS)], "linestyle": LINES[i % len(LINES)]}
    return style | ({"marker": MARKERS[i % len(MARKERS)], "markersize": 4} if marker else {})


def finish_grid(figure: Figure, axes: NDArray, used: int, *, legend: bool) -> None:
    """Hide the axes beyond the first `used`, and put one legend for all of them below the figure."""
    for axis in list(axes.flat)[used:]:
        axis.set_visible(False)
    if legend and used:
        # A line may be missing from some of the axes.
        shown: dict[str, Artist] = {}
        for axis in list(axes.flat)[:used]:
            handles, labels = axis.get_legend_handles_labels()
            shown |= dict(zip(labels, handles, strict=True))
        figure.legend(list(shown.values()), list(shown), loc="outside lower center", ncols=min(4, len(shown)))
