"""`radrefine split`."""

from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any

import typer

from cli._terminal import EXIT_VERIFICATION, Json, Quiet, counted, finish, progress, quoted, say, tell_errors


@tell_errors
def split(
    refined: Annotated[Path, typer.Argument(help="Refined folder; the current folder when left out.")] = Path(),
    out: Annotated[Path, typer.Option(help="Split folder to write.")] = Path("split"),
    stratify: Annotated[
        bool, typer.Option("--stratify/--no-stratify", help="Divide every class in the ratios.")
    ] = True,
    ratios: Annotated[str, typer.Option(help="Sizes of train, val and test.")] = "24:1:2",
    metadata: Annotated[
        Path | None, typer.Option(help="CSV, TSV or Parquet with a row per image, joined by file name.")
    ] = None,
    group_by: Annotated[
        list[str] | None,
        typer.Option(help="Column whose equal values stay in one part, besides duplicates; may be repeated."),
    ] = None,
    duplicates: Annotated[bool, typer.Option(help="Keep exact and near-duplicates in one part.")] = True,
    sequence: Annotated[int, typer.Option(help="Keep files in one part whose numbers differ by at most this.")] = 0,
    rare: Annotated[str, typer.Option(help="Classes too small for the ratios: one-each, train or error.")] = "one-each",
    given: Annotated[
        list[Path] | None,
        typer.Option(help="CSV file of a split made by others, its name saying train, val or test; repeat it."),
    ] = None,
    extend: Annotated[Path | None, typer.Option(help="Earlier split whose images stay in their parts.")] = None,
    folds: Annotated[int, typer.Option(help="Make this many folds for cross-validation, each a split folder.")] = 0,
    layout: Annotated[str, typer.Option(help="csv, or imagefolder for links beside the CSV files.")] = "csv",
    keep_blank: Annotated[bool, typer.Option(help="Keep blank images, all in train.")] = False,
    max_distance: Annotated[int, typer.Option(help="Bits that hashes of near-duplicates may differ in.")] = 10,
    min_correlation: Annotated[
        float, typer.Option(help="Correlation of aligned texture that confirms near-duplicates.")
    ] = 0.97,
    seed: Annotated[int, typer.Option(help="Decides between groups that are alike.")] = 0,
    jobs: Annotated[int, typer.Option(help="Threads; 0 or -1 for one per core.", min=-1)] = -1,
    quiet: Quiet = False,
    as_json: Json = False,
) -> None:
    """Split into train, val and test: stratified, groups kept whole, with a proof that nothing is shared."""
    from radrefine.split import SplitOptions, fold_collection, split_collection

    chosen = {name: value for name, value in locals().items() if name in {item.name for item in fields(SplitOptions)}}
    chosen["group_by"] = tuple(name for item in group_by or () for name in item.split(","))
    chosen["given"] = tuple(given or ())
    options = SplitOptions(**chosen)
    with progress(quiet=quiet) as callback:
        if folds:
            summaries = fold_collection(refined, out, options, progress=callback)
        else:
            summaries = [split_collection(refined, out, options, progress=callback)]
    results = [{"out": str(summary.out), **summary.facts} for summary in summaries]
    lines = [line for result in results for line in _describe(Path(result["out"]), result)]
    finish({"folds": results} if folds else results[0], lines, as_json=as_json, quiet=quiet)
    offending = [pair for summary in summaries if summary.proof.leaks for pair in summary.proof.offending]
    if any(summary.proof.leaks for summary in summaries):
        for pair in offending[:5]:
            say(f"shared {pair['kind']}: {pair['path_a']} ({pair['part_a']}) and {pair['path_b']} ({pair['part_b']})")
        say("error: the parts share images; make a split of your own with duplicates kept together to mend it")
        raise typer.Exit(EXIT_VERIFICATION)


def _describe(out: Path, facts: dict[str, Any]) -> list[str]:
    counts, proof, worst = facts["counts"], facts["proof"], facts["worst_deviation"]
    parts = ", ".join(f"{name} {count:,}" for name, count in counts.items())
    images, groups = counted(facts["images"], "image"), counted(facts["groups"], "group")
    classes = counted(facts["classes"], "class", "classes")
    lines = [
        f"{images} of {classes} in {groups}, the largest of {facts['largest_group']:,}: {parts}",
        f"worst class: {worst['label']} misses its share of {worst['part']} by {worst['deviation']:.4f}",
        "shared between parts: "
        + ", ".join(
            f"{name.removeprefix('shared_').replace('_', ' ')} {value}"
            for name, value in proof.items()
            if name.startswith("shared_")
        ),
    ]
    if facts["left_out"]:
        left = ", ".join(f"{count} {reason}" for reason, count in facts["left_out"].items())
        lines.append(f"left out: {left} (see {out / 'left_out.csv'})")
    lines += [f"not verified: {sentence}" for sentence in proof["unverified"]]
    lines.append(f"wrote {out}; next: pgnm pretrain {quoted(out)}")
    return lines
