"""One run over a collection: what is to be done, what is done, what became of it."""

import functools
import hashlib
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from radrefine.catalog import Catalog, Entry, parse_label
from radrefine.clean_options import CleanOptions, CleanSummary
from radrefine.corrections import Corrections, open_corrections
from radrefine.errors import ImageError, RefinedFolderError, WorkerError
from radrefine.files import write_json
from radrefine.journal import Journal, Known, is_written
from radrefine.members import HeldBytes, Refusal
from radrefine.outputs import STATE, boot, flush, remove, sweep_orphans
from radrefine.progress import Progress, ProgressCallback
from radrefine.review import Review, read_review
from radrefine.schema import SCHEMA
from radrefine.tables import TABLES, write_tables
from radrefine.work import Outcome, Settings, Task, clean_chunk, failed, refine_recipe, refined_name, suspects, versions
from radrefine.workers import WorkerDiedError, cpu_count, run_chunks

log = logging.getLogger(__name__)

# A chunk keeps a worker busy for some tenths of a second: long against handing it over, short against losing it.
_CHUNK_WORK: Final = 64
_REFINE_WORK: Final = 8
_CHUNK_BYTES: Final = 16 * 2**20
_COMMIT_EVERY: Final = 1.0
_REPORT_EVERY: Final = 0.2
_HOPELESS_ROUNDS: Final = 3


class CleanRun:
    """One run over a collection; `run` does it, `close` lets go of its files.

    Args:
        catalog: What there is.
        out: The refined folder, held by this run alone.
        options: How.
        progress: Told several times a second where the work stands.
    """

    def __init__(self, catalog: Catalog, out: Path, options: CleanOptions, progress: ProgressCallback) -> None:
        self._catalog, self._out, self._options, self._progress = catalog, out, options, progress
        self._started = time.monotonic()
        self._settings = Settings(
            str(out.resolve()),
            options.refine,
            options.link,
            options.masks is not None,
            options.max_bytes,
            options.max_pixels,
        )
        self._recipe = refine_recipe(options.refine)
        self._corrections: Corrections | None = None
        self._review = Review({}) if options.review is None else read_review(options.review.expanduser())
        # The feed of tasks runs in joblib's threads while the main thread takes the outcomes.
        self._lock = threading.RLock()
        self._counts: Counter[str] = Counter()
        self._done = self._kept = self._refused = 0
        self._total: int | None = None
        self._notes: list[str] = []
        self._changed = False
        self._last_commit = self._last_report = 0.0
        self._in_work: dict[str, Task] = {}
        self._journal = Journal(out / STATE)
        # Files written before a power loss may have lost their contents, though the journal knows them.
        self._check_contents = self._journal.resumed and self._journal.recall("boot") != boot()

    def close(self) -> None:
        """Let go of the journal, whose notes outlast an interruption."""
        self._journal.close()

    def run(self) -> CleanSummary:
        """Do what is not done yet, and write the tables."""
        self._check_same_source()
        if self._options.masks is not None:
            paths = (found.path for found in self._catalog.entries() if isinstance(found, Entry))
            self._corrections = open_corrections(self._options.masks.expanduser(), paths)
        total, limit = self._catalog.count(), self._options.limit
        self._total = min((number for number in (total, limit) if number is not None), default=None)
        self._clean()
        if limit is None:
            self._remove_gone()
        self._report(finished=True)
        return self._write_results()

    def _check_same_source(self) -> None:
        name = self._catalog.source.path.resolve().name
        before = self._journal.recall("source")
        if before not in (None, name):
            raise RefinedFolderError(
                f"{self._out} holds the refined images of {before}, not of {name}; choose another --out"
            )
        self._journal.remember("source", name)
        # While contents are in doubt the old name stays, so that the next run doubts them too if this one is cut off.
        if not self._check_contents:
            self._journal.remember("boot", boot())
        self._journal.commit()

    def _clean(self) -> None:
        hopeless = 0
        while True:
            before = self._done
            try:
                for outcomes in self._parallel(self._chunks()):
                    self._note(outcomes)
                return
            except WorkerDiedError as error:
                self._try_alone(suspects(self._settings.out))
                hopeless = 0 if self._done > before else hopeless + 1
                if hopeless >= _HOPELESS_ROUNDS:
                    raise WorkerError(f"{error}; name fewer --jobs, which need less memory") from None

    def _parallel(self, chunks: Iterator[list[Task]]) -> Iterator[list[Outcome]]:
        return run_chunks(
            chunks,
            functools.partial(clean_chunk, self._settings),
            jobs=self._options.jobs or cpu_count(),
            backend=self._options.backend,
            scheduler=self._options.scheduler,
        )

    def _chunks(self) -> Iterator[list[Task]]:
        """Yield what there is to do, in portions of like work."""
        chunk: list[Task] = []
        work = size = 0
        for task in self._tasks():
            chunk.append(task)
            work += _REFINE_WORK if task.refine else 1
            size += len(task.locator.data) if isinstance(task.locator, HeldBytes) else 0
            if work >= _CHUNK_WORK or size >= _CHUNK_BYTES:
                yield chunk
                chunk, work, size = [], 0, 0
        if chunk:
            yield chunk

    def _tasks(self) -> Iterator[Task]:
        """Yield the images that are not done yet, and note those that are."""
        with self._lock:
            self._in_work.clear()
            self._counts.clear()
            self._refused = 0
            self._journal.forget_refusals()
        images = 0
        for position, found in enumerate(self._catalog.entries()):
            if isinstance(found, Refusal):
                self._refuse(position, found.path, found.reason)
                continue
            if self._options.limit is not None and images >= self._options.limit:
                return
            images += 1
            task = self._task(position, found)
            if task is not None:
                self._in_work[task.path] = task
                yield task

    def _task(self, position: int, entry: Entry) -> Task | None:
        """Return what is to be done about an image, None where it is done or refused."""
        refine = entry.modality == "US"
        path = refined_name(entry.path) if refine else entry.path
        correction = None
        recipe = self._recipe if refine else "link" if self._options.link else "copy"
        if refine and self._corrections is not None:
            try:
                correction = self._corrections.find(entry.path, path)
            except ImageError as error:
                self._refuse(position, entry.path, str(error))
                return None
            recipe = refine_recipe(self._options.refine, correction.stamp if correction is not None else "none")
        decisions = self._review.by_path.get(path, ()) if refine else ()
        # Only the images whose decisions changed are done again.
        recipe = f"{recipe}-{self._review.stamp(path)}" if decisions else recipe
        known = self._journal.find(path)
        if path in self._in_work or (known is not None and known.seen and known.position != position):
            self._refuse(position, entry.path, "another file of the source has the same name in the refined folder")
            return None
        sha256 = None
        if known is not None and self._is_usable(path, known, recipe):
            if known.stamp == entry.stamp:
                self._keep(path, position, known)
                return None
            sha256 = known.source_sha256
        return Task(
            position, entry.path, path, refine, entry.stamp, recipe, entry.locator, sha256, correction, decisions
        )

    def _is_usable(self, path: str, known: Known, recipe: str) -> bool:
        if known.seen:  # done in this run, before a worker died
            return True
        if known.recipe != recipe or known.status == "failed":
            return False
        return is_written(self._settings.out, path, known, contents=self._check_contents)

    def _keep(self, path: str, position: int, known: Known) -> None:
        with self._lock:
            self._journal.keep(path, position, known.stamp)
            self._changed |= known.position != position
            self._counts[known.status] += 1
            self._kept += not known.seen
            self._report()

    def _refuse(self, position: int, path: str, reason: str) -> None:
        with self._lock:
            self._journal.refuse(position, path, "read", reason)
            self._refused += 1

    def _note(self, outcomes: list[Outcome]) -> None:
        """Take notice of what became of some images."""
        with self._lock:
            self._journal.store([outcome for outcome in outcomes if outcome.status != "unchanged"])
            for outcome in outcomes:
                status = outcome.status
                if status == "unchanged":
                    known = self._journal.find(outcome.path)
                    self._journal.keep(outcome.path, outcome.position, outcome.stamp)
                    status = known.status if known is not None else status
                self._counts[status] += 1
                self._in_work.pop(outcome.path, None)
            self._done += len(outcomes)
            self._changed = True
            now = time.monotonic()
            if now - self._last_commit > _COMMIT_EVERY:
                self._journal.commit()
                self._last_commit = now
            self._report()

    def _report(self, *, finished: bool = False) -> None:
        now = time.monotonic()
        if not finished and now - self._last_report < _REPORT_EVERY:
            return
        self._last_report = now
        counts = {**self._counts}
        if self._refused:
            counts["failed"] = counts.get("failed", 0) + self._refused
        done = sum(self._counts.values())
        self._progress(Progress("cleaning", done, done if finished else self._total, counts))

    def _try_alone(self, paths: list[str]) -> None:
        """Do the images on which workers ended one by one, each in a process of its own, to find the one to blame."""
        with self._lock:
            tasks = {task.source: task for task in self._in_work.values()}
        for path in paths:
            task = tasks.get(path)
            if task is None:
                continue
            try:
                work = functools.partial(clean_chunk, self._settings)
                # With two jobs joblib runs a lone task in a process; with one it would run here.
                (outcomes,) = run_chunks([[task]], work, jobs=2)
                note = f"a worker ended while on {path}, which went well when tried alone"
            except WorkerDiedError:
                suspects(self._settings.out)
                reason = "ended the worker process that opened it, twice; the image may need more memory than there is"
                outcomes = [failed(self._settings, task, "worker", reason)]
                note = f"a worker ended while on {path}, and again when it was tried alone"
            log.warning(note)
            self._notes.append(note)
            self._note(outcomes)

    def _remove_gone(self) -> None:
        """Remove what was made from files that the source no longer holds."""
        for path in self._journal.drop_unseen():
            self._changed = True
            remove(f"{self._settings.out}/images/{path}")
            remove(f"{self._settings.out}/masks/{path}")
        if self._journal.resumed:
            sweep_orphans(self._settings.out, lambda path: self._journal.find(path) is not None)

    def _write_results(self) -> CleanSummary:
        options = self._options
        counts = self._journal.counts()
        if self._refused:
            counts["failed"] = counts.get("failed", 0) + self._refused
        seconds = time.monotonic() - self._started
        summary = CleanSummary(self._out, counts, self._done, self._kept, seconds, self._notes)
        self._review.write(self._out)
        if self._is_as_before():
            self._journal.discard()
            self._notes += self._review.notes(self._out)
            return summary
        place_of = functools.partial(parse_label, layout=options.layout, modality=options.modality)
        write_tables(self._journal, self._out, place_of, timings=options.timings)
        self._notes += self._review.notes(self._out)
        write_json(self._out / "run.json", self._describe(summary))
        flush(self._out)
        self._journal.finish()
        return summary

    def _is_as_before(self) -> bool:
        """Tell whether this run found everything done, so that the tables are right as they are."""
        options = self._options
        parts = [options.layout, options.modality, options.timings, self._journal.failures()]
        state = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
        before = self._journal.recall("tables")
        self._journal.remember("tables", state)
        written = all((self._out / name).is_file() for name in TABLES)
        return written and before == state and not self._journal.resumed and not self._changed

    def _describe(self, summary: CleanSummary) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "command": "clean",
            "source": {"path": str(self._catalog.source.path.resolve())},
            "configuration": {
                name: str(value) if isinstance(value, Path) else value for name, value in asdict(self._options).items()
            },
            "versions": versions(),
            "counts": summary.counts,
            "timings": {
                "seconds": round(summary.seconds, 3),
                "done": summary.done,
                "kept": summary.kept,
                "images_per_second": round(summary.done / max(summary.seconds, 1e-9), 1),
                "mean_ms": {status: round(mean, 3) for status, (_, mean) in self._journal.elapsed().items()},
            },
            "notes": summary.notes,
        }
