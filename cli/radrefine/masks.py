"""`radrefine masks`: what was removed, for others to remove from their copy."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import EXIT_FAILED_IMAGES, Json, Quiet, counted, finish, progress, quoted, sized, tell_errors


@tell_errors
def masks(
    refined: Annotated[Path, typer.Argument(help="Folder written by radrefine clean.")] = Path(),
    out: Annotated[Path | None, typer.Option(help="Archive to write; by default REFINED-masks.zip beside it.")] = None,
    src: Annotated[Path | None, typer.Option(help="Source of the images; by default the one of the clean run.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Write what was removed as a compact archive, which makes the same images from another copy of the source."""
    import dataclasses

    from radrefine.errors import UsageError
    from radrefine.reading import reading
    from radrefine.removals import write_removals

    folder = refined.resolve()
    run: dict[str, Any] = {}
    if src is None:
        place = folder / "run.json"
        if not place.is_file():
            raise UsageError(f"{refined} has no run.json that names its source; name it with --src")
        with reading(place, "name the source with --src"):
            run = json.loads(place.read_text())
            src = Path(run["source"]["path"])
    with progress(quiet=quiet) as callback:
        summary = write_removals(folder, src, out or folder.with_name(f"{folder.name}-masks.zip"), progress=callback)
    lines = [
        f"the removals of {counted(summary.images, 'image')} in {sized(summary.n_bytes)}",
        *(f"left out {path}: {reason}" for path, reason in summary.failures[:10]),
        f"written: {summary.out}",
        "next, with another copy of the source: radrefine clean --src COPY --masks "
        + " ".join([quoted(summary.out), *_read_alike(run)]),
    ]
    finish(dataclasses.asdict(summary), lines, as_json=as_json, quiet=quiet)
    if summary.failures:
        raise typer.Exit(EXIT_FAILED_IMAGES)


def _read_alike(run: dict[str, Any]) -> list[str]:
    """Return the options by which another clean reads paths as the one did that `run.json` tells of."""
    known = run.get("configuration") or {}
    options = []
    if known.get("layout") == "imagefolder":
        options += ["--layout", "imagefolder"]
    if known.get("modality"):
        options += ["--modality", quoted(known["modality"])]
    return options
