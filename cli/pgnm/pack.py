"""`pgnm pack`: make a MedMNIST-style set of one's own images."""

from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, counted, finish, progress, quoted, tell_errors


@tell_errors
def pack(
    folder: Annotated[Path, typer.Argument(help="Class folders, or train, val and test of them, or a split folder.")],
    name: Annotated[str, typer.Option(help="Name of the set; ends in mnist by custom.")],
    out: Annotated[Path, typer.Option(help="Folder of the files.")] = Path(),
    size: Annotated[
        list[int] | None, typer.Option(help="Side in px; repeatable. 28, 64, 128 and 224 by default.")
    ] = None,
    licence: Annotated[str, typer.Option("--license", help="Licence of the images, to be stated.")] = "",
    source: Annotated[str, typer.Option(help="Where the images come from, to be stated.")] = "",
    seed: Annotated[int, typer.Option(help="Seed of the parts that have to be carved.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Pack FOLDER as .npz files in MedMNIST's format, a size each, after a check for images shared between parts."""
    from pgnm.pack import SIZES, PackOptions
    from pgnm.pack import pack as pack_folder

    options = PackOptions(tuple(size) if size else SIZES, seed, license=licence, source=source)
    with progress(quiet=quiet) as callback:
        info = pack_folder(folder, name, out, options, callback)
    counts = ", ".join(f"{n:,} {part}" for part, n in info["n_samples"].items())
    lines = [f"{name}: {counts}, {counted(len(info['label']), 'class', 'classes')}"]
    lines += [f"wrote {out / file['file']}" for file in info["files"]]
    lines.append(f"next: pgnm eval MODEL {quoted(out / info['files'][0]['file'])} --protocol unseen")
    finish(info, lines, as_json=as_json, quiet=quiet)
