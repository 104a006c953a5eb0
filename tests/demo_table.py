"""Print what the demo reached as a table, and name the pages to open."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

METRICS = ("precision", "recall", "f1", "auroc_ovr", "balanced_accuracy", "accuracy", "entropy")
MODELS = (
    ("heated", "heated/eval/classify-normalized/eval.json"),
    ("heated, noisy input", "heated/eval/classify-noisy/eval.json"),
    ("finetuned", "finetuned/eval/classify-normalized/eval.json"),
)


def main(folder: Path) -> None:
    """Print the metrics of the three evaluations side by side, and the pages of the folder."""
    metrics = {name: json.loads((folder / path).read_text())["metrics"] for name, path in MODELS}
    table = Table("test part of the phantoms", *metrics)
    for metric in METRICS:
        table.add_row(metric, *(f"{values[metric]:.3f}" for values in metrics.values()))
    console = Console()
    console.print(table)
    console.print("Open:")
    for page in ("refined/report/index.html", "finetuned/report.html", "split/classes.png"):
        console.print(f"  {(folder / page).resolve()}", soft_wrap=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
