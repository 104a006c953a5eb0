"""How long work reports its progress: the library calls, the command line draws."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Progress:
    """Where a piece of long work stands.

    Attributes:
        stage: What is being done, in one or two words.
        done: Items finished.
        total: Items in all, None while unknown.
        counts: Items by outcome, such as {"refined": 3, "failed": 1}.
    """

    stage: str
    done: int
    total: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)


class ProgressCallback(Protocol):
    """Receives a `Progress` now and then; must return quickly."""

    def __call__(self, progress: Progress, /) -> None:
        """Take notice of `progress`."""


def ignore_progress(progress: Progress, /) -> None:
    """Do nothing; the default callback."""
