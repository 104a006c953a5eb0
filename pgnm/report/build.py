"""Build the page of one or more runs: a single HTML file that opens from disk and asks nobody for anything."""

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd
import yaml

from pgnm.data import Split
from pgnm.errors import RunError, UsageError
from pgnm.files import write_text
from pgnm.metrics import METRICS
from pgnm.progress import Progress, ProgressCallback, ignore_progress
from pgnm.report.differences import Difference, differences
from pgnm.report.mistakes import Mistake, top_confusions, worst_mistakes
from pgnm.report.pictures import Picture, comparison, curves, evaluation_pictures, mask_pictures, overlays, thumbnail
from pgnm.report.runs import RunView, find_images, read_predictions, read_runs, show_evaluation
from pgnm.run_folder import tell_unfinished

PAGE: Final = "report.html"
_EYEBROW: Final = '<p class="eyebrow">Run report</p>'  # in every page
_COLUMNS: Final = (*METRICS, "ece")
_LOWER_IS_BETTER: Final = ("entropy", "ece")
_MISTAKES: Final = 12
_CONFUSIONS: Final = 10
_OVERLAYS: Final = 16


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """What was built: the page to open, what it lacks, in sentences, and how the runs differ from the baseline."""

    page: Path
    notes: list[str]
    differences: list[Difference]


@dataclass(slots=True)
class _Cell:
    text: str
    interval: str = ""
    bold: bool = False


@dataclass(slots=True)
class _Section:
    """What the page says of one run."""

    run: RunView
    evaluation: dict[str, Any] | None
    classes: list[dict[Any, Any]] = field(default_factory=list)
    confusions: list[dict[Any, Any]] = field(default_factory=list)
    mistakes: list[tuple[Mistake, str | None]] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    masks: list[Picture] = field(default_factory=list)
    overlays: list[str] = field(default_factory=list)
    comparison: Picture | None = None
    differences: list[Difference] = field(default_factory=list)
    recipe: str = ""


def build_report(
    runs: Sequence[Path],
    *,
    out: Path | None = None,
    baseline: Path | None = None,
    split: Path | None = None,
    seed: int = 0,
    progress: ProgressCallback = ignore_progress,
) -> ReportSummary:
    """Build the page of one or more runs.

    Args:
        runs: Run folders of pretrained or finetuned models.
        out: The HTML file; by default `report.html` in the first run.
        baseline: A run to compare the others with, as a whole and class by class; need not be among `runs`.
        split: Where the images are; by default the split that the runs name.
        seed: Seed of the masks, of the choice of images under them, and of the resampling.
        progress: Hears how many runs are done.

    Raises:
        RunError: A folder is no run folder, or `runs` is empty.
        UsageError: `out` is no name of a page, or a file that no report wrote.
        SplitError: `split` is no split folder.
    """
    if not runs:
        raise RunError("there is no run to report on; name run folders such as heated and finetuned")
    places: dict[Path, Path] = {}
    for run in (*runs, *([baseline] if baseline is not None else [])):
        places.setdefault(run.resolve(), run)  # one run, by whatever path it is named
    views = read_runs(list(places.values()))
    against = views[list(places).index(baseline.resolve())] if baseline is not None else None
    out = out or runs[0] / PAGE
    _refuse_foreign(out)
    notes: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        drawn = list(curves(views, work))
        sections = []
        for done, view in enumerate(views, start=1):
            images = find_images(view, split)
            sections.append(_describe(view, against, images, work, seed))
            notes += _missing(view, images)
            if against is not None and view is not against and view.main and not sections[-1].differences:
                notes.append(
                    f"{view.name} and the baseline {against.name} share no evaluation of the same input, images "
                    "and classes, so they are not compared; judge both alike with pgnm eval"
                )
            progress(Progress("runs", done, len(views)))
    write_text(out, _render(views, sections, drawn, against, notes))
    return ReportSummary(out, notes, [one for section in sections for one in section.differences])


def _refuse_foreign(out: Path) -> None:
    if out.suffix.lower() not in (".html", ".htm") or out.is_dir():
        raise UsageError(f"--out must name a file that ends in .html, got {out}")
    if out.is_file() and _EYEBROW.encode() not in out.read_bytes():
        raise UsageError(f"--out {out} was not written by pgnm report; choose another name")


def _missing(run: RunView, images: Split | None) -> list[str]:
    notes = []
    if told := tell_unfinished(run.folder):
        notes.append(told)
    if run.main is None:
        notes.append(f"{run.name} has not been judged; run: pgnm eval {run.folder}")
    elif images is None:
        notes.append(f"the images of {run.name} are not at hand; name their split with --split")
    return notes


def _describe(run: RunView, baseline: RunView | None, images: Split | None, work: Path, seed: int) -> _Section:
    section = _Section(run, run.evaluations.get(run.main or ""))
    section.recipe = yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True) if run.recipe else ""
    section.overlays = overlays(run, _OVERLAYS)
    if images is not None:
        section.masks = mask_pictures(run, images, work, seed)
    if run.main is None:
        return section
    if baseline is not None and baseline is not run:
        section.comparison = comparison(run, baseline, work)
        section.differences = differences(run, baseline, images, seed)
    section.pictures = list(evaluation_pictures(run, work))
    classes = run.per_class(run.main)
    classes.loc[classes["n"] == 0, ["precision", "recall", "f1"]] = math.nan  # without images there is no score
    section.classes = classes.sort_values(["f1", "label"]).to_dict("records")
    section.confusions = top_confusions(run.confusion(run.main), run.info.class_names, _CONFUSIONS).to_dict("records")
    worst = worst_mistakes(*read_predictions(run, run.main), run.info.class_names, _MISTAKES)
    section.mistakes = [
        (mistake, None if images is None else thumbnail(images.root / mistake.path)) for mistake in worst
    ]
    return section


def _table(runs: Sequence[RunView], *, rivals: bool) -> list[tuple[str, str, dict[str, Any], dict[str, _Cell]]]:
    """Return a row per run and evaluation: run, evaluation, its summary, a cell per metric; among rivals the best."""
    rows = [(run.name, name, summary) for run in runs for name, summary in run.evaluations.items()]
    table = [
        (run, name, summary, {column: _cell(summary, column) for column in _COLUMNS}) for run, name, summary in rows
    ]
    for column in _COLUMNS:
        values = [summary["metrics"].get(column) for _, _, summary in rows]
        known = [value for value in values if value is not None]
        if len(known) < 2 or not rivals:
            continue
        best = min(known) if column in _LOWER_IS_BETTER else max(known)
        for (_, _, _, cells), value in zip(table, values, strict=True):
            cells[column].bold = value == best
    return table


def _cell(summary: dict[str, Any], column: str) -> _Cell:
    value = summary["metrics"].get(column)
    bounds = ((summary.get("intervals") or {}).get("bounds") or {}).get(column)
    interval = "" if not bounds or None in bounds else f"{_number(bounds[0])} to {_number(bounds[1])}"
    return _Cell(_number(value), interval)


def _difference_cells(difference: Difference) -> dict[str, _Cell]:
    """Return a cell per metric, marked where the interval leaves 0 out."""
    cells = {}
    for metric in METRICS:
        bounds = difference.intervals.bounds.get(metric)
        interval = "" if bounds is None else f"{_signed(bounds[0])} to {_signed(bounds[1])}"
        cells[metric] = _Cell(_signed(difference.values.get(metric)), interval, difference.is_sure(metric))
    return cells


def _signed(value: float | None) -> str:
    """Return a difference with its sign and three digits; 0 has none."""
    if value is None or math.isnan(value):
        return "–"
    text = _number(abs(value))
    return text if float(text) == 0 else ("−" if value < 0 else "+") + text


def _number(value: object) -> str:
    """Return a figure with three digits, without the nought before the point where it is a share."""
    if not isinstance(value, int | float) or math.isnan(value):
        return "–"
    text = f"{value:.3f}"
    return text.removeprefix("0") if text.startswith("0.") else text


def _render(
    runs: Sequence[RunView],
    sections: Sequence[_Section],
    drawn: Sequence[Picture],
    baseline: RunView | None,
    notes: Sequence[str],
) -> str:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("pgnm.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"number": _number, "readable": _readable, "anchor": _anchor, "evaluation": show_evaluation}
    style = resources.files("pgnm.report") / "templates" / "style.css"
    # Models that were judged on other images are no rivals.
    rivals = len({images for run in runs for images in run.judged_on.values()}) == 1
    return templates.get_template("index.html").render(
        runs=runs,
        sections=sections,
        curves=drawn,
        columns=_COLUMNS,
        table=_table(runs, rivals=rivals),
        rivals=rivals,
        baseline=baseline,
        differences=[(one, _difference_cells(one)) for section in sections for one in section.differences],
        metrics=METRICS,
        notes=notes,
        probes=[(run, protocol, _probe_rows(table)) for run in runs for protocol, table in run.probes.items()],
        style=style.read_text(encoding="utf-8"),
    )


def _probe_rows(table: pd.DataFrame) -> list[dict[str, Any]]:
    return [{str(key): value for key, value in row.items()} for row in table.to_dict("records")]


def _readable(name: str) -> str:
    """Show a label such as US__breast__benign as people read it."""
    return name.replace("__", " › ").replace("_", " ")


def _anchor(name: str) -> str:
    return "run-" + "".join(letter if letter.isalnum() else "-" for letter in name)
