"""`pgnm pretrain`: train the heated model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import Json, Quiet, finish, progress, quoted, tell_errors
from cli.pgnm._training import SPLIT_HELP, AllowLeakage, Resume, describe, is_first_process, recipe_flags, tell_idle


@tell_errors
@recipe_flags("pretrain")
def pretrain(
    split: Annotated[Path | None, typer.Argument(help=SPLIT_HELP)] = None,
    out: Annotated[Path, typer.Option(help="Run folder to write.")] = Path("heated"),
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or a YAML file.")] = "laptop",
    resume: Resume = None,
    allow_leakage: AllowLeakage = False,
    as_json: Json = False,
    quiet: Quiet = False,
    **flags: Any,
) -> None:
    """Train a classifier on images under a learned noise mask; the result is the heated model."""
    from pgnm.recipe_files import load_recipe

    settings = load_recipe(recipe, flags)  # a wrong flag is told before torch is loaded
    tell_idle(settings, flags, quiet=quiet or not is_first_process())
    from pgnm.hub import locate_split
    from pgnm.pretrain import pretrain as train

    with progress(quiet=quiet or not is_first_process()) as callback:
        folder = locate_split(split, progress=callback)
        summary = train(folder, out, settings, resume=resume, allow_leakage=allow_leakage, progress=callback)
    result, lines = describe(summary)
    lines.append(" ".join(["next: pgnm finetune", *([quoted(split)] if split else []), "--from", quoted(out)]))
    if is_first_process():
        finish(result, lines, as_json=as_json, quiet=quiet)
