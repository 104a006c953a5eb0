"""`pgnm report`: one page of one or more runs."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli._terminal import Json, Quiet, counted, finish, progress, say, tell_errors

if TYPE_CHECKING:
    from pgnm.report.differences import Difference


@tell_errors
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of pretrained or finetuned models.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; by default report.html in the first run.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Run to compare the others with, as a whole and class by class; listed or not.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split folder of the images; by default the one that the runs name.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the masks, of the images under them, and of the resampling.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write one page: results, curves, policy, masks, classes, calibration, confusion, worst errors."""
    from pgnm.report import build_report

    with progress(quiet=quiet) as callback:
        summary = build_report(runs, out=out, baseline=baseline, split=split, seed=seed, progress=callback)
    for note in summary.notes:
        say(note, quiet=quiet)
    result = {
        "page": summary.page,
        "notes": summary.notes,
        "differences": [asdict(difference) for difference in summary.differences],
    }
    lines = [line for difference in summary.differences for line in _describe(difference)]
    finish(result, [*lines, f"open {summary.page}"], as_json=as_json, quiet=quiet)


def _describe(difference: "Difference") -> list[str]:
    from pgnm.report.runs import show_evaluation

    judged = f"{counted(difference.images, 'image')}, {show_evaluation(difference.evaluation)} input"
    lines = [f"{difference.run} less {difference.baseline} on {judged}"]
    for metric, value in difference.values.items():
        bounds = difference.intervals.bounds.get(metric)
        told = "" if bounds is None else f"  95 % interval {bounds[0]:+.4f} to {bounds[1]:+.4f}"
        lines.append(f"  {metric:<18}{value:+.4f}{told}")
    return lines
