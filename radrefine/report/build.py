"""Build the static pages of a refined folder.

The site opens from disk and asks nobody for anything: pictures are copied beside the page, data come as script files
(a browser refuses to read JSON from `file:` addresses), style and code stand in the page itself.
"""

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Final

import jinja2
import pandas as pd
import pyarrow.parquet as pq

from radrefine.errors import RefinedFolderError, UsageError
from radrefine.files import write_text
from radrefine.outputs import refuse_unfinished
from radrefine.progress import ProgressCallback, ignore_progress
from radrefine.reading import reading, refuse_outside
from radrefine.report.duplicates import AuditPages, gather_audit
from radrefine.report.gallery import GalleryItem, choose_items
from radrefine.report.pictures import write_pictures
from radrefine.report.summary import summarise
from radrefine.review import REVIEW_FILE, read_review
from radrefine.schema import FAILURE_COLUMNS, FINDING_COLUMNS, KINDS, MANIFEST_COLUMNS
from radrefine.wording import counted

# Items in the first data file, enough for the first screen, and in the others, which load behind it.
_FIRST_CHUNK: Final = 24
_CHUNK: Final = 400
# What a report holds, and what its page says of itself.
_PARTS: Final = frozenset({"index.html", "data", "before", "after", "mask", "alike"})
_GENERATOR: Final = 'name="generator" content="radrefine report"'
_SHOWN_COLUMNS: Final = ("path", "label", "status", "width", "height", "residual_score", "mask_fraction")
# The page's scripts in the order in which they are needed.
_SCRIPTS: Final = ("common.js", "review.js", "gallery.js", "alike.js", "start.js")


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What the report shows.

    Attributes:
        sample: Images in the gallery, worst first; 0 shows all that were looked at.
        seed: Chooses the part of the gallery that is drawn at random.
    """

    sample: int = 400
    seed: int = 0


@dataclass(frozen=True, slots=True)
class ReportSummary:
    """What was built.

    Attributes:
        page: To open.
        n_shown: Images in the gallery.
        n_without_before: Those of them that lack the picture before refinement.
        audit_is_old: Whether the duplicates shown are of an audit before the folder was cleaned anew.
    """

    page: Path
    n_shown: int
    n_without_before: int
    audit_is_old: bool


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
    if out.is_symlink():
        out = out.resolve()
    if out.exists() and not _may_be_replaced(out):
        raise RefinedFolderError(f"{out} holds something else than a report; choose another folder with --out")
    with reading(refined / "run.json"):
        run = json.loads((refined / "run.json").read_text())
        source = source or _source_of(run, refined)

    out.parent.mkdir(parents=True, exist_ok=True)
    # Built aside and moved into place, so that an interrupted run leaves the old report whole.
    with tempfile.TemporaryDirectory(prefix=".report-", dir=out.parent) as folder:
        work = Path(folder) / "report"
        work.mkdir()
        items = choose_items(tables["manifest"], tables["findings"], sample=options.sample, seed=options.seed)
        write_pictures(items, refined, source, work, progress)
        audit = gather_audit(refined, work)
        _write_data(work, items, audit, _earlier_decisions(refined))
        _write_page(work, tables, items, audit, run)
        if out.exists():
            shutil.rmtree(out)
        work.rename(out)
    out.chmod(0o755)
    return ReportSummary(
        out / "index.html",
        len(items),
        sum(item.status == "refined" and not item.before for item in items),
        audit is not None and audit.is_old,
    )


def _may_be_replaced(out: Path) -> bool:
    """Tell whether a place is an empty folder, or a report of ours and nothing else."""
    if not out.is_dir():
        return False
    names = {item.name for item in out.iterdir()}
    if not names:
        return True
    page = out / "index.html"
    if not names <= _PARTS or not page.is_file():
        return False
    with page.open(encoding="utf-8", errors="replace") as file:
        return _GENERATOR in file.read(1000)


def _read_tables(refined: Path) -> dict[str, pd.DataFrame]:
    manifest_file = refined / "manifest.parquet"
    refuse_unfinished(refined)
    if not manifest_file.is_file():
        raise RefinedFolderError(
            f"{refined} is not a refined folder, it lacks manifest.parquet; make one with: radrefine clean --src IMAGES"
        )
    with reading(manifest_file):
        missing = set(MANIFEST_COLUMNS) - set(pq.read_schema(manifest_file).names)
        if missing:
            raise RefinedFolderError(
                f"{manifest_file} lacks the columns {', '.join(sorted(missing))}; run radrefine clean again"
            )
        # Hashes of a million images would take most of the memory, and no page shows them.
        manifest = pd.read_parquet(manifest_file, columns=list(_SHOWN_COLUMNS))
    refuse_outside(manifest["path"], manifest_file)
    shown = [name for name in FINDING_COLUMNS if name != "detector"]
    with reading(refined / "findings.parquet"):
        findings = pd.read_parquet(refined / "findings.parquet", columns=shown)
    with reading(refined / "failures.csv"):
        failures = pd.read_csv(refined / "failures.csv", dtype=str, keep_default_na=False)[list(FAILURE_COLUMNS)]
    return {"manifest": manifest, "findings": findings, "failures": failures}


def _source_of(run: dict[str, Any], refined: Path) -> Path | None:
    named = run.get("source")
    if isinstance(named, dict):
        named = named.get("path")
    if not isinstance(named, str):
        return None
    path = Path(named)
    candidates = [path, refined / path] if not path.is_absolute() else [path]
    return next((candidate for candidate in candidates if candidate.exists()), None)


def _earlier_decisions(refined: Path) -> list[list[Any]]:
    """Return the decisions that the folder was made with, so that a second review goes on from the first."""
    file = refined / REVIEW_FILE
    if not file.is_file():
        return []
    return [[path, *decision] for path, decisions in read_review(file).by_path.items() for decision in decisions]


def _write_data(out: Path, items: list[GalleryItem], audit: AuditPages | None, decisions: list[list[Any]]) -> None:
    """Write what the page's scripts read, as calls of those scripts."""
    for name, chunk in zip(_chunk_names(len(items)), _chunks(items), strict=True):
        _write_call(out / name, "gallery.add", [item.as_data() for item in chunk])
    _write_call(out / "data" / "decisions.js", "review.load", decisions)
    if audit is not None:
        _write_call(out / "data" / "alike.js", "alike.add", [alike.as_data() for alike in audit.sets])


def _write_call(path: Path, function: str, data: Any) -> None:
    write_text(path, f"{function}({json.dumps(data, ensure_ascii=True, separators=(',', ':'))});\n")


def _chunks(items: list[GalleryItem]) -> list[list[GalleryItem]]:
    rest = items[_FIRST_CHUNK:]
    return [items[:_FIRST_CHUNK], *(rest[start : start + _CHUNK] for start in range(0, len(rest), _CHUNK))]


def _chunk_names(n_items: int) -> list[str]:
    return [f"data/{number:05d}.js" for number in range(1 + -(-max(0, n_items - _FIRST_CHUNK) // _CHUNK))]


def _write_page(
    out: Path,
    tables: dict[str, pd.DataFrame],
    items: list[GalleryItem],
    audit: AuditPages | None,
    run: dict[str, Any],
) -> None:
    templates = jinja2.Environment(
        loader=jinja2.PackageLoader("radrefine.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters["counted"] = counted
    assets = resources.files("radrefine.report") / "templates"
    first, *rest = _chunk_names(len(items))
    settings = json.dumps(run, indent=2, ensure_ascii=False)
    page = templates.get_template("index.html").render(
        name=_name_of(run),
        overview=summarise(tables["manifest"], tables["findings"], tables["failures"], run.get("timings")),
        audit=audit,
        labels=sorted({item.label for item in items}),
        kinds=[kind for kind in KINDS if any(found["kind"] == kind for item in items for found in item.findings)],
        n_items=len(items),
        first=first,
        rest=rest,
        # Decisions of one report are not those of another; the browser keeps them under this name.
        key=hashlib.sha256(settings.encode()).hexdigest()[:12],
        settings=settings,
        style=(assets / "style.css").read_text(encoding="utf-8"),
        script="\n".join((assets / name).read_text(encoding="utf-8") for name in _SCRIPTS),
    )
    write_text(out / "index.html", page)


def _name_of(run: dict[str, Any]) -> str:
    named = run.get("source")
    if isinstance(named, dict):
        named = named.get("path")
    return Path(named).name if isinstance(named, str) else "refined images"
