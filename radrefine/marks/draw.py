"""Draw burned-in marks on a clean picture, and know to the pixel where they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.errors import UsageError
from radrefine.marks.calipers import SHAPES, draw_measurement
from radrefine.marks.fonts import FONTS
from radrefine.marks.ink import VISIBLE, Colour, Mark, Style, stamp
from radrefine.marks.labels import draw_label, draw_settings
from radrefine.marks.overlays import draw_colour_overlay, draw_ui_bar
from radrefine.marks.symbols import draw_arrow, draw_body_marker, draw_probe_mark, draw_ticks
from radrefine.records import Finding, Image, Mask
from radrefine.schema import KINDS

DRAWN_KINDS = tuple(kind for kind in KINDS if kind != "outlier")
"""Kinds that can be drawn: all but "outlier", which is a verdict of the final check and not a mark."""

_TRIES = 8
# How often each kind begins a group of marks when the caller names none; as screens have them.
_WEIGHTS = {
    "caliper": 5,
    "dotted_line": 2,
    "text": 4,
    "body_marker": 1.5,
    "probe_mark": 2,
    "tick": 1.5,
    "arrow": 1.5,
    "colour_overlay": 1,
    "ui_bar": 0.8,
}


@dataclass(frozen=True, slots=True)
class MarkedImage:
    """A picture with marks and the truth about them.

    Attributes:
        image: The picture with marks, same shape and dtype as the clean one.
        mask: (H, W) bool, True where a mark changed the picture (JPEG's ringing around marks is not part of it).
        findings: Kind and box of each mark, `score` 1, `detector` "truth".
        kind_map: (H, W) uint8, 0 outside marks, else 1 + index of the topmost mark's kind in `radrefine.schema.KINDS`.
        clean: What lies under the marks; the input, or the input after the same JPEG coding as `image`.
    """

    image: Image
    mask: Mask
    findings: list[Finding]
    kind_map: NDArray[np.uint8]
    clean: Image


def draw_marks(
    image: Image,
    rng: np.random.Generator,
    kinds: Sequence[str] | None = None,
    count: int | None = None,
    *,
    style: Style | None = None,
    jpeg: int | None = None,
) -> MarkedImage:
    """Draw burned-in marks on `image` as an ultrasound machine would.

    A group is a whole annotation: a measurement brings its calipers, the line between them and their digits, a scale
    all its ticks. A mark that would not show (white on white) is drawn elsewhere.

    Args:
        image: (H, W) or (H, W, 3) RGB uint8; not changed. Sides of 32 px or more.
        rng: Source of all choices.
        kinds: Kinds to draw, out of `DRAWN_KINDS`, taken in turn; None draws them as often as screens have them.
        count: Groups of marks; None draws one of each kind named, or 1 to 4 when none is named.
        style: How the marks look; None draws a style with `random_style`.
        jpeg: Quality (1-100) of a JPEG coding of the finished picture; None leaves it uncoded.

    Returns:
        The picture, its true mask, the findings and the picture under the marks. Without `jpeg`, `mask` is exactly
        where `image` differs from `clean`.

    Raises:
        UsageError: A kind that cannot be drawn, or an image of another shape or dtype.
    """
    _check(image, kinds)
    style = random_style(rng, image.shape[:2]) if style is None else style
    wanted = _groups(rng, kinds, count)
    allowed = set(DRAWN_KINDS if kinds is None else kinds)
    canvas = np.ascontiguousarray(image).copy()
    kind_map = np.zeros(image.shape[:2], np.uint8)
    findings: list[Finding] = []
    for kind in wanted:
        findings += _draw_group(canvas, kind_map, rng, style, kind, allowed)
    mask = _differs(canvas, image)
    canvas[~mask] = image[~mask]  # one mark over another can come within a grey level or two of the clean picture
    kind_map[~mask] = 0
    clean = image
    if jpeg is not None:
        canvas, clean = jpeg_coded(canvas, jpeg), jpeg_coded(image, jpeg)
    return MarkedImage(canvas, mask, findings, kind_map, clean)


def random_style(rng: np.random.Generator, shape: tuple[int, ...]) -> Style:
    """Draw the style of one screen for a picture of `shape`: sizes, ink, font, outline, blur."""
    # Marks keep their size on the screen; a picture may be the screen, a crop of it, or either scaled down.
    scale = float(np.sqrt(min(shape[:2]) / 256) * np.exp(rng.normal(0.15, 0.35)))
    scale = float(np.clip(scale, 0.55, 3.5))
    grey = int(rng.choice([255, 240, 220, 200, 175, 150], p=[0.3, 0.2, 0.2, 0.15, 0.1, 0.05]))
    colour: Colour = (grey, grey, grey)
    if rng.random() < 0.15:
        tints: tuple[Colour, ...] = ((255, 240, 90), (120, 255, 140), (110, 220, 255), (255, 190, 80))
        colour = tints[int(rng.integers(len(tints)))]
    return Style(
        scale=scale,
        colour=colour,
        stroke=float(max(0.9, rng.choice([1.0, 1.0, 1.3, 1.7, 2.0]) * max(0.75, scale**0.8))),
        font=FONTS[int(rng.integers(len(FONTS)))],
        caliper=SHAPES[int(rng.choice(len(SHAPES), p=[0.32, 0.16, 0.16, 0.08, 0.1, 0.06, 0.07, 0.05]))],
        outline=str(rng.choice(["none", "halo", "shadow"], p=[0.55, 0.3, 0.15])),
        outline_alpha=float(rng.uniform(0.35, 1.0)),
        alpha=float(rng.uniform(0.8, 1.0) if rng.random() < 0.8 else rng.uniform(0.5, 0.8)),
        blur=float(rng.choice([0.0, rng.uniform(0.25, 0.7)], p=[0.45, 0.55])),
        smooth=bool(rng.random() < 0.75),
    )


def jpeg_coded(image: Image, quality: int) -> Image:
    """Return `image` after JPEG coding at `quality` (1-100), same shape and dtype."""
    bgr = image[..., ::-1] if image.ndim == 3 else image
    _, code = cv2.imencode(".jpg", np.ascontiguousarray(bgr), [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR if image.ndim == 3 else cv2.IMREAD_GRAYSCALE), np.uint8)
    return np.ascontiguousarray(decoded[..., ::-1]) if image.ndim == 3 else decoded


def _check(image: Image, kinds: Sequence[str] | None) -> None:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        message = "marks are drawn on (H, W) or (H, W, 3) uint8 images"
        raise UsageError(f"{message}, got {image.shape} {image.dtype}; convert the image first")
    if min(image.shape[:2]) < 32:
        raise UsageError(f"marks need a picture of 32 px or more, got {image.shape}; enlarge the image first")
    unknown = [kind for kind in kinds or () if kind not in DRAWN_KINDS]
    if unknown:
        raise UsageError(f"cannot draw {unknown[0]!r}; choose kinds out of {', '.join(DRAWN_KINDS)}")


def _groups(rng: np.random.Generator, kinds: Sequence[str] | None, count: int | None) -> list[str]:
    if kinds is None:
        number = int(rng.integers(1, 5)) if count is None else count
        weights = np.array([_WEIGHTS[kind] for kind in DRAWN_KINDS])
        chosen = [str(kind) for kind in rng.choice(DRAWN_KINDS, number, p=weights / weights.sum())]
    else:
        number = len(kinds) if count is None else count
        chosen = [kinds[index % len(kinds)] for index in range(number if kinds else 0)]
    # Bars lie below everything else, as on the screen.
    return sorted(chosen, key=lambda kind: kind != "ui_bar")


def _draw_group(
    canvas: Image, kind_map: NDArray[np.uint8], rng: np.random.Generator, style: Style, kind: str, allowed: set[str]
) -> list[Finding]:
    """Draw one group; where the mark that was asked for does not show, try again elsewhere."""
    for _ in range(_TRIES):
        marks = [mark for mark in _MAKERS[kind](rng, style, canvas.shape[:2]) if mark.kind in allowed]
        if not any(mark.kind == kind for mark in marks):
            continue
        findings: list[Finding] = []
        for mark in marks:
            place = stamp(canvas, mark)
            if place is None:
                continue
            x, y, changed = place
            rows, columns = changed.shape
            kind_map[y : y + rows, x : x + columns][changed] = 1 + KINDS.index(mark.kind)
            findings.append(Finding(mark.kind, x, y, columns, rows, 1.0, "truth", removed=False))
        if any(finding.kind == kind for finding in findings):
            return findings
        if findings:  # its companions show and stay; the mark itself gets further tries
            return findings + _draw_group(canvas, kind_map, rng, style, kind, {kind})
    return []


def _measurement(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    height, width = shape
    w, h = rng.uniform(0.12, 0.55, 2) * (width, height)
    x, y = rng.uniform(0.03, 0.97, 2) * (width - w, height - h)
    return draw_measurement(rng, style, (float(x), float(y), float(x + w), float(y + h)))


def _text(rng: np.random.Generator, style: Style, shape: tuple[int, int]) -> list[Mark]:
    return draw_label(rng, style, shape) if rng.random() < 0.6 else draw_settings(rng, style, shape)


_MAKERS: dict[str, Callable[[np.random.Generator, Style, tuple[int, int]], list[Mark]]] = {
    "caliper": _measurement,
    "dotted_line": _measurement,
    "text": _text,
    "body_marker": draw_body_marker,
    "probe_mark": draw_probe_mark,
    "tick": draw_ticks,
    "arrow": draw_arrow,
    "colour_overlay": draw_colour_overlay,
    "ui_bar": draw_ui_bar,
}


def _differs(first: Image, second: Image) -> Mask:
    change = cv2.absdiff(first, second)
    return np.asarray((change.max(axis=2) if change.ndim == 3 else change) >= VISIBLE, bool)
