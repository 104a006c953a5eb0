"""`pgnm finetune`: train the heated model on plain images."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import Json, Quiet, finish, progress, quoted, tell_errors
from cli.pgnm._training import SPLIT_HELP, AllowLeakage, Resume, describe, is_first_process, recipe_flags, tell_idle


@tell_errors
@recipe_flags("finetune")
def finetune(
    split: Annotated[Path | None, typer.Argument(help=SPLIT_HELP)] = None,
    heated: Annotated[Path, typer.Option("--from", help="Run folder that pgnm pretrain wrote.")] = Path("heated"),
    out: Annotated[Path, typer.Option(help="Run folder to write.")] = Path("finetuned"),
    recipe: Annotated[str, typer.Option(help="Name of a shipped recipe, or a YAML file.")] = "laptop_finetune",
    resume: Resume = None,
    allow_leakage: AllowLeakage = False,
    as_json: Json = False,
    quiet: Quiet = False,
    **flags: Any,
) -> None:
    """Train the heated model on plain images; the result is the model to use."""
    from pgnm.recipe_files import load_recipe

    settings = load_recipe(recipe, flags)  # a wrong flag is told before torch is loaded
    tell_idle(settings, flags, quiet=quiet or not is_first_process())
    from pgnm.finetune import finetune as train
    from pgnm.hub import locate_split

    with progress(quiet=quiet or not is_first_process()) as callback:
        folder = locate_split(split, progress=callback)
        summary = train(folder, heated, out, settings, resume=resume, allow_leakage=allow_leakage, progress=callback)
    result, lines = describe(summary)
    lines.append(f"next: pgnm eval {quoted(out)} {quoted(split or folder)}")
    if is_first_process():
        finish(result, lines, as_json=as_json, quiet=quiet)
