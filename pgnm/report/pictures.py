"""Draw what the page shows and turn it into `data:` addresses, so that the page is one file."""

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from PIL import Image

from pgnm.data import Split
from pgnm.data.images import decode_image
from pgnm.errors import PgnmError
from pgnm.figure_style import on_dark, save_figure
from pgnm.figures import draw_masks, draw_training
from pgnm.plots import plot_confusion, plot_per_label, plot_reliability
from pgnm.report.runs import RunView, shared_evaluations, show_evaluation

_SIDE = 224


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the page.

    Attributes:
        source: A `data:` address.
        text: What it shows, for those who cannot see it.
        width: Width on the page, px, so that the letters of all figures are of one size.
        chart: Whether it is lines on white, which a dark page may invert; pictures of images never are.
        dark: Another such address, of the same picture as a dark page shows it; empty where there is none.
    """

    source: str
    text: str
    width: int
    chart: bool = True
    dark: str = ""


def picture(path: Path, text: str, *, chart: bool = True, dark: Path | None = None) -> Picture:
    """Return a PNG file, and the one that a dark page shows in its place, as a picture."""
    with Image.open(path) as opened:
        width = opened.width // 2
    return Picture(_address(path.read_bytes()), text, width, chart, _address(dark.read_bytes()) if dark else "")


def thumbnail(path: Path) -> str | None:
    """Return an image, at most 224 px wide and high, as a `data:` address; None where it cannot be read."""
    try:
        image = Image.fromarray(decode_image(path))
    except PgnmError:
        return None
    image.thumbnail((_SIDE, _SIDE))
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return _address(buffer.getvalue())


def _address(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def curves(runs: Sequence[RunView], work: Path) -> Iterator[Picture]:
    """Draw the training curves of all runs in one picture, and the shapes of each policy in one of its own."""
    for text, path in draw_training({run.name: run.folder for run in runs if run.epochs}, work):
        yield picture(path, text)


def evaluation_pictures(run: RunView, work: Path) -> Iterator[Picture]:
    """Draw the calibration of all evaluations of a run, and the confusion matrix of the main one."""
    if run.main is None:
        return
    tables = {
        show_evaluation(name): pd.DataFrame(summary["reliability"]).astype(float)
        for name, summary in run.evaluations.items()
    }
    yield picture(
        save_figure(plot_reliability(tables), work / "reliability.png"),
        f"Calibration of {run.name}: accuracy against confidence, and images by confidence",
    )
    names = list(run.info.class_names)
    confusion = plot_confusion(run.confusion(run.main), names)
    yield picture(
        save_figure(confusion, work / "confusion.png"),
        f"Confusion matrix of {run.name} over {len(names)} classes",
        # Inverted, the many empty cells would shine.
        dark=save_figure(on_dark(confusion), work / "confusion_dark.png"),
    )


def comparison(run: RunView, baseline: RunView, work: Path) -> Picture | None:
    """Draw the F1 of every class against that of the baseline; None where they were not judged alike."""
    shared = shared_evaluations(run, baseline)
    if not shared:
        return None
    name = shared[0]
    tables = [one.per_class(name).set_index("label") for one in (baseline, run)]
    scores = [table[table["n"] > 0]["f1"].astype(float) for table in tables]
    figure = plot_per_label(scores[0], scores[1], (baseline.name, run.name))
    text = f"F1 of every class: {run.name} against {baseline.name}, {show_evaluation(name)} input"
    return picture(save_figure(figure, work / "per_label.png"), text)


def overlays(run: RunView, n: int) -> list[str]:
    """Return up to n training images with the mask of an agent drawn on them, as its run has written them."""
    shown = (thumbnail(path) for path in sorted((run.folder / "overlays").glob("*.png"))[:n])
    return [source for source in shown if source is not None]


def mask_pictures(run: RunView, split: Split, work: Path, seed: int) -> list[Picture]:
    """Draw sampled masks over images of each modality, and intensities before and after; empty without noise."""
    try:
        histograms, sheet = draw_masks(run.folder, split, work, seed=seed)
    except PgnmError:  # no noise, or images that are gone
        return []
    return [
        picture(sheet, f"Masks of {run.name}, and test images of each modality under them", chart=False),
        picture(histograms, f"Intensities before and after masking by {run.name}", chart=False),
    ]
