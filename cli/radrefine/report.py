"""`radrefine report`: pages to look at."""

from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, counted, finish, progress, quoted, tell_errors


@tell_errors
def report(
    refined: Annotated[Path, typer.Argument(help="Folder written by radrefine clean.")] = Path(),
    src: Annotated[
        Path | None, typer.Option(help="Source of the pictures before refinement; by default the one of the clean run.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the pages; by default REFINED/report.")] = None,
    sample: Annotated[int, typer.Option(min=0, help="Images in the gallery, worst first; 0 for all looked at.")] = 400,
    seed: Annotated[int, typer.Option(help="Seed of the part of the gallery that is drawn at random.", min=0)] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write pages with pictures before and after refinement, what was found, and what failed."""
    from radrefine.report import ReportOptions, build_report

    with progress(quiet=quiet) as callback:
        summary = build_report(
            refined, source=src, out=out, options=ReportOptions(sample=sample, seed=seed), progress=callback
        )
    lines = [f"{counted(summary.n_shown, 'image')} in the gallery; open {summary.page}"]
    if summary.n_without_before:
        lines.append(f"{summary.n_without_before:,} lack the picture before refinement; name their source with --src")
    if summary.audit_is_old:
        lines.append(f"the duplicates are of an earlier state; run radrefine audit {quoted(refined)}, then this again")
    result = {"page": summary.page, "shown": summary.n_shown, "without_before": summary.n_without_before}
    finish(result | {"audit_is_old": summary.audit_is_old}, lines, as_json=as_json, quiet=quiet)
