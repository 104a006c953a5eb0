"""The command `radrefine demo`."""

from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, finish, progress, quoted, tell_errors


@tell_errors
def demo(
    out: Annotated[
        Path, typer.Option(help="Folder to write RadImageNet-phantom/ and truth/ into.", file_okay=False)
    ] = Path("demo-collection"),
    images: Annotated[
        int | None, typer.Option(help="Images in all, besides planned duplicates and faults.  [default: 618]")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same images.", min=0)] = 0,
    size: Annotated[int, typer.Option(help="Height of the images, px.")] = 224,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Make a small phantom collection with known marks, duplicates and faults, offline."""
    from radrefine.demo import DEFAULT_IMAGES, DemoOptions, make_demo

    options = DemoOptions(images=DEFAULT_IMAGES if images is None else images, seed=seed, size=size)
    with progress(quiet=quiet or as_json) as callback:
        made = make_demo(out, options, callback)
    counts = {
        "images": made.images,
        "classes": made.classes,
        "marked": made.marked,
        "findings": made.findings,
        "duplicates": made.duplicates,
        "faults": made.faults,
    }
    finish(
        {"collection": str(made.collection), "truth": str(made.truth), **counts},
        [
            f"wrote {made.images:,} images of {made.classes} classes to {made.collection}",
            f"{made.marked:,} ultrasound images carry {made.findings:,} marks; masks, boxes and the images without "
            f"them are in {made.truth}",
            f"on purpose: {made.duplicates} near-duplicates, {made.faults} blank or broken files",
            f"next: radrefine clean --src {quoted(made.collection)}",
        ],
        as_json=as_json,
        quiet=quiet,
    )
