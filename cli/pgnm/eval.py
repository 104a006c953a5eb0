"""`pgnm eval`: judge a model."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import Json, Quiet, finish, progress, tell_errors


@tell_errors
def eval_(
    model: Annotated[Path, typer.Argument(help="Run folder of a pretrained or finetuned model.")] = Path("finetuned"),
    split: Annotated[Path, typer.Argument(help="Split folder with the model's classes.")] = Path("split"),
    input_: Annotated[
        str, typer.Option("--input", help="normalized: plain images; noisy: under a mask of the learned noise.")
    ] = "normalized",
    part: Annotated[str, typer.Option(help="Part of the split: test, val or train.")] = "test",
    batch_size: Annotated[int, typer.Option(help="Images per batch.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that load images; -1: chosen by the machine.")] = -1,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = "auto",
    resamples: Annotated[int, typer.Option(help="Bootstrap resamples for the intervals; 0 for none.")] = 1000,
    seed: Annotated[int, typer.Option(help="Seed of masks and bootstrap.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Judge MODEL on SPLIT: metrics with intervals, per-class scores, calibration, predictions, figures."""
    from pgnm.evaluate import EvalOptions, evaluate_run
    from pgnm.figures import draw_evaluation

    options = EvalOptions(input_, part, batch_size, workers, device, seed, resamples)
    with progress(quiet=quiet) as callback:
        evaluation = evaluate_run(model, split, options, callback)
        draw_evaluation(evaluation)
    finish(evaluation.summary, _describe(evaluation.summary, model, evaluation.folder), as_json=as_json, quiet=quiet)


def _describe(summary: dict[str, Any], model: Path, folder: Path) -> list[str]:
    bounds = (summary["intervals"] or {}).get("bounds", {})
    lines = [f"{model} on {summary['n_images']:,} images of {summary['part']}, {summary['input']} input"]
    for name, value in summary["metrics"].items():
        shown = "undefined" if value is None else f"{value:.4f}"
        interval = f"  95 % interval {bounds[name][0]:.4f} to {bounds[name][1]:.4f}" if name in bounds else ""
        lines.append(f"  {name:<18}{shown}{interval}")
    lines.append(f"wrote {model / 'eval.json'}, {model / 'predictions.parquet'} and figures in {folder}")
    return lines
