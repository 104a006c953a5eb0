"""`radrefine audit`."""

from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import EXIT_VERIFICATION, Json, Quiet, counted, finish, progress, quoted, tell_errors

_NAMES = {
    "unreadable": "unreadable images",
    "blank": "blank images",
    "exact_duplicates": "surplus copies of images",
    "near_duplicate_pairs": "pairs of near-duplicates",
    "with_and_without_marks": "  of these with and without marks",
    "label_conflicts": "pairs with different labels",
    "classes_too_small": "classes of few images or groups",
}


@tell_errors
def audit(
    refined: Annotated[Path, typer.Argument(help="Refined folder; the current folder when left out.")] = Path(),
    strict: Annotated[bool, typer.Option("--strict", help="End with exit code 4 when anything is found.")] = False,
    max_distance: Annotated[
        int, typer.Option(help="Bits, of 64, that hashes of near-duplicates may differ in.", min=0, max=64)
    ] = 10,
    min_correlation: Annotated[
        float, typer.Option(help="Correlation of aligned texture that confirms near-duplicates.", min=-1, max=1)
    ] = 0.97,
    fewest: Annotated[int, typer.Option(help="Images below which a class is named as small.", min=0)] = 27,
    jobs: Annotated[int, typer.Option(help="Threads; 0 or -1 for one per core.", min=-1)] = -1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Find duplicates, near-duplicates, conflicting labels, blank and unreadable images, and small classes."""
    from radrefine.audit import audit_collection

    with progress(quiet=quiet) as callback:
        summary = audit_collection(
            refined,
            max_distance=max_distance,
            min_correlation=min_correlation,
            fewest=fewest,
            jobs=jobs,
            progress=callback,
        )
    facts = summary.facts
    finish({"out": str(summary.out), **facts}, _describe(refined, summary.out, facts), as_json=as_json, quiet=quiet)
    if strict and summary.problems:
        raise typer.Exit(EXIT_VERIFICATION)


def _describe(refined: Path, out: Path, facts: dict[str, Any]) -> list[str]:
    lines = [f"{counted(facts['images'], 'image')} of {counted(facts['classes'], 'class', 'classes')}"]
    lines += [f"  {name:<34}{facts[key]:>9,}" for key, name in _NAMES.items()]
    if facts["comparisons_left_out"]:
        lines.append(f"{facts['comparisons_left_out']:,} comparisons left out: too many hashes are alike")
    if facts["taxonomy"]:
        told = ", ".join(f"{count} {verdict}" for verdict, count in facts["taxonomy"].items())
        lines.append(f"regions of RadImageNet: {told} (see {out / 'taxonomy.csv'})")
    lines.append(f"wrote {out}; next: radrefine split {quoted(refined)}")
    return lines
