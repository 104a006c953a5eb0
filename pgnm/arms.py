"""The arms of a study: which recipes they train by, read from what the command line says of them."""

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pgnm.config import Recipe
from pgnm.errors import UsageError
from pgnm.recipe_files import load_recipe, read_value

SWEPT: Final = ("grid", "kernel", "sigma")
"""Keys of the paper's ablation; a sweep over them leaves arms without noise alone."""

# What finetuning shares with pretraining where both are changed by one flag.
_SHARED: Final = ("batch_size", "workers", "cache", "device", "precision", "limit_train", "limit_val")
_ARM = re.compile(r"^(?:(?P<name>[^=:/]+)=)?(?P<recipe>[^:]+)(?::(?P<changes>.*))?$")


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of training, to be run with every seed.

    Attributes:
        name: Name of the arm and of its folder.
        pretrain: Recipe of the first stage; its seed is set for each run.
        finetune: Recipe of the second stage; None ends after the first.
    """

    name: str
    pretrain: Recipe
    finetune: Recipe | None

    @property
    def epochs(self) -> int:
        """Epochs of both stages."""
        return self.pretrain.epochs + (self.finetune.epochs if self.finetune else 0)

    @property
    def masked(self) -> bool:
        """Whether the arm pretrains under noise masks that can be drawn again."""
        return self.pretrain.policy in ("beta", "gaussian", "uniform")

    def stages(self) -> list[tuple[str, str]]:
        """Return the run folder and input of every evaluation of the arm, the last one being its result."""
        first = [("heated", "normalized")] + ([("heated", "noisy")] if self.masked else [])
        return first + ([("finetuned", "normalized")] if self.finetune else [])


def plan_arms(
    specs: Sequence[str],
    *,
    changes: Mapping[str, Any] | None = None,
    finetune_recipe: str | None = "laptop_finetune",
    finetune_changes: Mapping[str, Any] | None = None,
    sweeps: Sequence[str] = (),
) -> list[Arm]:
    """Build the arms of a study.

    Args:
        specs: `[NAME=]RECIPE[:key=value,...]`, RECIPE being a shipped name or a YAML file.
        changes: Keys changed in every arm; an arm's own changes are stronger. Batch size, device, precision, limits
            and the loading of images, changed here or by an arm, hold for its second stage, too.
        finetune_recipe: Recipe of the second stage; None for none.
        finetune_changes: Keys changed in the second stage of every arm; stronger still.
        sweeps: `key=value,value,...`; arms with noise masks are multiplied by the values.

    Raises:
        UsageError: A spec that cannot be read, an unknown key, or two arms of one name.
    """
    grid = [dict(point) for point in itertools.product(*[_read_sweep(sweep) for sweep in sweeps])]
    arms: list[Arm] = []
    for spec in specs:
        name, recipe, own = _read_spec(spec)
        if "seed" in own:
            raise UsageError(f"{spec!r}: all arms have the same seeds; name the first with --seed")
        first = load_recipe(recipe, {**(changes or {}), **own})
        if first.stage != "pretrain":
            raise UsageError(f"an arm starts with a recipe of the stage pretrain; {recipe} is for {first.stage}")
        second = None
        if finetune_recipe is not None:
            shared = {key: value for key, value in {**(changes or {}), **own}.items() if key in _SHARED}
            second = load_recipe(finetune_recipe, {**shared, **(finetune_changes or {})})
        swept = grid if first.policy not in ("none", "apga") else [{}]
        for point in swept:
            suffix = "".join(f"-{key}{value}" for key, value in point.items())
            arms.append(Arm(name + suffix, first.replace(**point), second))
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names) or not names:
        raise UsageError(f"a study needs arms of different names, got {', '.join(names) or 'none'}; write NAME=RECIPE")
    return arms


def _read_spec(spec: str) -> tuple[str, str, dict[str, Any]]:
    match = _ARM.match(spec)
    if match is None:
        raise UsageError(f"an arm is [NAME=]RECIPE[:key=value,...], got {spec!r}")
    changes = _read_changes(match["changes"] or "", spec)
    name = match["name"] or "-".join([Path(match["recipe"]).stem, *(str(value) for value in changes.values())])
    if not re.fullmatch(r"[\w][\w .+-]*", name):
        raise UsageError(f"the name of an arm is made of letters, digits, space, dot, plus and dash; got {name!r}")
    return name, match["recipe"], changes


def _read_changes(text: str, spec: str) -> dict[str, Any]:
    changes = {}
    for item in filter(None, text.split(",")):
        key, equals, value = item.partition("=")
        if not equals:
            raise UsageError(f"{spec!r}: expected key=value after the colon, got {item!r}")
        changes[key.strip().replace("-", "_")] = read_value(value, repr(spec))
    return changes


def _read_sweep(sweep: str) -> list[tuple[str, Any]]:
    key, equals, values = sweep.partition("=")
    if not equals or key not in SWEPT:
        raise UsageError(f"--sweep is KEY=VALUE,VALUE,... with KEY one of {', '.join(SWEPT)}; got {sweep!r}")
    return [(key, read_value(value, f"--sweep {sweep}")) for value in values.split(",")]
