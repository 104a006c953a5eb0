"""A run folder as a whole: whose it is, who holds it, what goes from it, the tables beside the weights.

`pgnm.checkpoints` says what lies in it, and writes and reads the weights.
"""

import contextlib
import errno
import fcntl
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import pandas as pd
import torch
import yaml

from pgnm.checkpoints import (
    CONFIG_FILE,
    METRICS_FILE,
    MODEL_FILE,
    POLICY_FILE,
    PREDICTIONS_FILE,
    RECIPE_FILE,
    STATE_FILE,
    read_config,
)
from pgnm.config import Recipe
from pgnm.errors import RunError, UsageError
from pgnm.files import atomic_path, write_text

_log = logging.getLogger(__name__)

_LOCK_FILE: Final = "state/lock"

# Whatever a training writes into its run folder, or removes from it.
_NAMES: Final = (
    *(MODEL_FILE, CONFIG_FILE, POLICY_FILE, METRICS_FILE, RECIPE_FILE, "README.md", "state"),
    *("overlays", "eval", "eval.json", PREDICTIONS_FILE),
)
# What `radrefine clean` and `split` write.
_OF_IMAGES: Final = ("split.json", "manifest.parquet")
_RECIPE_HEAD: Final = "# Resolved recipe of this run"


def refuse_foreign(run: Path) -> None:
    """Raise UsageError where a training would write over files that no training wrote."""
    if not run.is_dir():
        if run.exists():
            raise UsageError(f"--out {run} is a file; choose a folder")
        return
    if any((run / name).is_file() for name in _OF_IMAGES):
        raise UsageError(f"--out {run} is a folder of images or of a split; choose another folder")
    there = [name for name in _NAMES if (run / name).exists()]
    if there and not _is_ours(run):
        raise UsageError(f"--out {run} holds {', '.join(there)} that no training wrote; choose another folder")


def _is_ours(run: Path) -> bool:
    if (run / STATE_FILE).is_file() or (run / _LOCK_FILE).is_file():
        return True
    try:
        if (run / RECIPE_FILE).read_text(encoding="utf-8").startswith(_RECIPE_HEAD):
            return True
    except (OSError, ValueError):
        pass
    try:
        return "pgnm" in read_config(run)
    except RunError:
        return False


@contextlib.contextmanager
def held(run: Path) -> Iterator[None]:
    """Hold a run folder for one training; two would mix their weights and metrics.

    Raises:
        RunError: Another training holds it.
    """
    path = run / _LOCK_FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
                told = f"another training is writing to {run}; wait until it ends, or choose another --out"
                raise RunError(told) from None
            _log.warning("%s cannot be locked (%s); see to it that no other training writes there", run, error.strerror)
        yield


def clear_earlier(run: Path) -> None:
    """Remove from a run folder all of an earlier training but the lock, before weights are trained anew.

    The state goes first: left alone, it would tell of a training whose files are no longer there.
    """
    for name in (STATE_FILE, CONFIG_FILE, MODEL_FILE, POLICY_FILE, METRICS_FILE, "README.md"):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "overlays", ignore_errors=True)
    clear_judgements(run)


def refuse_incomplete(run: Path) -> None:
    """Raise RunError where a finished run lacks a file of its classifier."""
    lost = [name for name in (MODEL_FILE, CONFIG_FILE) if not (run / name).is_file()]
    if lost:
        raise RunError(f"{run} was trained to its end, but {' and '.join(lost)} is gone; train anew with --no-resume")


def clear_judgements(run: Path) -> None:
    """Remove from a run folder what was said of weights that are about to be replaced."""
    for name in ("eval.json", PREDICTIONS_FILE):
        (run / name).unlink(missing_ok=True)
    shutil.rmtree(run / "eval", ignore_errors=True)


def tell_unfinished(run: Path) -> str:
    """Return a sentence on a training that was interrupted and whose weights are those so far; empty for others."""
    try:
        # Mapped, not read: the tensors of the optimiser are many times those of the model.
        state = torch.load(run / STATE_FILE, map_location="cpu", weights_only=True, mmap=True)
        position, epochs = state["position"], state["recipe"]["epochs"]
        done = position["epoch"]
        if position["finished"] or done >= epochs:
            return ""
    except Exception:  # none, or one that only going on would need: torch raises half a dozen kinds
        return ""
    return f"{run} was interrupted after {done} of {epochs} epochs; the same command goes on with it"


def write_recipe(run: Path, recipe: Recipe, resolved: Mapping[str, Any]) -> None:
    """Write the resolved recipe with a help comment per key; under `resolved`, versions and hashes of the input."""
    lines = [f"{_RECIPE_HEAD}; usable as --recipe."]
    for key in fields(Recipe):
        text = yaml.safe_dump({key.name: getattr(recipe, key.name)}, allow_unicode=True, width=1000).strip()
        lines.append(f"{text}  # {key.metadata['help']}")
    rest = yaml.safe_dump({"resolved": dict(resolved)}, allow_unicode=True, sort_keys=False)
    write_text(run / RECIPE_FILE, "\n".join(lines) + "\n" + rest)


def write_metrics(run: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write metrics.csv anew, a row per epoch."""
    with atomic_path(run / METRICS_FILE) as temporary:
        pd.DataFrame(list(rows)).to_csv(temporary, index=False)
