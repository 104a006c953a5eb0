"""Templates of marks: crosses drawn in all sizes, and pictures from a folder of the user's."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np

from data_manifests import load
from radrefine.artifacts.classical.response import Response
from radrefine.artifacts.colours import Plane
from radrefine.errors import ImageError, UsageError
from radrefine.images import read_image
from radrefine.records import Finding, Mask
from radrefine.schema import KINDS

_SIDES: Final = (3, 96)
_INK: Final = 128
_INK_SHARE: Final = (0.02, 0.9)
# A template of the user's must match this well, and its strokes rise so far above all else in its box.
_LEAST_MATCH: Final = 0.7
_LEAST_RISE: Final = 24
_LEAST_RATIO: Final = 2.0
_MOST_MATCHES: Final = 50
_LEAST_CENTRE_MATCH: Final = 0.5


@dataclass(frozen=True, slots=True)
class Template:
    """A shape to look for.

    Attributes:
        name: File name or shape.
        kind: One of `radrefine.schema.KINDS`.
        ink: (h, w) bool, True on the strokes.
    """

    name: str
    kind: str
    ink: Mask


class Centre(NamedTuple):
    """Where a template sits best: its middle, its index in the bank, the correlation."""

    x: int
    y: int
    template: int
    score: float


@cache
def cross_bank() -> tuple[Template, ...]:
    """Draw the built-in templates of calipers that `data_manifests` lists."""
    facts = load("artifacts")["templates"]
    return tuple(
        Template(f"{shape}_{size}", "caliper", _cross(shape, size))
        for shape in facts["shapes"]
        for size in facts["sizes"]
    )


def _cross(shape: str, size: int) -> Mask:
    ink = np.zeros((size, size), bool)
    middle, along = size // 2, np.arange(size)
    if shape != "cross":
        ink[middle, :] = ink[:, middle] = True
    if shape == "gapped_plus":
        gap = max(1, size // 6)
        ink[middle - gap : middle + gap + 1, middle - gap : middle + gap + 1] = False
    if shape in ("cross", "star"):
        inset = size // 6 if shape == "star" else 0
        part = along[inset : size - inset]
        ink[part, part] = ink[part, size - 1 - part] = True
    return ink


def find_centre(thin: Plane, box: tuple[int, int, int, int], bank: tuple[Template, ...]) -> Centre | None:
    """Find where in a box a template of a bank correlates best with the strokes.

    Args:
        thin: (H, W) uint8, rise of thin strokes; see `Response`.
        box: x, y, width and height, px, of where the middle of the template may lie.
        bank: Templates to try.

    Returns:
        The best place with a normalised cross-correlation of 0.5 or more; None where there is none.
    """
    found = find_crosses(thin, box, bank, _LEAST_CENTRE_MATCH)
    return found[0] if found else None


def find_crosses(thin: Plane, box: tuple[int, int, int, int], bank: tuple[Template, ...], least: float) -> list[Centre]:
    """Find every place in a box where a template of a bank correlates with the strokes by `least` or more.

    Args:
        thin: (H, W) uint8, rise of thin strokes; see `Response`.
        box: x, y, width and height, px, of where the middles of templates may lie.
        bank: Templates to try.
        least: Normalised cross-correlation.

    Returns:
        The places, best first, none within 6 px of a better one.
    """
    x, y, width, height = box
    centres = []
    for number, template in enumerate(bank):
        kernel = _kernel(template.ink.tobytes(), template.ink.shape)
        reach_y, reach_x = kernel.shape[0] // 2, kernel.shape[1] // 2
        rows = slice(max(0, y - reach_y), y + height + reach_y + 1)
        columns = slice(max(0, x - reach_x), x + width + reach_x + 1)
        patch = thin[rows, columns]
        if patch.shape[0] < kernel.shape[0] or patch.shape[1] < kernel.shape[1]:
            continue
        scores = cv2.matchTemplate(patch, kernel, cv2.TM_CCOEFF_NORMED)
        for row, column in np.argwhere(scores >= least).tolist():
            score = float(scores[row, column])
            centres.append(Centre(columns.start + column + reach_x, rows.start + row + reach_y, number, score))
    kept: list[Centre] = []
    for centre in sorted(centres, key=lambda one: -one.score):
        if all(abs(centre.x - other.x) + abs(centre.y - other.y) > 6 for other in kept):
            kept.append(centre)
    return kept


@cache
def _kernel(ink: bytes, shape: tuple[int, int]) -> Plane:
    """Return a template with a dark rim, softened by the half pixel that screens and scaling add."""
    drawn = np.frombuffer(ink, np.uint8).reshape(shape) * np.uint8(255)
    rim = cv2.copyMakeBorder(drawn, 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    return np.asarray(cv2.GaussianBlur(rim, (3, 3), 0.6), np.uint8)


@cache
def load_templates(folder: Path) -> tuple[Template, ...]:
    """Read a folder of templates, white on black, named by their kind: `caliper_1.png`, `text_rt.png`.

    Raises:
        UsageError: The folder is missing or empty, or a file is no such template.
    """
    paths = _files(folder)
    return tuple(_read(path) for path in paths)


def templates_hash(folder: Path) -> str:
    """Return the first 16 hex digits of the SHA-256 of a folder's templates, names and strokes."""
    digest = hashlib.sha256()
    for template in load_templates(folder):
        digest.update(f"{template.name}:{template.ink.shape}:".encode() + template.ink.tobytes())
    return digest.hexdigest()[:16]


def _files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"--templates {folder} is no folder; expected one with PNG files such as caliper_1.png")
    paths = sorted(path for path in folder.glob("*.png") if path.name != "sheet.png")
    if not paths:
        raise UsageError(f"--templates {folder} holds no PNG file; expected templates such as caliper_1.png")
    return paths


def _read(path: Path) -> Template:
    kind = next((kind for kind in KINDS if path.stem == kind or path.stem.startswith(f"{kind}_")), None)
    if kind is None:
        raise UsageError(f"the template {path} is named after no kind; begin its name with one of {', '.join(KINDS)}")
    try:
        image = read_image(path)
    except ImageError as error:
        raise UsageError(f"the template {error}") from None
    ink = (image if image.ndim == 2 else image.max(axis=2)) >= _INK
    if not all(_SIDES[0] <= side <= _SIDES[1] for side in ink.shape):
        raise UsageError(
            f"the template {path} is {ink.shape[1]} x {ink.shape[0]} px; expected sides of {_SIDES[0]} to {_SIDES[1]}"
        )
    if not _INK_SHARE[0] <= ink.mean() <= _INK_SHARE[1]:
        raise UsageError(f"{ink.mean():.0%} of the template {path} is white; expected white strokes on black")
    return Template(path.stem, kind, np.asarray(ink))


def count_matches(thin: Plane, ink: Mask) -> int:
    """Return how often strokes match in a picture, 50 at most.

    Args:
        thin: (H, W), see `radrefine.artifacts.response.Response`.
        ink: (h, w) bool, the strokes.
    """
    return len(_matches_of(thin, Template("", KINDS[0], ink)))


def match_templates(response: Response, templates: tuple[Template, ...]) -> list[tuple[Finding, Mask]]:
    """Find what correlates with templates of the user's.

    Args:
        response: See `measure_response`.
        templates: What to look for.

    Returns:
        Findings with the (h, w) bool mask of their strokes in their box, best first, none within another.
    """
    matches = [match for template in templates for match in _matches_of(response.thin, template)]
    kept: list[tuple[Finding, Mask]] = []
    for found, ink in sorted(matches, key=lambda match: -match[0].score):
        if not any(_overlap(found, other) for other, _ in kept):
            kept.append((found, ink))
    return kept


def _matches_of(thin: Plane, template: Template) -> list[tuple[Finding, Mask]]:
    kernel = _kernel(template.ink.tobytes(), template.ink.shape)
    if thin.shape[0] < kernel.shape[0] or thin.shape[1] < kernel.shape[1]:
        return []
    padded = cv2.copyMakeBorder(thin, 2, 2, 2, 2, cv2.BORDER_CONSTANT)
    scores = cv2.matchTemplate(padded, kernel, cv2.TM_CCOEFF_NORMED)
    peaks = (scores >= _LEAST_MATCH) & (scores == cv2.dilate(scores, np.ones((5, 5), np.uint8)))
    height, width = template.ink.shape
    matches: list[tuple[Finding, Mask]] = []
    for y, x in sorted(np.argwhere(peaks).tolist(), key=lambda place: -float(scores[place[0], place[1]])):
        patch = thin[y : y + height, x : x + width]
        if len(matches) < _MOST_MATCHES and _stands_out(patch, template.ink):
            score = round(min(1.0, float(scores[y, x])), 4)
            matches.append((Finding(template.kind, x, y, width, height, score, "template"), template.ink))
    return matches


def _stands_out(patch: Plane, ink: Mask) -> bool:
    strokes = float(patch[ink].mean())
    beside = float(patch[~ink].mean()) if not ink.all() else 0.0
    return strokes >= _LEAST_RISE and strokes >= _LEAST_RATIO * beside


def _overlap(one: Finding, other: Finding) -> bool:
    across = min(one.x + one.width, other.x + other.width) - max(one.x, other.x)
    down = min(one.y + one.height, other.y + other.height) - max(one.y, other.y)
    return across > 0 and down > 0 and across * down > 0.3 * min(one.width * one.height, other.width * other.height)
