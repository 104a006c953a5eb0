"""Compare arms over seeds: pretrain, finetune and judge every arm with every seed, resumably."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import torch

from pgnm.arms import Arm
from pgnm.data import load_split
from pgnm.errors import RunError, TrainingError, UsageError
from pgnm.evaluate import EvalOptions, evaluate_run
from pgnm.files import write_json
from pgnm.finetune import finetune
from pgnm.pretrain import pretrain
from pgnm.progress import Progress, ProgressCallback, ignore_progress
from pgnm.workers import run_side_by_side

SCHEMA: Final = 1


@dataclass(frozen=True, slots=True)
class StudyOptions:
    """How to run a study; the help of each option is in its field's metadata."""

    seeds: int = field(default=5, metadata={"help": "Seeds per arm."})
    first_seed: int = field(default=0, metadata={"help": "The first seed."})
    jobs: int = field(default=0, metadata={"help": "Runs at a time; 0: one per GPU, or one."})
    resamples: int = field(default=200, metadata={"help": "Bootstrap resamples of each evaluation."})
    allow_leakage: bool = field(
        default=False, metadata={"help": "Accept images shared between the parts of the split; figures flatter then."}
    )

    def __post_init__(self) -> None:
        if self.seeds < 1:
            raise UsageError(f"--seeds must be at least 1, got {self.seeds}")
        if not 0 <= self.first_seed <= 2**31 - self.seeds:
            raise UsageError(f"--seed must be between 0 and {2**31 - self.seeds}, got {self.first_seed}")
        if self.jobs < 0 or self.resamples < 0:
            raise UsageError(f"--jobs and --resamples must not be negative, got {self.jobs} and {self.resamples}")

    def all_seeds(self) -> range:
        """Return the seeds."""
        return range(self.first_seed, self.first_seed + self.seeds)


def run_study(
    arms: Sequence[Arm],
    split: Path,
    out: Path,
    options: StudyOptions | None = None,
    progress: ProgressCallback = ignore_progress,
) -> dict[str, str]:
    """Train and judge every arm with every seed; what is done already is not done again.

    A run that fails, as by a loss that is not finite, does not keep the others from being run.

    Every run is in `out/<arm>/seed<seed>/`: `heated` and `finetuned`, run folders with their evaluations.

    Args:
        arms: What to compare.
        split: Split folder.
        out: Folder of the study.
        options: Seeds and parallel runs.
        progress: Hears of runs finished and, with one run at a time, of the steps within.

    Returns:
        What went wrong with each run that failed, by its folder in `out`; the next call tries it again.

    Raises:
        UsageError: `out` holds a study in which an arm of the same name has another recipe, or of another split.
        TrainingError: The process of one of several runs at a time was ended from outside.
    """
    options = options or StudyOptions()
    _record_plan(arms, split, out, options)
    pending = [
        (arm, seed) for seed in options.all_seeds() for arm in arms if not is_done(arm, seed, out, options.resamples)
    ]
    total = len(arms) * options.seeds
    devices = torch.cuda.device_count()
    jobs = options.jobs or max(1, devices)
    calls = (
        (arm, seed, split, out, options, _device(arm, i, devices, jobs), progress if jobs == 1 else None)
        for i, (arm, seed) in enumerate(pending)
    )
    done = total - len(pending)
    failed: dict[str, str] = {}
    progress(Progress("runs", done, total))
    # Runs share the GPUs in turn; with one job everything stays in this process.
    for place, fault in run_side_by_side(_try_one, calls, jobs=jobs):
        done += 1
        if fault:
            failed[place] = fault
        progress(Progress("runs", done, total, {"failed": len(failed)} if failed else {}))
    return failed


def _device(arm: Arm, place: int, devices: int, jobs: int) -> str:
    if arm.pretrain.device == "auto" and devices > 1 and jobs > 1:
        return f"cuda:{place % devices}"
    return arm.pretrain.device


def run_folder(arm: Arm, seed: int, out: Path) -> Path:
    """Return the folder of one arm with one seed."""
    return out / arm.name / f"seed{seed}"


def is_done(arm: Arm, seed: int, out: Path, resamples: int) -> bool:
    """Tell whether every evaluation of a run is there; each is written after the stage that it judges."""
    folder = run_folder(arm, seed, out)
    return all(
        _is_judged(folder / run / "eval" / f"classify-{kind}" / "eval.json", resamples) for run, kind in arm.stages()
    )


def _is_judged(result: Path, resamples: int) -> bool:
    # An evaluation with other intervals than asked for, or one that cannot be read, is made again.
    try:
        intervals = json.loads(result.read_text(encoding="utf-8"))["intervals"]
        return int(intervals["resamples"] if intervals else 0) == resamples
    except (OSError, ValueError, KeyError, TypeError):
        return False


def whole_arms(arms: Sequence[Arm], failed: Mapping[str, str]) -> list[Arm]:
    """Return the arms of which no run failed; `failed` is what `run_study` returned."""
    return [arm for arm in arms if not any(place.startswith(f"{arm.name}/") for place in failed)]


def _try_one(arm: Arm, seed: int, *args: Any) -> tuple[str, str]:
    """Do one run; return its folder in the study and what went wrong, empty where nothing did."""
    place = f"{arm.name}/seed{seed}"
    try:
        run_one(arm, seed, *args)
    except (TrainingError, RunError) as error:
        return place, str(error)
    return place, ""


def run_one(
    arm: Arm,
    seed: int,
    split: Path,
    out: Path,
    options: StudyOptions,
    device: str,
    progress: ProgressCallback | None = None,
) -> None:
    """Train and judge one arm with one seed, going on where an earlier call stopped."""
    tell = progress or ignore_progress
    folder = run_folder(arm, seed, out)
    judged = {"heated": False, "finetuned": False}
    for run, kind in arm.stages():
        result = folder / run / "eval" / f"classify-{kind}" / "eval.json"
        judged[run] |= result.is_file()
        if _is_judged(result, options.resamples):
            continue
        if not judged[run]:
            _train(arm, run, seed, split, folder, device, tell, allow_leakage=options.allow_leakage)
            judged[run] = True
        workers = arm.pretrain.workers
        judging = EvalOptions(input=kind, device=device, seed=seed, resamples=options.resamples, workers=workers)
        evaluate_run(folder / run, split, judging, tell, allow_leakage=options.allow_leakage)


def _train(
    arm: Arm,
    run: str,
    seed: int,
    split: Path,
    folder: Path,
    device: str,
    tell: ProgressCallback,
    *,
    allow_leakage: bool,
) -> None:
    recipe = arm.pretrain if run == "heated" else arm.finetune
    if recipe is None:
        return
    recipe = recipe.replace(seed=seed, device=device)
    if run == "heated":
        pretrain(split, folder / run, recipe, allow_leakage=allow_leakage, progress=tell)
    else:
        finetune(split, folder / "heated", folder / run, recipe, allow_leakage=allow_leakage, progress=tell)


def _record_plan(arms: Sequence[Arm], split: Path, out: Path, options: StudyOptions) -> None:
    """Write study.json, after making sure that an earlier study in the same folder fits this one."""
    path = out / "study.json"
    plan: dict[str, Any] = {
        "schema": SCHEMA,
        "split": str(split.resolve()),
        "split_sha256": dict(load_split(split, allow_leakage=True).hashes),
        "seeds": list(options.all_seeds()),
        "arms": {arm.name: _describe(arm) for arm in arms},
    }
    if path.is_file():
        before = _read_plan(path)
        # A split that was moved together with its images is the same split.
        if before["split_sha256"] != plan["split_sha256"]:
            if before["split"] != plan["split"]:
                raise UsageError(
                    f"{out} holds a study of the split {before['split']}; choose another --out for {split}"
                )
            raise UsageError(f"the split {split} has changed since the study in {out} was begun; choose another --out")
        for name, described in before["arms"].items():
            changed = _difference(described, plan["arms"].get(name, described))
            if changed:
                raise UsageError(
                    f"{out} holds an arm {name} with {changed}; name the arm anew, or choose another --out"
                )
        # Arms and seeds may be added to a study, one call at a time.
        plan["arms"] = before["arms"] | plan["arms"]
        plan["seeds"] = sorted({*before["seeds"], *plan["seeds"]})
    write_json(path, plan)


def _read_plan(path: Path) -> dict[str, Any]:
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
        read = {"split": str(plan["split"]), "split_sha256": dict(plan["split_sha256"]), "arms": dict(plan["arms"])}
        return read | {"seeds": [int(seed) for seed in plan["seeds"]]}
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{path} cannot be used ({type(error).__name__}: {error}); choose another --out, or remove that file to go "
            "on with the same arms"
        ) from None


def _describe(arm: Arm) -> dict[str, Any]:
    second = arm.finetune.to_dict() if arm.finetune else None
    return {"epochs": arm.epochs, "pretrain": arm.pretrain.to_dict(), "finetune": second}


def _difference(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Name the keys that differ, but for those that do not change the result."""
    idle = {"workers", "cache", "device", "seed", "save_every", "track"}
    told = []
    for stage in ("pretrain", "finetune"):
        old, new = before[stage] or {}, now[stage] or {}
        keys = [key for key in {*old, *new} - idle if old.get(key) != new.get(key)]
        told += [f"{stage} {key} {old.get(key)} (now {new.get(key)})" for key in sorted(keys)]
    return ", ".join(told[:3])
