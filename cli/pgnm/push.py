"""`pgnm push`."""

from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, counted, finish, say, tell_errors


@tell_errors
def push(
    model: Annotated[Path, typer.Argument(help="Run folder of `pgnm pretrain` or `pgnm finetune`.")],
    repo_id: Annotated[str, typer.Option("--repo-id", help="Repository to publish to, as USER/NAME.")],
    license_name: Annotated[
        str | None, typer.Option("--license", help="Licence of the weights, such as cc-by-4.0.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make the repository public; it is private otherwise.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch to publish to; made where it is missing.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be published; send nothing.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Publish a model on the Hugging Face Hub, so that plain timm loads it by name."""
    from pgnm.hub import ModelPushOptions, push_model

    options = ModelPushOptions(repo_id=repo_id, license=license_name, public=public, revision=revision)
    done = push_model(model, options, dry_run=dry_run, on_wait=lambda text: say(text, quiet=quiet))
    files = [{"path": path, "bytes": size} for path, size in done.files]
    result = {"url": done.url, "dry_run": dry_run, "bytes": done.n_bytes, "files": files}
    size = f"{counted(len(files), 'file')}, {done.n_bytes / 1e6:,.1f} MB"
    if dry_run:
        lines = [f"{path}  {n_bytes:,} bytes" for path, n_bytes in done.files]
        lines.append(f"would publish {size} in one commit to {done.url}")
    else:
        lines = [f"published {size}: {done.url}"]
        lines.append(f'next, in Python: timm.create_model("hf_hub:{repo_id}", pretrained=True)')
    finish(result, lines, as_json=as_json, quiet=quiet)
