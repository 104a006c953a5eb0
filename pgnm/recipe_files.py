"""Read recipes: shipped ones and files of one's own, the environment, the flags.

Order of precedence: the recipe's YAML file < environment variables `PGNM_<KEY>` < flags. A YAML file may name another
recipe under `base`, a shipped one or a file (sought beside it, then in the current folder), and give only the keys that
differ.
"""

import dataclasses
import functools
import logging
import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from pgnm.config import Recipe, nearest
from pgnm.errors import UsageError

_log = logging.getLogger(__name__)

_ENVIRONMENT_PREFIX = "PGNM_"


def load_recipe(
    name_or_path: str | Path = "laptop",
    overrides: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Recipe:
    """Read a recipe: a shipped one by name, or a YAML file; then the environment, then `overrides`.

    Args:
        name_or_path: A name out of `recipe_names()` or the path of a YAML file.
        overrides: Values by key, such as the flags given; None means "not given".
        environ: Stands in for `os.environ`; `PGNM_BATCH_SIZE=32` sets `batch_size`.

    Raises:
        UsageError: No such recipe, an unknown key, or a value that cannot be used.
    """
    values = _read_yaml(name_or_path)
    known = {key.name for key in dataclasses.fields(Recipe)}
    values |= _from_environment(known, os.environ if environ is None else environ)
    values |= {key: value for key, value in (overrides or {}).items() if value is not None}
    for key in values:
        if key not in known:
            raise UsageError(f"{name_or_path}: unknown key {key!r}{nearest(key, sorted(known))}")
    return Recipe(**values)


def recipe_names() -> list[str]:
    """Return the names of the shipped recipes, sorted."""
    folder = resources.files("pgnm") / "recipes"
    return sorted(entry.name.removesuffix(".yaml") for entry in folder.iterdir() if entry.name.endswith(".yaml"))


def read_value(text: str, source: str) -> Any:
    """Read a piece of YAML; `source` names it in messages.

    Raises:
        UsageError: It is no YAML.
    """
    try:
        return yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise UsageError(f"{source} is not valid YAML: {' '.join(str(error).split())}") from None


def _read_yaml(name_or_path: str | Path, above: tuple[str, ...] = ()) -> dict[str, Any]:
    name = str(name_or_path)
    if name in above:
        raise UsageError(f"{name} is its own base ({' < '.join((*above, name))}); name a shipped recipe as base")
    if name in recipe_names():
        text = (resources.files("pgnm") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        try:
            text = Path(name).read_text(encoding="utf-8")
        except UnicodeDecodeError:
            raise UsageError(f"{name} is not a text in UTF-8; save it as UTF-8") from None
    else:
        raise UsageError(f"--recipe must be a file or one of {', '.join(recipe_names())}; got {name!r}")
    values = read_value(text, name) or {}
    if not isinstance(values, dict):
        raise UsageError(f"{name} must hold keys and values, got a {type(values).__name__}")
    base = values.pop("base", None)
    if base is not None:
        # A file of one's own may be moved together with the one that it builds upon.
        beside = Path(name).resolve().parent / str(base)
        found = beside if str(base) not in recipe_names() and beside.is_file() else base
        values = _read_yaml(found, (*above, name)) | values
    # A resolved recipe beside an output also tells versions and inputs; those are no options.
    return {str(key): value for key, value in values.items() if key != "resolved"}


def _from_environment(known: set[str], environ: Mapping[str, str]) -> dict[str, Any]:
    for variable in sorted(environ):
        if variable.startswith(_ENVIRONMENT_PREFIX) and variable.removeprefix(_ENVIRONMENT_PREFIX).lower() not in known:
            _tell_unknown(variable, tuple(sorted(_ENVIRONMENT_PREFIX + key.upper() for key in known)))
    found = {
        key: environ[_ENVIRONMENT_PREFIX + key.upper()] for key in known if _ENVIRONMENT_PREFIX + key.upper() in environ
    }
    return {key: read_value(value, _ENVIRONMENT_PREFIX + key.upper()) for key, value in found.items()}


@functools.cache  # a study reads many recipes in one environment
def _tell_unknown(variable: str, known: tuple[str, ...]) -> None:
    _log.warning("%s sets no option and is not heeded%s", variable, nearest(variable, known))
