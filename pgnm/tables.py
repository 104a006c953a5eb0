"""Tables as Markdown, CSV and LaTeX, and the published figures to show beside ours."""

import math
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from pgnm.files import write_text

_LATEX = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
}


@cache
def _published() -> dict[str, Any]:
    text = (resources.files("data_manifests") / "pgnm_published.yaml").read_text(encoding="utf-8")
    return dict(yaml.safe_load(text))


def published_table(name: str) -> pd.DataFrame:
    """Return a published table, `table1` to `table4`, as the paper gives it."""
    table = _published()[name]
    # As objects, whole numbers beside missing ones stay whole.
    return pd.DataFrame(table["rows"], columns=table["columns"], dtype=object)


def published_source() -> str:
    """Return the citation of the published figures."""
    return str(_published()["source"])


def write_table(table: pd.DataFrame, out: Path, name: str, caption: str = "") -> list[Path]:
    """Write a table as `name`.md, .csv and .tex into `out`; return the paths.

    CSV holds full precision; the others show four digits. Missing values are empty.
    """
    texts = {
        ".md": (f"{caption}\n\n" if caption else "") + to_markdown(table),
        ".csv": table.to_csv(index=False, lineterminator="\n"),
        ".tex": to_latex(table, caption),
    }
    for suffix, text in texts.items():
        write_text(out / f"{name}{suffix}", text)
    return [out / f"{name}{suffix}" for suffix in texts]


def to_markdown(table: pd.DataFrame) -> str:
    """Return a table in Markdown, numbers to the right."""
    cells = [[show(value).replace("|", "\\|") for value in row] for row in table.itertuples(index=False)]
    rule = ["---:" if _is_numeric(table[column]) else "---" for column in table]
    lines = [[str(column).replace("|", "\\|") for column in table], rule, *cells]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def to_latex(table: pd.DataFrame, caption: str = "") -> str:
    """Return a table in LaTeX, for the package booktabs."""
    align = "".join("r" if _is_numeric(table[column]) else "l" for column in table)
    lines = [" & ".join(_escape(str(column)) for column in table) + r" \\", r"\midrule"]
    lines += [" & ".join(_escape(show(value)) for value in row) + r" \\" for row in table.itertuples(index=False)]
    title = [rf"\caption{{{_escape(caption)}}}"] if caption else []
    body = ["\\begin{table}", "\\centering", *title, f"\\begin{{tabular}}{{{align}}}", "\\toprule"]
    return "\n".join([*body, *lines, "\\bottomrule", "\\end{tabular}", "\\end{table}"]) + "\n"


def _is_numeric(column: "pd.Series[Any]") -> bool:
    """Tell whether a column holds numbers, a mean with its spread counting as one."""
    return all(isinstance(value, int | float) or value is None or "±" in str(value) for value in column.tolist())


def _escape(text: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in text)


def show(value: object) -> str:
    """Return a cell as text: four digits after the point, nothing for a missing value."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def show_spread(mean: float, std: float) -> str:
    """Return mean and standard deviation in one cell; the mean alone where there is one value."""
    return show(float(mean)) if math.isnan(std) else f"{mean:.4f} ± {std:.4f}"
