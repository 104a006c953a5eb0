"""One run over a collection: what is to be done, what is done, what became of it."""

import functools
import hashlib
import json
import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from radrefine.agenda import Agenda
from radrefine.catalog import Catalog, Entry, Place, parse_label
from radrefine.chunks import clean_chunk, suspects
from radrefine.clean_options import CleanOptions, CleanSummary
from radrefine.correction_index import Corrections, open_corrections
from radrefine.errors import RefinedFolderError, WorkerError
from radrefine.files import write_json
from radrefine.journal import Journal
from radrefine.outputs import STATE, boot, flush, remove, sweep_orphans
from radrefine.progress import Progress, ProgressCallback
from radrefine.review import Review, read_review
from radrefine.schema import SCHEMA
from radrefine.tables import are_whole, write_tables
from radrefine.work import Outcome, Settings, Task, failed, versions
from radrefine.workers import WorkerDiedError, cpu_count, run_chunks

log = logging.getLogger(__name__)

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
        self._corrections: Corrections | None = None
        self._review = Review({}) if options.review is None else read_review(options.review.expanduser())
        self._counts: Counter[str] = Counter()
        self._done = 0
        self._gone = self._begun = False
        self._total: int | None = None
        self._notes: list[str] = []
        self._last_commit = self._last_report = 0.0
        self._journal = Journal(out / STATE)
        self._known = self._journal.count_unseen()
        # Files written before a power loss may have lost their contents, though the journal knows them.
        self._check_contents = self._journal.resumed and self._journal.recall("boot") != boot()

    def close(self) -> None:
        """Let go of the journal, whose notes outlast an interruption, and of the corrections."""
        if self._begun:
            self._journal.close()
        else:
            self._journal.abandon()
        if self._corrections is not None:
            self._corrections.close()

    def run(self) -> CleanSummary:
        """Do what is not done yet, and write the tables."""
        self._check_same_source()
        if self._options.masks is not None:
            paths = (found.path for found in self._catalog.entries() if isinstance(found, Entry))
            self._corrections = open_corrections(self._options.masks.expanduser(), paths)
        self._agenda = Agenda(
            self._catalog,
            self._out,
            self._options,
            self._journal,
            self._corrections,
            self._review,
            check_contents=self._check_contents,
            on_kept=self._report,
        )
        total, limit = self._catalog.count(), self._options.limit
        self._total = min((number for number in (total, limit) if number is not None), default=None)
        self._begun = True
        self._clean()
        if limit is None:
            self._remove_gone()
        elif beyond := self._journal.count_unseen():
            self._notes.append(f"{beyond:,} images beyond --limit stay as earlier runs made them, by whatever options")
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
            self._counts.clear()
            self._agenda.begin()
            try:
                for outcomes in self._parallel(self._agenda.chunks()):
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

    def _note(self, outcomes: list[Outcome]) -> None:
        """Take notice of what became of some images."""
        unchanged = [outcome for outcome in outcomes if outcome.status == "unchanged"]
        with self._agenda.lock:
            self._journal.store([outcome for outcome in outcomes if outcome.status != "unchanged"])
            self._journal.keep([(outcome.position, outcome.stamp, outcome.path) for outcome in unchanged])
            known = self._journal.find([outcome.path for outcome in unchanged])
            for outcome in outcomes:
                done = known.get(outcome.path)
                self._counts[outcome.status if done is None else done.status] += 1
                self._agenda.in_work.pop(outcome.path, None)
            self._done += len(outcomes)
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
        with self._agenda.lock:
            counts = self._counts + self._agenda.found_done
        done = counts.total()
        counts += Counter(failed=self._agenda.refused)
        # A DICOM file counts once beforehand and may hold many frames: beyond the count nothing is known.
        total = done if finished else self._total
        self._progress(Progress("cleaning", done, total if total is None or done <= total else None, counts))

    def _try_alone(self, paths: list[str]) -> None:
        """Do the images on which workers ended one by one, each in a process of its own, to find the one to blame."""
        with self._agenda.lock:
            tasks = {task.source: task for task in self._agenda.in_work.values()}
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
        """Remove what was made from files that the source no longer holds.

        Raises:
            RefinedFolderError: It holds none of those of earlier runs: it is another source of the same name.
        """
        gone = self._journal.count_unseen()
        if gone and self._agenda.hidden:
            kept = "what earlier runs made of images that are missing now was kept"
            self._notes.append(f"a part of the source could not be read (see failures.csv); {kept}")
            return
        if gone and gone == self._known:
            raise RefinedFolderError(
                f"the source holds none of the {gone:,} images that {self._out} was made from before; "
                "choose another --out, or remove that folder"
            )
        first = ""
        for path in self._journal.drop_unseen():
            first = first or path
            remove(f"{self._settings.out}/images/{path}")
            remove(f"{self._settings.out}/masks/{path}")
        if gone:
            self._gone = True
            told = "the image" if gone == 1 else f"{gone:,} images"
            self._notes.append(f"{told} that the source no longer holds went from {self._out}, the first being {first}")
        if self._journal.resumed:
            sweep_orphans(self._settings.out, self._journal.find)

    def _write_results(self) -> CleanSummary:
        options = self._options
        counts = self._journal.counts()
        if self._agenda.refused:
            counts["failed"] = counts.get("failed", 0) + self._agenda.refused
        applied, given = counts.get("refined", 0), self._corrections.count if self._corrections is not None else 0
        if options.limit is None and applied < given:
            self._notes.append(f"{applied:,} of the {given:,} corrections in {options.masks} met an image")
        seconds = time.monotonic() - self._started
        summary = CleanSummary(self._out, counts, self._done, self._agenda.kept, seconds, self._notes)
        self._review.write(self._out)
        if self._is_as_before():
            self._journal.finish()
            self._notes += self._review.notes(self._out)
            return summary
        places: dict[str, Place] = {}
        shared: dict[str, Place] = {}

        def place_of(path: str) -> Place:
            place = parse_label(path, layout=options.layout, modality=options.modality)
            if places.setdefault(place.label, place) != place:
                shared[place.label] = place
            return place

        write_tables(self._journal, self._out, place_of, timings=options.timings)
        for label, place in sorted(shared.items()):
            folders = " and ".join("/".join(filter(None, one[2:])) for one in (places[label], place))
            self._notes.append(f"the folders {folders} are one class, {label}; rename one if they are not the same")
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
        changed = self._done or self._gone or self._agenda.moved or self._journal.resumed or before != state
        return not changed and are_whole(self._out)

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
