"""What `pgnm pretrain` and `pgnm finetune` share: a flag for each key of the recipe, and the end of the story."""

import dataclasses
import inspect
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli._terminal import counted, say
from pgnm.config import PRETRAIN_ONLY, Recipe

if TYPE_CHECKING:
    from pgnm.engine import Summary

SPLIT_HELP = "Split folder (./split where left out), data set on the Hub as USER/NAME, or folder for load_dataset."

Resume = Annotated[
    bool | None,
    typer.Option("--resume/--no-resume", help="Demand a state to go on from, or start anew; else go on where one is."),
]
AllowLeakage = Annotated[
    bool, typer.Option("--allow-leakage", help="Accept images shared between train, val and test.")
]


def recipe_flags(stage: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command one flag for each key of the recipe that its stage uses; they arrive as keyword arguments.

    Names, types and help come from `pgnm.config.Recipe`, so that the flags, YAML and library cannot drift apart.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = inspect.signature(command, eval_str=True)
        kept = [p for p in own.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        flags = [
            inspect.Parameter(key.name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=_flag(key))
            for key in dataclasses.fields(Recipe)
            if key.name != "stage" and not (stage == "finetune" and key.name in PRETRAIN_ONLY)
        ]
        command.__signature__ = own.replace(parameters=[*kept, *flags])  # type: ignore[attr-defined]
        command.__annotations__ = {p.name: p.annotation for p in (*kept, *flags)}
        return command

    return decorate


def _flag(key: "dataclasses.Field[Any]") -> Any:
    name = "--" + key.name.replace("_", "-")
    kind = type(key.default)
    declaration = f"{name}/--no-{name[2:]}" if kind is bool else name
    choices = key.metadata["choices"]
    told = f" [{'|'.join(choices)}]" if choices else ""
    group = "Noise mask and policy" if key.name in PRETRAIN_ONLY else "Training"
    return Annotated[
        kind | None,
        typer.Option(declaration, help=key.metadata["help"] + told, rich_help_panel=group, show_default=False),
    ]


def tell_idle(settings: Recipe, flags: Mapping[str, Any], *, quiet: bool) -> None:
    """Say which of the flags that were given change nothing beside the others."""
    from pgnm.idle import idle_keys

    told: dict[str, list[str]] = {}
    for key, beside in idle_keys(settings).items():
        if flags.get(key) is not None:
            told.setdefault(beside, []).append("--" + key.replace("_", "-"))
    for beside, given in told.items():
        say(f"note: {beside} does not use {', '.join(sorted(given))}; leave out what it does not use", quiet=quiet)


def is_first_process() -> bool:
    """Tell whether this is the process of those started by torchrun that speaks for all, or the only one."""
    return os.environ.get("RANK", "0") == "0"


def describe(summary: "Summary") -> tuple[dict[str, Any], list[str]]:
    """Return the result of a training run for machines and for people."""
    result = {
        "run": str(summary.run),
        "epochs": summary.epochs,
        "best_epoch": summary.best_epoch + 1,
        "best_val_f1": summary.best_f1,
        "resumed_at": summary.resumed_at,
        "last": summary.metrics,
    }
    rate = summary.metrics.get("images_per_second", float("nan"))
    lines = [
        f"{counted(summary.epochs, 'epoch')}, best validation macro F1 {summary.best_f1:.4f} in epoch "
        f"{summary.best_epoch + 1}, {rate:,.0f} images/s",
        f"wrote {summary.run}: model.safetensors, config.json, metrics.csv, recipe.yaml, README.md",
    ]
    return result, lines
