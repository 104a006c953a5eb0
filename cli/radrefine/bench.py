"""`radrefine bench`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli._terminal import Json, Quiet, finish, progress, tell_errors

if TYPE_CHECKING:
    from radrefine.bench.leak import Auroc, LeakReport

_LEAST_MAGNIFIED, _MOST_MAGNIFIED = 0.5, 4.0
_COLUMNS = {
    "objects": "objects",
    "recall_1px": "rec 1px",
    "precision_1px": "pre 1px",
    "f1_1px": "F1 1px",
    "recall_3px": "rec 3px",
    "precision_3px": "pre 3px",
    "f1_3px": "F1 3px",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "clean_changed": "changed",
    "clean_pixels": "pixels",
    "ms": "ms",
    "codec_ratio": "x codec",
}


@tell_errors
def bench(
    images: Annotated[Path | None, typer.Option(help="Folder of images with true masks.")] = None,
    masks: Annotated[Path | None, typer.Option(help="Their masks, same names, PNG; none for unmarked images.")] = None,
    objects: Annotated[Path | None, typer.Option(help="JSON with kind and box of their marks.")] = None,
    ignore: Annotated[Path | None, typer.Option(help="Masks of pixels to leave out of the scores.")] = None,
    unmarked: Annotated[
        bool, typer.Option("--unmarked", help="The images have no marks but the small ones of --masks: judge damage.")
    ] = False,
    clean: Annotated[list[Path] | None, typer.Option(help="Folder of clean images to draw marks on.")] = None,
    count: Annotated[int, typer.Option(help="Composites; phantoms carry them without --clean.")] = 60,
    size: Annotated[int, typer.Option(help="Side of the phantoms in px.")] = 256,
    magnify: Annotated[
        float, typer.Option(help="Scale the images of --clean by this factor, 0.5 to 4; marks then have more pixels.")
    ] = 1.0,
    detector: Annotated[
        list[str] | None, typer.Option(help="Detectors to compare: learned, classical, both; all when left out.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="Weights of your own for the learned detector.")] = None,
    baselines: Annotated[bool, typer.Option(help="Two simple removers beside them.")] = True,
    leak: Annotated[
        bool, typer.Option("--leak", help="Can a classifier still tell which images carried marks? Needs --clean.")
    ] = False,
    seed: Annotated[int, typer.Option(help="Seed of the composites.", min=0)] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure the removal of marks against known truth, beside two baselines and fills of the true masks."""
    import dataclasses
    import resource

    from radrefine.artifacts.detect import DETECTORS, check_detector
    from radrefine.bench import BASELINES, composite_cases, folder_cases, refiner, run_bench
    from radrefine.bench.leak import measure_leak
    from radrefine.errors import UsageError
    from radrefine.images import list_images, read_image

    for name in detector or ():
        check_detector(name)
    if images is None and (masks or objects or ignore or unmarked):
        raise UsageError("--masks, --objects, --ignore and --unmarked describe --images; name that folder too")
    if count < 1:
        raise UsageError(f"--count must be 1 or more, got {count}")
    if not _LEAST_MAGNIFIED <= magnify <= _MOST_MAGNIFIED:
        raise UsageError(f"--magnify must be {_LEAST_MAGNIFIED} to {_MOST_MAGNIFIED}, got {magnify}")
    if magnify != 1 and (not clean or leak):
        raise UsageError("--magnify scales the images of --clean for composites; name such a folder, without --leak")
    own = "" if weights is None else str(weights.resolve())
    methods = {name: refiner(name, own) for name in detector or DETECTORS}  # type: ignore[arg-type]  # checked above
    if leak:
        pictures = [read_image(path) for folder in clean or () for path in list_images(folder)]
        with progress(quiet=quiet) as callback:
            told = measure_leak(pictures, methods, count=count, size=size, seed=seed, progress=callback)
        finish(dataclasses.asdict(told), _leak_lines(told), as_json=as_json, quiet=quiet)
        return
    if images is not None:
        total = len(list_images(images))
        cases = folder_cases(images, masks, objects, ignore=ignore, unmarked=unmarked)
    else:
        cases, total = composite_cases(clean or [], count, seed, size, magnify), count
    with progress(quiet=quiet) as callback:
        reports = run_bench(cases, methods | (BASELINES if baselines else {}), total=total, progress=callback)
    rows = [report.to_row() for report in reports]
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux
    lines = [*_table(rows), f"peak memory of this process: {memory:,.0f} MiB"]
    result = {"images": total, "seed": seed, "magnify": magnify, "peak_memory_mib": round(memory), "methods": rows}
    finish(result, lines, as_json=as_json, quiet=quiet)


def _leak_lines(told: "LeakReport") -> list[str]:
    rows = {"before cleaning": told.before, **{f"after {name}": auroc for name, auroc in told.after.items()}}
    rows["true masks filled"] = told.true_mask
    head = f"telling marked from unmarked images, AUROC on {told.pictures} images of unseen backgrounds, 95 % interval"
    return [head, *(f"{name:28}{_interval(auroc)}" for name, auroc in rows.items())]


def _interval(auroc: "Auroc") -> str:
    return f"{auroc.value:9.3f}  ({auroc.low:.3f} to {auroc.high:.3f})"


def _table(rows: list[dict[str, Any]]) -> list[str]:
    shown = {name: head for name, head in _COLUMNS.items() if any(row[name] is not None for row in rows)}
    lines = [" " * 28 + "".join(f"{head:>9}" for head in shown.values())]
    lines += [f"{row['method']:28}" + "".join(_cell(row[name]) for name in shown) for row in rows]
    for title, key in (("marks found, by kind", "kinds"), ("marks found, by contrast", "contrasts")):
        measured = [row for row in rows if row[key]]
        if not measured:
            continue
        lines += ["", f"{title:28}" + "".join(f"{row['method']:>20}" for row in measured)]
        for group in measured[0][key]:
            name = f"{group} ({measured[0]['marks'][group]} marks)"
            lines.append(f"{name:28}" + "".join(f"{_cell(row[key][group]):>20}" for row in measured))
    lines.append("objects: share of marks at least half covered; changed, pixels: damage where there is no mark")
    if any(row["contrasts"] for row in rows):
        lines.append(
            "contrast: median change that the ink makes, over the spread of the tissue's grey levels around it"
        )
    return lines


def _cell(value: float | None) -> str:
    return f"{'-':>9}" if value is None else f"{value:9.5f}" if 0 < value < 0.001 else f"{value:9.3f}"
