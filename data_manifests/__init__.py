"""Facts about data sets, shipped as YAML beside this file: what they hold, whence that is known, under which terms."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

_FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the names that `load` knows."""
    return sorted(place.stem for place in _FOLDER.glob("*.yaml"))


@lru_cache
def load(name: str) -> dict[str, Any]:
    """Load what is known of a data set.

    Args:
        name: One of `names()`, such as "radimagenet".

    Returns:
        The facts, with the sources they come from. Treat them as read-only: they are shared between callers.

    Raises:
        KeyError: There is no such manifest.
    """
    place = _FOLDER / f"{name}.yaml"
    if name not in names():
        raise KeyError(f"no manifest is called {name!r}; there are {', '.join(names())}")
    facts: dict[str, Any] = yaml.safe_load(place.read_text(encoding="utf-8"))
    return facts
