"""`radrefine train-detector`."""

import dataclasses
from pathlib import Path
from typing import Annotated

import typer

from cli._terminal import Json, Quiet, finish, progress, quoted, say, tell_errors


@tell_errors
def train_detector(
    out: Annotated[Path, typer.Option(help="Folder for weights, card, checkpoint and metrics.")],
    backgrounds: Annotated[
        list[Path] | None, typer.Option(help="Folder of clean images to draw marks on, besides phantoms; repeat it.")
    ] = None,
    leave_out: Annotated[
        list[str] | None, typer.Option(help="Leave out folders and phantoms named like this; repeat it.")
    ] = None,
    start: Annotated[
        str | None,
        typer.Option(
            "--from", help="Weights to start from: an earlier --out, an ONNX file, or shipped for the package's own."
        ),
    ] = None,
    credit: Annotated[
        list[str] | None, typer.Option(help="Source and terms of the backgrounds, for the card; repeat it.")
    ] = None,
    steps: Annotated[int, typer.Option(help="Batches to train on.")] = 6000,
    minutes: Annotated[float | None, typer.Option(help="Train for this long instead of --steps.")] = None,
    batch_size: Annotated[int, typer.Option(help="Pictures in a batch.")] = 16,
    size: Annotated[int, typer.Option(help="Side of the training pictures in px, a multiple of 16.")] = 192,
    lr: Annotated[float, typer.Option(help="Highest learning rate of the one cycle.")] = 4e-3,
    phantoms: Annotated[int, typer.Option(min=0, help="Phantoms among the backgrounds.")] = 96,
    workers: Annotated[int, typer.Option(min=0, help="Processes that draw composites; 0 draws in this one.")] = 1,
    pictures: Annotated[int, typer.Option(min=2, help="Composites for calibration, and for figures.")] = 240,
    threshold: Annotated[
        float | None,
        typer.Option(help="Probability from which a pixel belongs to a mark; chosen on composites when left out."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights and pictures.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Train the mark detector on drawn marks; run again to go on after an interruption."""
    from radrefine.detector.card import WEIGHTS_NAME, write_detector
    from radrefine.detector.options import TrainOptions
    from radrefine.detector.training import train_detector as train
    from radrefine.errors import UsageError

    if threshold is not None and not 0 < threshold < 1:
        raise UsageError(f"--threshold must lie between 0 and 1, got {threshold}")
    options = TrainOptions(
        backgrounds=tuple(backgrounds or ()),
        leave_out=tuple(leave_out or ()),
        start=start,
        credit=tuple(credit or ()),
        steps=steps,
        minutes=minutes,
        batch_size=batch_size,
        size=size,
        lr=lr,
        phantoms=phantoms,
        workers=workers,
        seed=seed,
        device=device,
    )
    with progress(quiet=quiet) as callback:
        trained = train(out, options, callback)
    say("calibrating the scores and measuring on composites; some minutes", quiet=quiet)
    figures = write_detector(trained, out, options, pictures=pictures, threshold=threshold)
    result = {"out": str(out), "steps": trained.steps, **dataclasses.asdict(figures)}
    lines = [
        f"{trained.steps:,} batches in {trained.minutes:.1f} min; on {figures.pictures} unseen composites",
        f"recall {figures.recall:.3f}, precision {figures.precision:.3f}, marks found {figures.objects:.3f}, "
        f"unmarked pictures changed {figures.clean_changed:.3f}",
        f"written: {out / WEIGHTS_NAME} with its card",
        f"next: radrefine bench --detector learned --weights {quoted(out / WEIGHTS_NAME)}",
    ]
    finish(result, lines, as_json=as_json, quiet=quiet)
