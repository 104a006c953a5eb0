"""`radrefine clean`: from a raw collection to a refined folder."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli._terminal import EXIT_FAILED_IMAGES, Json, Quiet, counted, finish, progress, quoted, say, sized, tell_errors

if TYPE_CHECKING:
    from radrefine.batch import CleanPlan, CleanSummary


@tell_errors
def clean(
    src: Annotated[Path, typer.Option(help="Folder, .tar, .tar.gz or .zip of images; read in place, never changed.")],
    out: Annotated[Path | None, typer.Option(help="Refined folder; by default NAME-refined beside the source.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=0, help="Workers; 0 means one for each processor.")] = 0,
    backend: Annotated[
        str,
        typer.Option(
            help="Where workers run: loky (processes), threading (one process, slower for ultrasound) or dask."
        ),
    ] = "loky",
    scheduler: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, tcp://host:port.")] = None,
    masks: Annotated[
        Path | None, typer.Option(help="Folder or archive of corrections to apply instead of finding marks.")
    ] = None,
    review: Annotated[
        Path | None, typer.Option(help="Decisions about single marks, a review.csv exported by the report.")
    ] = None,
    remove: Annotated[
        str | None, typer.Option(help="Kinds of marks to remove, separated by commas; by default all of them.")
    ] = None,
    keep: Annotated[
        str | None, typer.Option(help="Kinds of marks to leave in place, separated by commas; by default none.")
    ] = None,
    templates: Annotated[
        Path | None,
        typer.Option(help="Folder of PNG templates of marks, such as caliper_1.png, to look for too."),
    ] = None,
    min_score: Annotated[float, typer.Option(help="Leave marks below this score (0 to 1) in place.")] = 0.5,
    detector: Annotated[str, typer.Option(help="What finds marks: learned, classical or both.")] = "learned",
    weights: Annotated[
        Path | None, typer.Option(help="Weights of your own for the learned detector, an ONNX file.")
    ] = None,
    engine: Annotated[
        str,
        typer.Option(
            help="What runs the network: opencv, or torch (extra train), for several images at once and on a GPU "
            "where it finds one."
        ),
    ] = "opencv",
    method: Annotated[str, typer.Option(help="Fill: texture, telea, navier-stokes or biharmonic.")] = "texture",
    radius: Annotated[int, typer.Option(min=1, help="Neighbourhood of telea and navier-stokes, px.")] = 3,
    layout: Annotated[str, typer.Option(help="How paths are read: radimagenet or imagefolder.")] = "radimagenet",
    modality: Annotated[str | None, typer.Option(help="Modality of every image: CT, MR, US or XR.")] = None,
    link: Annotated[
        bool, typer.Option("--link", help="Hard links instead of copies: an edited output is then an edited source.")
    ] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Clean only the first N images.")] = None,
    follow_links: Annotated[
        bool, typer.Option("--follow-links", help="Read through links inside a source folder.")
    ] = False,
    max_bytes: Annotated[int, typer.Option(min=1, help="Refuse files larger than this, bytes.")] = 256 * 2**20,
    max_pixels: Annotated[int, typer.Option(min=1, help="Refuse images of more pixels than this.")] = 64 * 2**20,
    timings: Annotated[
        bool, typer.Option("--timings", help="Fill in elapsed_ms; the manifest then differs from run to run.")
    ] = False,
    report: Annotated[bool, typer.Option("--report", help="Write pages to look at afterwards.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done and write nothing.")] = False,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Remove burned-in marks from ultrasound and pass everything else on; run again to go on after an interruption."""
    import dataclasses

    from radrefine.batch import CleanOptions, clean_collection, plan_collection
    from radrefine.catalog import default_out
    from radrefine.refine import RefineOptions
    from radrefine.schema import KINDS

    kinds = KINDS if remove is None else _names(remove)
    refine = RefineOptions(
        remove=kinds,
        min_score=min_score,
        method=method,  # type: ignore[arg-type]  # checked when a hole is filled
        radius=radius,
        detector=detector,  # type: ignore[arg-type]  # checked there
        weights="" if weights is None else str(weights.resolve()),
        keep=_names(keep or ""),
        templates="" if templates is None else str(templates.resolve()),
        engine=engine,  # type: ignore[arg-type]  # checked there
    )
    options = CleanOptions(
        refine=refine,
        jobs=jobs,
        backend=backend,
        scheduler=scheduler,
        layout=layout,  # type: ignore[arg-type]  # checked when the source is opened
        modality=modality,
        masks=masks,
        review=review,
        link=link,
        limit=limit,
        follow_links=follow_links,
        max_bytes=max_bytes,
        max_pixels=max_pixels,
        timings=timings,
    )
    target = out if out is not None else default_out(src)
    if layout == "imagefolder" and modality is None:
        say(
            "note: with --layout imagefolder, images below no folder called CT, MR, US or XR are taken for ultrasound "
            "and refined; name --modality if they are something else",
            quiet=quiet,
        )
    if dry_run:
        plan = plan_collection(src, target, options)
        finish(dataclasses.asdict(plan), _plan_lines(plan), as_json=as_json, quiet=quiet)
        return
    with progress(quiet=quiet) as callback:
        summary = clean_collection(src, target, options, callback)
    for note in summary.notes:
        say(note, quiet=quiet)
    page = None
    if report:
        from radrefine.report import build_report

        page = build_report(target, source=src).page
    lines = [*_summary_lines(summary), *([f"pages to look at: {page}"] if page is not None else [])]
    result = {**dataclasses.asdict(summary), "report": page}
    finish(result, lines, as_json=as_json, quiet=quiet)
    if summary.failed:
        raise typer.Exit(EXIT_FAILED_IMAGES)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _summary_lines(summary: "CleanSummary") -> list[str]:
    counts = ", ".join(f"{count:,} {status}" for status, count in summary.counts.items())
    lines = [f"{counts}; {summary.done:,} done now in {summary.seconds:.1f} s, {summary.kept:,} from earlier runs"]
    if summary.failed:
        lines.append(f"{counted(summary.failed, 'file')} did not make it; {summary.out / 'failures.csv'} says why")
    return [*lines, f"written: {summary.out}", f"next: radrefine split {quoted(summary.out)} --stratify"]


def _plan_lines(plan: "CleanPlan") -> list[str]:
    kinds = ", ".join(f"{count:,} {modality}" for modality, count in plan.modalities.items())
    verb = "link" if plan.link else "copy"
    lines = [
        f"would refine {plan.refine:,} and {verb} {counted(plan.copy, 'image')} ({kinds}), "
        f"{sized(plan.bytes_read)} to read",
        f"would take up to about {sized(plan.bytes_written)} in {plan.out}, where {sized(plan.bytes_free)} are free",
    ]
    if plan.n_refused:
        path, reason = plan.refused[0]
        lines.append(f"would refuse {counted(plan.n_refused, 'file')}, the first being {path}: {reason}")
    return [*lines, "nothing was written"]
