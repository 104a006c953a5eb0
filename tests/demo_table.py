"""Print what the demo reached as a table, and name the pages to open."""

import json
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

METRICS = ("precision", "recall", "f1", "auroc_ovr", "balanced_accuracy", "accuracy", "entropy")
ROWS = (
    ("heated, plain input", "heated/eval/classify-normalized/eval.json"),
    ("heated, noisy input", "heated/eval/classify-noisy/eval.json"),
    ("finetuned, plain input", "finetuned/eval/classify-normalized/eval.json"),
)


def main(folder: Path) -> None:
    table = Table("model", *METRICS, title="Results on the test part of the phantom collection")
    for name, path in ROWS:
        metrics = json.loads((folder / path).read_text())["metrics"]
        table.add_row(name, *(f"{metrics[metric]:.3f}" for metric in METRICS))
    console = Console()
    console.print(table)
    console.print("Pages to open:")
    for page in sorted(folder.resolve().glob("*/report/index.html")):
        console.print(f"  {page}", soft_wrap=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
