"""`pgnm finetune`: train the heated model on plain images."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import Json, Quiet, finish, progress, tell_errors
from cli.pgnm._training import AllowLeakage, Resume, describe, recipe_flags


@tell_errors
@recipe_flags("finetune")
def finetune(
    split: Annotated[Path | None, typer.Argument(help="Split folder; ./split where left out.")] = None,
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
    from pgnm.config import load_recipe

    settings = load_recipe(recipe, flags)  # a wrong flag is told before torch is loaded
    from pgnm.data import find_split
    from pgnm.finetune import finetune as train

    with progress(quiet=quiet) as callback:
        summary = train(
            find_split(split), heated, out, settings, resume=resume, allow_leakage=allow_leakage, progress=callback
        )
    result, lines = describe(summary)
    lines.append(f"next: pgnm eval {out} {find_split(split)}")
    finish(result, lines, as_json=as_json, quiet=quiet)
