"""Build the static pages of a refined folder.

The site opens from disk and asks nobody for anything: pictures are copied beside the page, data come as script files
(a browser refuses to read JSON from `file:` addresses), style and code stand in the page itself.
"""

import json
import shutil
import tempfile
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import pandas as pd

from radrefine.errors import RefinedFolderError, UsageError
from radrefine.files import write_text
from radrefine.progress import ProgressCallback, ignore_progress
from radrefine.report.gallery import GalleryItem, choose_items, write_pictures
from radrefine.report.summary import summarise
from radrefine.schema import FAILURE_COLUMNS, FINDING_COLUMNS, MANIFEST_COLUMNS

# Items in one data file: the first is enough for the first screen, the others load behind it.
_CHUNK = 200


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the report shows.

    Attributes:
        sample: Images in the gallery, worst first; 0 shows every ultrasound image.
        seed: Chooses the part of the gallery that is drawn at random.
    """

    sample: int = field(
        default=400, metadata={"help": "Images in the gallery, worst first; 0 for all that were looked at."}
    )
    seed: int = field(default=0, metadata={"help": "Seed of the part of the gallery that is drawn at random."})


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """What was built: the page to open, images shown, and how many of them lack the picture before refinement."""

    page: Path
    n_shown: int
    n_without_before: int


def build_report(
    refined: Path,
    *,
    source: Path | None = None,
    out: Path | None = None,
    options: ReportOptions | None = None,
    progress: ProgressCallback = ignore_progress,
) -> ReportSummary:
    """Build the pages of a refined folder.

    Args:
        refined: A folder written by `radrefine clean`.
        source: What it was made from, for the pictures before refinement; by default the one named in `run.json`.
        out: Folder of the pages, by default `report` in the refined folder; replaced as a whole when it exists.
        options: What to show.
        progress: Receives the state of the work.

    Returns:
        The page to open and what it shows.

    Raises:
        RefinedFolderError: `refined` is not a refined folder, or `out` holds something else than a report.
        UsageError: An option is out of range.
    """
    options = options or ReportOptions()
    if options.sample < 0:
        raise UsageError(f"--sample must be 0 or more, got {options.sample}; 0 shows every image that was looked at")
    tables = _read_tables(refined)
    out = out or refined / "report"
    if out.exists() and any(out.iterdir()) and not (out / "index.html").is_file():
        raise RefinedFolderError(f"{out} holds something else than a report; choose another folder with --out")
    run = json.loads((refined / "run.json").read_text())
    source = source or _source_of(run, refined)

    out.parent.mkdir(parents=True, exist_ok=True)
    # Built aside and moved into place, so that an interrupted run leaves the old report whole.
    with tempfile.TemporaryDirectory(prefix=".report-", dir=out.parent) as folder:
        work = Path(folder) / "report"
        work.mkdir()
        items = choose_items(tables["manifest"], tables["findings"], sample=options.sample, seed=options.seed)
        write_pictures(items, refined, source, work, progress)
        _write_pages(work, tables, items, run)
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    out.chmod(0o755)
    return ReportSummary(out / "index.html", len(items), sum(not item.before for item in items))


def _read_tables(refined: Path) -> dict[str, pd.DataFrame]:
    manifest_file = refined / "manifest.parquet"
    if not manifest_file.is_file():
        raise RefinedFolderError(
            f"{refined} is not a refined folder, it lacks manifest.parquet; make one with: radrefine clean --src IMAGES"
        )
    manifest = pd.read_parquet(manifest_file)
    missing = set(MANIFEST_COLUMNS) - set(manifest.columns)
    if missing:
        raise RefinedFolderError(
            f"{manifest_file} lacks the columns {', '.join(sorted(missing))}; run radrefine clean again"
        )
    findings_file, failures_file = refined / "findings.parquet", refined / "failures.csv"
    return {
        "manifest": manifest,
        "findings": pd.read_parquet(findings_file)
        if findings_file.is_file()
        else pd.DataFrame(columns=FINDING_COLUMNS),
        "failures": pd.read_csv(failures_file) if failures_file.is_file() else pd.DataFrame(columns=FAILURE_COLUMNS),
    }


def _source_of(run: dict[str, Any], refined: Path) -> Path | None:
    named = run.get("source")
    if isinstance(named, dict):
        named = named.get("path")
    if not isinstance(named, str):
        return None
    path = Path(named)
    candidates = [path, refined / path] if not path.is_absolute() else [path]
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _write_pages(out: Path, tables: dict[str, pd.DataFrame], items: list[GalleryItem], run: dict[str, Any]) -> None:
    chunks = [items[start : start + _CHUNK] for start in range(0, len(items), _CHUNK)]
    for number, chunk in enumerate(chunks):
        data = json.dumps([item.as_data() for item in chunk], ensure_ascii=True, separators=(",", ":"))
        write_text(out / "data" / f"{number:05d}.js", f"report.add({data});\n")
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("radrefine.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    assets = resources.files("radrefine.report") / "templates"
    page = templates.get_template("index.html").render(
        overview=summarise(tables["manifest"], tables["findings"], tables["failures"]),
        labels=sorted({item.label for item in items}),
        kinds=sorted({finding["kind"] for item in items for finding in item.findings}),
        n_items=len(items),
        chunks=[f"data/{number:05d}.js" for number in range(len(chunks))],
        run=run,
        style=(assets / "style.css").read_text(),
        script=(assets / "gallery.js").read_text(),
    )
    write_text(out / "index.html", page)
