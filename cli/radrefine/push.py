"""`radrefine push`."""

from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, counted, finish, progress, say, sized, tell_errors


@tell_errors
def push(
    split: Annotated[Path, typer.Argument(help="Split folder, as written by `radrefine split`.")],
    repo_id: Annotated[str, typer.Option("--repo-id", help="Repository to publish to, as USER/NAME.")],
    with_images: Annotated[
        bool, typer.Option("--with-images", help="Publish the images too; needs --license.")
    ] = False,
    license_name: Annotated[
        str | None, typer.Option("--license", help="Licence of what is published, such as cc-by-4.0.")
    ] = None,
    public: Annotated[
        bool, typer.Option("--public", help="Make the repository public; it is private otherwise.")
    ] = False,
    revision: Annotated[
        str | None, typer.Option("--revision", help="Branch to publish to; made where it is missing.")
    ] = None,
    max_shard_size: Annotated[
        str, typer.Option("--max-shard-size", help="Largest Parquet file, such as 250MB or 1GB.")
    ] = "500MB",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be published; send nothing.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Publish a split on the Hugging Face Hub: masks, tables and splits, with the images only where you say so.

    Interrupted or refused, run it again: what is already there is not uploaded again.
    """
    from radrefine.hub import PushOptions, push_split

    options = PushOptions(
        repo_id=repo_id,
        with_images=with_images,
        license=license_name,
        public=public,
        revision=revision,
        max_shard_size=max_shard_size,
    )
    with progress(quiet=quiet or as_json) as callback:
        done = push_split(
            split, options, dry_run=dry_run, progress=callback, on_wait=lambda text: say(text, quiet=quiet)
        )
    result = {
        "url": done.url,
        "dry_run": dry_run,
        "commits": done.commits,
        "bytes": done.n_bytes,
        "files": [{"path": path, "bytes": size} for path, size in done.files],
        "uploaded": done.uploaded,
        "already_there": done.present,
        "left_over": done.left_over,
        "shared_between_splits": done.shared,
    }
    size = f"{counted(len(done.files), 'file')}, {sized(done.n_bytes)}"
    if dry_run:
        lines = [f"{path}  {n_bytes:,} bytes" for path, n_bytes in done.files]
        lines.append(f"would publish {size} in at most {counted(done.commits, 'commit')} to {done.url}")
    else:
        there = f", {len(done.present):,} were there already" if done.present else ""
        lines = [f"published {size} in {counted(done.commits, 'commit')}{there}: {done.url}"]
        lines.append(f"next: radrefine fetch {repo_id} --out published" if not with_images else _load(repo_id))
    if done.left_over:
        lines.append(f"still in the repository: {counted(len(done.left_over), 'image file')} of an earlier push")
    if done.shared:
        told = ", ".join(f"{name}: {count:,}" for name, count in done.shared.items())
        lines.append(f"the splits share images ({told}); the card says so; radrefine split makes splits that do not")
    finish(result, lines, as_json=as_json, quiet=quiet)


def _load(repo_id: str) -> str:
    return f'next, in Python: datasets.load_dataset("{repo_id}")'
