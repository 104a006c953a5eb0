"""`radrefine bench`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import Json, Quiet, finish, progress, tell_errors

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
    clean: Annotated[list[Path] | None, typer.Option(help="Folder of clean images to draw marks on.")] = None,
    count: Annotated[int, typer.Option(help="Composites; phantoms carry them without --clean.")] = 60,
    size: Annotated[int, typer.Option(help="Side of the phantoms in px.")] = 256,
    method: Annotated[list[str] | None, typer.Option(help="Removers to compare; all when left out.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the composites.")] = 0,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Measure the removal of marks against known truth, beside two baselines and fills of the true masks."""
    import cv2

    from radrefine.bench import METHODS, composite_cases, folder_cases, run_bench
    from radrefine.bench.cases import list_images
    from radrefine.errors import UsageError

    unknown = sorted(set(method or ()) - set(METHODS))
    if unknown:
        raise UsageError(f"unknown --method {unknown[0]}; choose from {', '.join(METHODS)}")
    if images is None and (masks or objects):
        raise UsageError("--masks and --objects describe the images of --images; name that folder too")
    if count < 1:
        raise UsageError(f"--count must be 1 or more, got {count}")
    if images is not None:
        cases, total = folder_cases(images, masks, objects), len(list_images(images))
    else:
        cases, total = composite_cases(clean or [], count, seed, size), count
    chosen = {name: METHODS[name] for name in method or METHODS}
    cv2.setNumThreads(1)
    with progress(quiet=quiet) as callback:
        rows = [report.to_row() for report in run_bench(cases, chosen, total=total, progress=callback)]
    finish({"images": total, "seed": seed, "methods": rows}, _table(rows), as_json=as_json, quiet=quiet)


def _table(rows: list[dict[str, Any]]) -> list[str]:
    shown = {name: head for name, head in _COLUMNS.items() if any(row[name] is not None for row in rows)}
    lines = [" " * 28 + "".join(f"{head:>9}" for head in shown.values())]
    lines += [f"{row['method']:28}" + "".join(_cell(row[name]) for name in shown) for row in rows]
    measured = [row for row in rows if row["kinds"]]
    if measured:
        lines += ["", "marks found, by kind" + " " * 8 + "".join(f"{row['method']:>20}" for row in measured)]
        for kind in sorted({kind for row in measured for kind in row["kinds"]}):
            lines.append(f"{kind:28}" + "".join(f"{_cell(row['kinds'].get(kind)):>20}" for row in measured))
    lines.append("objects: share of marks at least half covered; changed, pixels: damage where there is no mark")
    return lines


def _cell(value: float | None) -> str:
    return f"{'-':>9}" if value is None else f"{value:9.5f}" if 0 < value < 0.001 else f"{value:9.3f}"
