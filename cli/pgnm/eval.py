"""`pgnm eval`: judge a model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import Json, Quiet, counted, finish, progress, tell_errors
from cli.pgnm._training import AllowLeakage

_PROTOCOL = (
    "classify: the test images; unseen: frozen features and an MLP on other sets; fewshot: with 8 to 256 samples."
)
_SPLIT_HELP = (
    "Split folder with the model's classes (./split where left out); for unseen and fewshot any set, and none needed "
    "beside --set."
)

# Options that one kind of protocol alone uses, by parameter.
_CLASSIFY_ONLY = {
    "input_": "--input",
    "part": "--part",
    "workers": "--workers",
    "resamples": "--resamples",
    "calibrate": "--calibrate",
}
_PROBES_ONLY = {
    "sets": "--set", "backbones": "--backbone", "trials": "--trials", "shuffle_labels": "--shuffle-labels",
    "out": "--out",
}  # fmt: skip


@tell_errors
def eval_(
    context: typer.Context,
    model: Annotated[Path, typer.Argument(help="Run folder of a pretrained or finetuned model.")] = Path("finetuned"),
    split: Annotated[Path | None, typer.Argument(help=_SPLIT_HELP)] = None,
    protocol: Annotated[str, typer.Option(help=_PROTOCOL)] = "classify",
    input_: Annotated[
        str,
        typer.Option(
            "--input",
            help="normalized: plain images; noisy: under a mask of the learned noise; "
            "aided: with the agent of apga, where that is better on validation.",
        ),
    ] = "normalized",
    part: Annotated[str, typer.Option(help="Part of the split: test, val or train.")] = "test",
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="Unseen set: MedMNIST .npz, class folder, split, medmnist:NAME, USER/NAME; repeatable."
        ),
    ] = None,
    backbones: Annotated[
        list[str] | None,
        typer.Option(
            "--backbone",
            help="To compare: [NAME=]run folder, imagenet:MODEL (or its folder), random:MODEL; repeatable.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(help="Trials of a probe; 0: as in the paper.")] = 0,
    shuffle_labels: Annotated[bool, typer.Option(help="Control: probe with permuted training labels.")] = False,
    out: Annotated[Path | None, typer.Option(help="Folder for what a probe writes; MODEL/eval/PROTOCOL.")] = None,
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that load images; -1: chosen by the machine.")] = -1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples for the intervals; 0 for none.")] = 1000,
    calibrate: Annotated[
        bool,
        typer.Option("--calibrate", help="Scale the probabilities by a temperature fitted on the validation images."),
    ] = False,
    allow_leakage: AllowLeakage = False,
    seed: Annotated[int, typer.Option(help="Seed of masks, bootstrap, draws and initial weights.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge MODEL on SPLIT: metrics with intervals, per-class scores, calibration, predictions, figures."""
    from pgnm.evaluate import EvalOptions, choose_device, evaluate_run

    _refuse_idle(context, protocol)
    if protocol == "classify":
        from pgnm.figures import draw_evaluation
        from pgnm.hub import locate_split

        options = EvalOptions(input_, part, batch_size, workers, device, seed, resamples, calibrate)
        with progress(quiet=quiet) as callback:
            place = locate_split(split, progress=callback)
            evaluation = evaluate_run(model, place, options, callback, allow_leakage=allow_leakage)
            draw_evaluation(evaluation)
        lines = _describe(evaluation.summary, model, evaluation.folder)
        finish(evaluation.summary, lines, as_json=as_json, quiet=quiet)
        return

    from pgnm.data import find_split
    from pgnm.features import load_backbones
    from pgnm.hub import load_sets
    from pgnm.probe_report import refuse_foreign, write_probe
    from pgnm.probes import ProbeOptions, probe

    probing = ProbeOptions(
        protocol,  # type: ignore[arg-type]  # checked by the options
        trials=trials,
        shuffle_labels=shuffle_labels,
        feature_batch=batch_size,
        device=str(choose_device(device)),
        seed=seed,
    )
    if out is not None:
        refuse_foreign(out)
    kept = (out or model / "eval") / "features"
    out = out or model / "eval" / (protocol + ("-shuffled" if shuffle_labels else ""))
    # The split at hand is the model's own; it is probed only when it is named, or nothing else is.
    places = [*([] if sets and split is None else [str(split or find_split())]), *(sets or [])]
    with progress(quiet=quiet) as callback:
        networks = load_backbones([str(model), *(backbones or [])], seed=seed)
        concepts = load_sets(places, seed=seed, allow_leakage=allow_leakage, progress=callback)
        results = probe(networks, concepts, kept, probing, callback)
        found = write_probe(results, networks, concepts, probing, out)
    lines = [
        f"{row['set']:<24} {row['backbone']:<24} {row['samples']:>6} samples  macro F1 {row['f1_mean']:.4f}"
        + ("" if row["f1_std"] is None else f" ± {row['f1_std']:.4f}")
        for row in found["scores"]
    ]
    finish(found, [*lines, f"wrote tables and figures in {out}"], as_json=as_json, quiet=quiet)


def _refuse_idle(context: typer.Context, protocol: str) -> None:
    """Refuse options that were given and that the protocol would not use."""
    from pgnm.errors import UsageError

    idle = _PROBES_ONLY if protocol == "classify" else _CLASSIFY_ONLY
    sources = {flag: context.get_parameter_source(name) for name, flag in idle.items()}
    given = [flag for flag, source in sources.items() if source is not None and source.name == "COMMANDLINE"]
    if given:
        raise UsageError(f"--protocol {protocol} does not use {', '.join(given)}; leave out what it does not use")


def _describe(summary: dict[str, Any], model: Path, folder: Path) -> list[str]:
    bounds = (summary["intervals"] or {}).get("bounds", {})
    lines = [f"{model} on {counted(summary['n_images'], 'image')} of {summary['part']}, {summary['input']} input"]
    if "temperature" in summary:
        lines[0] += f", calibrated: logits divided by {summary['temperature']:.3f}"
    for name, value in summary["metrics"].items():
        shown = "undefined" if value is None else f"{value:.4f}"
        interval = f"  95 % interval {bounds[name][0]:.4f} to {bounds[name][1]:.4f}" if name in bounds else ""
        lines.append(f"  {name:<18}{shown}{interval}")
    lines.append(f"wrote {model / 'eval.json'}, {model / 'predictions.parquet'} and figures in {folder}")
    return lines
