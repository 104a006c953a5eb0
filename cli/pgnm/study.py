"""`pgnm study`: compare ways of training over seeds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli._terminal import EXIT_FAILED, Json, Quiet, finish, progress, tell_errors
from cli.pgnm._training import SPLIT_HELP, AllowLeakage, recipe_flags

if TYPE_CHECKING:
    import pandas as pd


@tell_errors
@recipe_flags("pretrain")
def study(
    arms: Annotated[
        list[str],
        typer.Argument(help="Arms: [NAME=]RECIPE[:key=value,...]; compared with the first.", metavar="ARM..."),
    ],
    out: Annotated[Path, typer.Option(help="Folder of the study; what is done there is not done again.")] = Path(
        "study"
    ),
    split: Annotated[Path | None, typer.Option(help=SPLIT_HELP)] = None,
    seeds: Annotated[int, typer.Option(help="Seeds per arm, from --seed on.")] = 5,
    against: Annotated[str, typer.Option(help="Name of the arm to compare with; the first where left out.")] = "",
    finetune: Annotated[str, typer.Option(help="Recipe of the second stage; none: the first stage alone.")] = (
        "laptop_finetune"
    ),
    finetune_epochs: Annotated[int | None, typer.Option(help="Epochs of the second stage.")] = None,
    sweep: Annotated[
        list[str] | None, typer.Option(help="grid=8,16 or kernel=... or sigma=...: multiply the arms with masks.")
    ] = None,
    jobs: Annotated[int, typer.Option(help="Runs at a time; 0: one per GPU, or one.")] = 0,
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples of each evaluation.")] = 200,
    sets: Annotated[
        list[str] | None,
        typer.Option("--set", help="Unseen set to probe the arms on, as in pgnm eval; repeatable: table 3, figure 5."),
    ] = None,
    backbones: Annotated[
        list[str] | None,
        typer.Option("--backbone", help="To probe beside the arms: [NAME=]imagenet:MODEL or the like; repeatable."),
    ] = None,
    trials: Annotated[int, typer.Option(help="Trials of each probe; 0: as in the paper.")] = 0,
    allow_leakage: AllowLeakage = False,
    as_json: Json = False,
    quiet: Quiet = False,
    **flags: Any,
) -> None:
    """Train every arm with every seed, and write tables, paired tests and figures beside the published ones.

    The training options below hold for every arm; an arm's own key=value is stronger.
    """
    from pgnm.arms import plan_arms
    from pgnm.evaluate import choose_device
    from pgnm.hub import load_sets, locate_split
    from pgnm.probes import ProbeOptions
    from pgnm.study import StudyOptions, run_study, whole_arms
    from pgnm.study_probes import probe_arms
    from pgnm.study_report import check_baseline, check_failures, write_report

    options = StudyOptions(seeds, flags.pop("seed", None) or 0, jobs, resamples, allow_leakage)
    given = {key: value for key, value in flags.items() if value is not None}
    planned = plan_arms(
        arms,
        changes=given,
        finetune_recipe=None if finetune == "none" else finetune,
        finetune_changes={"epochs": finetune_epochs},
        sweeps=sweep or (),
    )
    check_baseline(planned, against)
    device = str(choose_device(flags.get("device") or "auto"))
    probing = [ProbeOptions(kind, trials=trials, device=device) for kind in ("unseen", "fewshot")]
    with progress(quiet=quiet) as callback:
        # What cannot be read is told before hours of training, not after.
        concepts = load_sets(sets or [], seed=options.first_seed, allow_leakage=allow_leakage, progress=callback)
        folder = locate_split(split, progress=callback)
        failed = run_study(planned, folder, out, options, callback)
        check_failures(failed, planned, against)
        planned = whole_arms(planned, failed)
        probes: dict[str, pd.DataFrame] = {
            one.protocol: probe_arms(planned, options.all_seeds(), concepts, out, one, backbones or (), callback)
            for one in probing
            if concepts
        }
        report = write_report(planned, options.all_seeds(), folder, out, against, probes, failed)
    done = {"arms": [arm.name for arm in planned], "seeds": list(options.all_seeds()), "failed": failed}
    result = {"report": str(report), **done}
    lines = [f"{place} failed: {fault}" for place, fault in failed.items()]
    lines += [f"wrote {report}, {out / 'runs.csv'}, {out / 'tables'} and {out / 'figures'}"]
    finish(result, lines, as_json=as_json, quiet=quiet)
    if failed:
        raise typer.Exit(EXIT_FAILED)
