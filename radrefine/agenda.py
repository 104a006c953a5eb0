"""Find what is to be done: walk the source beside the journal and hand out what is new or changed."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from radrefine.catalog import Catalog, Entry
from radrefine.clean_options import CleanOptions
from radrefine.correction_index import Corrections
from radrefine.errors import ImageError
from radrefine.journal import Journal, Known, is_written
from radrefine.members import FrameLocator, HeldBytes, Locator, Refusal
from radrefine.review import Review
from radrefine.work import Task, refine_recipe, refined_name

# A chunk keeps a worker busy for some tenths of a second: long against handing it over, short against losing it.
_CHUNK_WORK: Final = 64
_REFINE_WORK: Final = 8
_CHUNK_BYTES: Final = 16 * 2**20
# So many images are looked up in the journal at once, unless they bring their bytes along.
_PORTION: Final = 256


class Agenda:
    """What is to be done of a collection.

    Args:
        catalog: What there is.
        out: The refined folder.
        options: How it is cleaned.
        journal: What was done before.
        corrections: Predefined corrections, None to find marks.
        review: Decisions of a person about single marks.
        check_contents: Whether files written before are read and hashed, rather than looked at.
        on_kept: Called now and then while images are found done.

    Attributes:
        lock: Held while an image passes from one state into another; the agenda is walked in joblib's threads while
            the main thread takes the outcomes.
        in_work: The images handed out and not yet done, by their paths in the refined folder.
        found_done: Images that were found done, by status, in the present walk.
        kept: Images that an earlier run had done.
        refused: Files that are not taken as images, in the present walk.
        moved: Whether an image found done has another place in the source than before.
        hidden: Whether a part of the source could not be read.
    """

    def __init__(
        self,
        catalog: Catalog,
        out: Path,
        options: CleanOptions,
        journal: Journal,
        corrections: Corrections | None,
        review: Review,
        *,
        check_contents: bool,
        on_kept: Callable[[], None],
    ) -> None:
        self._catalog, self._out, self._options = catalog, str(out.resolve()), options
        self._journal, self._corrections, self._review = journal, corrections, review
        self._check_contents, self._on_kept = check_contents, on_kept
        self._recipe = refine_recipe(options.refine)
        self.lock = threading.RLock()
        self.in_work: dict[str, Task] = {}
        self.found_done: Counter[str] = Counter()
        self.kept = self.refused = 0
        self.moved = self.hidden = False

    def begin(self) -> None:
        """Forget what an earlier walk found; the next one finds it again."""
        with self.lock:
            self.in_work.clear()
            self.found_done.clear()
            self.refused = 0
            self._journal.forget_refusals()

    def chunks(self) -> Iterator[list[Task]]:
        """Yield what there is to do, in pieces of like work."""
        chunk: list[Task] = []
        work, room = 0, _Room()
        for task in self._tasks():
            if chunk and (work >= _CHUNK_WORK or not room.takes(task.locator)):
                yield chunk
                chunk, work, room = [], 0, _Room()
            chunk.append(task)
            work += _REFINE_WORK if task.refine else 1
            room.take(task.locator)
        if chunk:
            yield chunk

    def _tasks(self) -> Iterator[Task]:
        """Yield the images that are not done yet, and note those that are."""
        for portion in self._portions():
            tasks = self._take(portion)
            self._on_kept()
            yield from tasks

    def _take(self, portion: list[tuple[int, Entry]]) -> list[Task]:
        """Return what there is to do among some images, and note the others as done or refused."""
        paths = [_refined_path(entry) for _, entry in portion]
        kept, tasks = [], []
        with self.lock:
            known = self._journal.find(paths)
            taken = self.in_work.keys() & paths
            for path, (position, entry) in zip(paths, portion, strict=True):
                before = known.get(path)
                if path in taken or (before is not None and before.seen and before.position != position):
                    reason = "another file of the source has the same name in the refined folder"
                    self._refuse(position, entry.path, reason)
                    continue
                taken.add(path)
                found = self._look_at(position, entry, path, before)
                if isinstance(found, Known):
                    kept.append((position, entry.stamp, path))
                    self.found_done[found.status] += 1
                    self.kept += not found.seen
                    self.moved |= found.position != position
                elif found is not None:
                    self.in_work[path] = found
                    tasks.append(found)
            self._journal.keep(kept)
        return tasks

    def _portions(self) -> Iterator[list[tuple[int, Entry]]]:
        """Yield the images with their places in the source, some at a time, and note what is refused."""
        portion: list[tuple[int, Entry]] = []
        images, room = 0, _Room()
        limit = self._options.limit
        for position, found in enumerate(self._catalog.entries()):
            if isinstance(found, Refusal):
                self.hidden = self.hidden or found.hides
                self._refuse(position, found.path, found.reason)
                continue
            if limit is not None and images >= limit:
                break
            images += 1
            if portion and (len(portion) >= _PORTION or not room.takes(found.locator)):
                yield portion
                portion, room = [], _Room()
            portion.append((position, found))
            room.take(found.locator)
        if portion:
            yield portion

    def _look_at(self, position: int, entry: Entry, path: str, known: Known | None) -> Task | Known | None:
        """Return what is to be done about an image, what is known of it where it is done, None where it is refused."""
        refine = entry.modality == "US"
        correction = None
        recipe = self._recipe if refine else "link" if self._options.link else "copy"
        if refine and self._corrections is not None:
            try:
                correction = self._corrections.find(entry.path, path)
            except ImageError as error:
                self._refuse(position, entry.path, str(error))
                return None
            recipe = f"{recipe}-{correction.stamp if correction is not None else 'none'}"
        decisions = self._review.by_path.get(path, ()) if refine else ()
        # Only the images whose decisions changed are done again.
        recipe = f"{recipe}-{self._review.stamp(path)}" if decisions else recipe
        sha256 = None
        if known is not None and self._is_usable(path, known, recipe):
            if known.stamp == entry.stamp:
                return known
            sha256 = known.source_sha256
        return Task(
            position, entry.path, path, refine, entry.stamp, recipe, entry.locator, sha256, correction, decisions
        )

    def _is_usable(self, path: str, known: Known, recipe: str) -> bool:
        if known.seen:  # done in this run, before a worker died
            return True
        if known.recipe != recipe or known.status == "failed":
            return False
        return is_written(self._out, path, known, contents=self._check_contents)

    def _refuse(self, position: int, path: str, reason: str) -> None:
        with self.lock:
            self._journal.refuse(position, path, "read", reason)
            self.refused += 1


def _refined_path(entry: Entry) -> str:
    return refined_name(entry.path) if entry.modality == "US" else entry.path


class _Room:
    """What images may bring along of bytes that had to be read while listing; frames of one file share them."""

    def __init__(self) -> None:
        self._size = 0
        self._last: HeldBytes | None = None

    def takes(self, locator: Locator) -> bool:
        """Tell whether there is room for an image."""
        held = _held(locator)
        return held is None or held is self._last or self._size < _CHUNK_BYTES

    def take(self, locator: Locator) -> None:
        """Count an image."""
        held = _held(locator)
        if held is not None and held is not self._last:
            self._size += len(held.data)
            self._last = held


def _held(locator: Locator) -> HeldBytes | None:
    while isinstance(locator, FrameLocator):
        locator = locator.file
    return locator if isinstance(locator, HeldBytes) else None
