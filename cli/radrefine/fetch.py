"""`radrefine fetch`."""

from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, counted, finish, progress, quoted, say, tell_errors


@tell_errors
def fetch(
    repo_id: Annotated[str, typer.Argument(metavar="REPO", help="Data set on the Hugging Face Hub, as USER/NAME.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to fill; the NAME of the repository by default.")
    ] = None,
    revision: Annotated[str | None, typer.Option("--revision", help="Branch, tag or commit; main by default.")] = None,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Bring the masks, tables and splits of a published data set here, to refine and split your own copy alike."""
    from radrefine.hub import fetch as fetch_repository

    folder = out or Path(repo_id.split("/")[-1])
    with progress(quiet=quiet or as_json) as callback:
        done = fetch_repository(
            repo_id, folder, revision=revision, progress=callback, on_wait=lambda text: say(text, quiet=quiet)
        )
    result = {
        "out": str(done.out),
        "files": done.files,
        "n_masks": done.n_masks,
        "masks": [str(path) for path in done.masks],
        "splits": [str(path) for path in done.splits],
    }
    lines = [f"brought {counted(len(done.files), 'file')} and {counted(done.n_masks, 'mask')} to {done.out}"]
    if done.masks:
        lines.append("next: radrefine clean --src SOURCE --masks " + quoted(done.masks[0]))
    if done.splits:
        lines.append("then: radrefine split REFINED --given " + " --given ".join(map(quoted, done.splits)))
    finish(result, lines, as_json=as_json, quiet=quiet)
