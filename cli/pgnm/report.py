"""`pgnm report`: one page of one or more runs."""

from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, finish, progress, say, tell_errors


@tell_errors
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders of pretrained or finetuned models.")],
    out: Annotated[Path | None, typer.Option(help="The HTML file; by default report.html in the first run.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Run to compare the others with, class by class; listed or not.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Split folder of the images; by default the one that the runs name.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the masks and of the images under them.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write one page: results, curves, policy, masks, classes, calibration, confusion, worst errors."""
    from pgnm.report import build_report

    with progress(quiet=quiet) as callback:
        summary = build_report(runs, out=out, baseline=baseline, split=split, seed=seed, progress=callback)
    for note in summary.notes:
        say(note, quiet=quiet)
    finish({"page": summary.page, "notes": summary.notes}, [f"open {summary.page}"], as_json=as_json, quiet=quiet)
