"""Write what the probes found: a row per trial, the table beside the published figures, the low-shot curves."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from pgnm.concepts import ConceptSet
from pgnm.errors import UsageError
from pgnm.features import Backbone
from pgnm.figure_style import save_figure
from pgnm.files import atomic_path, write_json
from pgnm.plots import plot_low_shot
from pgnm.probes import ProbeOptions, summarise
from pgnm.tables import published_source, published_table, show_spread, write_table


def refuse_foreign(out: Path) -> None:
    """Raise UsageError where a probe would write into a folder that holds what no probe wrote."""
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; choose a folder")
    there = [name for name in ("trials.csv", "scores.csv", "table3.csv", "lowshot.png") if (out / name).exists()]
    if there and not (out / "probe.json").is_file():
        raise UsageError(f"--out {out} holds {', '.join(there)} that no probe wrote; choose another folder")


def write_probe(
    results: pd.DataFrame,
    backbones: Sequence[Backbone],
    sets: Sequence[ConceptSet],
    options: ProbeOptions,
    out: Path,
) -> dict[str, Any]:
    """Write trials.csv, the table (Markdown, CSV, LaTeX), for fewshot the figure, and probe.json; return the last.

    Args:
        results: A row per trial, from `probes.probe`.
        backbones: What was probed.
        sets: On what.
        options: How.
        out: Folder of the files.
    """
    summary = summarise(results)
    with atomic_path(out / "trials.csv") as temporary:
        results.to_csv(temporary, index=False)
    write_table(summary, out, "scores", _caption(options))
    if options.protocol == "unseen":
        write_table(table_unseen(summary), out, "table3", _caption(options) + f" Published: {published_source()}.")
    else:
        save_figure(plot_low_shot(results), out / "lowshot.png")
    described = {
        "schema": 1,
        "protocol": options.protocol,
        "options": asdict(options),
        "sets": [_describe(concepts) for concepts in sets],
        "backbones": [{"name": one.name, "size": one.size, "sha256": one.fingerprint()} for one in backbones],
        "scores": summary.astype(object).where(summary.notna(), None).to_dict("records"),
    }
    write_json(out / "probe.json", described)
    return described


def _caption(options: ProbeOptions) -> str:
    kind = "Unseen concepts, MLP" if options.protocol == "unseen" else "Low-shot, logistic regression"
    control = " Control: trained on permuted labels." if options.shuffle_labels else ""
    return (
        f"{kind} on frozen features: macro F1 on the test part, mean and standard deviation over the trials.{control}"
    )


def _describe(concepts: ConceptSet) -> dict[str, Any]:
    counts = {f"n_{name}": len(part.labels) for name, part in concepts.parts()}
    return {"name": concepts.name, "classes": list(concepts.class_names), **counts, "carved": list(concepts.carved)}


def table_unseen(summary: pd.DataFrame) -> pd.DataFrame:
    """Return table 3: a row per set, our backbones and, where the paper has the set, its figures beside them.

    The published figures are those of resnet50 at 224 px pretrained on RadImageNet; they are context, not a contest.
    """
    published = published_table("table3").set_index("file")
    rows = []
    for name, own in summary.groupby("set", sort=False):
        row: dict[str, Any] = {"set": name, "trials": int(own["trials"].iloc[0])}
        for _, cell in own.iterrows():
            row[str(cell["backbone"])] = show_spread(float(cell["f1_mean"]), float(cell["f1_std"]))
        paper = next((file for file in published.index if str(name).startswith(str(file))), None)
        for column in published.columns.drop("set"):
            row[f"published: {column}"] = None if paper is None else float(published.loc[paper, column])
        rows.append(row)
    return pd.DataFrame(rows)
