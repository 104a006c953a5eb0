"""`radrefine templates`: propose templates of marks from a collection."""

from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, finish, progress, quoted, tell_errors

templates = typer.Typer(help="Templates of marks, for radrefine clean --templates.", no_args_is_help=True)


@templates.callback()
def _group() -> None:
    """Keep `mine` a command of its own while it is the only one."""


@templates.command()
@tell_errors
def mine(
    src: Annotated[Path, typer.Argument(help="Folder, .tar, .tar.gz or .zip of images.")],
    out: Annotated[Path, typer.Option(help="Folder for the templates, kind_NNN.png, and sheet.png to look at.")],
    modality: Annotated[str | None, typer.Option(help="Modality of every image: CT, MR, US or XR.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="Images to look at.")] = 500,
    count: Annotated[int, typer.Option(min=1, help="Templates to write at most.")] = 24,
    least_images: Annotated[int, typer.Option(min=1, help="Images in which a shape must occur.")] = 3,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Propose templates: bright shapes that repeat from image to image. Look at the sheet and delete what is tissue."""
    from radrefine.artifacts.classical.mine import mine_templates

    with progress(quiet=quiet) as callback:
        paths = mine_templates(
            src, out, modality=modality, limit=limit, count=count, least_images=least_images, progress=callback
        )
    lines = [
        f"written: {len(paths)} templates in {out}",
        f"look at {out / 'sheet.png'}, delete the templates that are tissue, and rename those of a wrong kind",
        f"next: radrefine clean --src {quoted(src)} --templates {quoted(out)}"
        + (f" --modality {modality}" if modality else ""),
    ]
    finish({"templates": paths, "sheet": out / "sheet.png"}, lines, as_json=as_json, quiet=quiet)
