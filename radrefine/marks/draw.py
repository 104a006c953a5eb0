"""Draw burned-in marks on a clean picture, and know to the pixel where they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.errors import UsageError
from radrefine.marks.arrows import draw_arrow
from radrefine.marks.calipers import SHAPES, draw_line_alone, draw_measurement
from radrefine.marks.fonts import FONTS
from radrefine.marks.ink import VISIBLE, Colour, Mark, Style, stamp, strongest
from radrefine.marks.interface import draw_ui_bar
from radrefine.marks.labels import draw_header, draw_label, draw_settings
from radrefine.marks.layout import Layout
from radrefine.marks.overlays import draw_colour_overlay
from radrefine.marks.pictograms import draw_body_marker
from radrefine.marks.probes import draw_probe_mark
from radrefine.marks.rulers import draw_ticks
from radrefine.records import Finding, Image, Mask
from radrefine.schema import KINDS

DRAWN_KINDS = tuple(kind for kind in KINDS if kind != "outlier")
"""Kinds that can be drawn: all but "outlier", which is a verdict of the final check and not a mark."""

_TRIES = 8
# How often each kind begins a group of marks when the caller names none: on a picture that is all scan, and on a
# screen with room beside the scan.
_WEIGHTS = {
    "caliper": (5, 3),
    "dotted_line": (4.5, 2.5),
    "text": (4.5, 6),
    "body_marker": (1.5, 1.5),
    "probe_mark": (2.5, 2),
    "tick": (1.8, 3),
    "arrow": (2.5, 2),
    "colour_overlay": (2, 3),
    "ui_bar": (2.2, 2.5),
}
# Marks that screens keep clear of each other.
_APART = frozenset({"text", "body_marker", "ui_bar", "probe_mark"})


@dataclass(frozen=True, slots=True)
class MarkedImage:
    """A picture with marks and the truth about them.

    Attributes:
        image: The picture with marks, same shape and dtype as the clean one.
        mask: (H, W) bool, True where a mark changed the picture, where its ink is as grey as the tissue beneath, and in
            the small gaps of crosses and dotted lines, as in masks made by hand. JPEG's ringing around marks and the
            fringe that scaling leaves are not part of it.
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
    layout: Layout | None = None,
    companions: bool = False,
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
        layout: Where the scan lies in the picture; None takes the picture for nothing but scan.
        companions: Draw the rest of an annotation, a bar's words say, where `kinds` does not name it; False leaves it
            out.

    Returns:
        The picture, its true mask, the findings and the picture under the marks. Without `jpeg`, `image` differs from
        `clean` nowhere but in `mask`, and everywhere in it but in small gaps.

    Raises:
        UsageError: A kind that cannot be drawn, or an image of another shape or dtype.
    """
    _check(image, kinds)
    style = random_style(rng, image.shape[:2]) if style is None else style
    layout = Layout.whole(image.shape) if layout is None else layout
    allowed = set(DRAWN_KINDS if kinds is None or companions else kinds)
    sheet = _Sheet(np.ascontiguousarray(image).copy())
    for kind in _groups(rng, kinds, count, layout):
        sheet.draw_group(rng, style, kind, allowed, layout)
    canvas, clean = sheet.canvas, image
    changed = strongest(cv2.absdiff(canvas, image)) >= VISIBLE
    # One mark over another can come within a grey level or two of the clean picture; it is clean there.
    canvas = np.asarray(cv2.copyTo(canvas, changed.view(np.uint8), image.copy()), np.uint8)
    mask = changed | (sheet.gaps > 0)
    sheet.kind_map[~mask] = 0
    if jpeg is not None:
        canvas, clean = jpeg_coded(canvas, jpeg), jpeg_coded(image, jpeg)
    return MarkedImage(canvas, mask, sheet.findings, sheet.kind_map, clean)


def random_style(rng: np.random.Generator, shape: tuple[int, ...]) -> Style:
    """Draw the style of one screen for a picture of `shape`: sizes, ink, font, outline, blur."""
    # Marks keep their size on the screen; a picture may be the screen, a crop of it, or either scaled down.
    scale = float(np.sqrt(min(shape[:2]) / 256) * np.exp(rng.normal(0.15, 0.42)))
    scale = float(np.clip(scale, 0.5, 6.0))
    grey = int(rng.choice([255, 240, 220, 200, 175, 150, 125], p=[0.27, 0.18, 0.18, 0.14, 0.1, 0.08, 0.05]))
    colour: Colour = (grey, grey, grey)
    if rng.random() < 0.25:
        colour = _TINTS[int(rng.integers(len(_TINTS)))]
    return Style(
        scale=scale,
        colour=colour,
        stroke=float(max(0.9, rng.choice([1.0, 1.0, 1.3, 1.7, 2.2]) * max(0.75, scale**0.75))),
        font=FONTS[int(rng.integers(len(FONTS)))],
        caliper=str(rng.choice(list(SHAPES), p=list(SHAPES.values()))),
        outline=str(rng.choice(["none", "halo", "shadow"], p=[0.52, 0.34, 0.14])),
        outline_alpha=float(rng.uniform(0.35, 1.0)),
        alpha=float(rng.uniform(0.8, 1.0) if rng.random() < 0.75 else rng.uniform(0.4, 0.8)),
        blur=float(rng.choice([0.0, rng.uniform(0.25, 0.7), rng.uniform(0.6, 1.2)], p=[0.42, 0.43, 0.15])),
        smooth=bool(rng.random() < 0.7),
        line=float(rng.uniform(0.35, 1.0) if rng.random() < 0.5 else 1.0),
    )


_TINTS: tuple[Colour, ...] = (
    (255, 240, 90),
    (255, 255, 0),
    (120, 255, 140),
    (110, 220, 255),
    (0, 255, 255),
    (255, 190, 80),
    (90, 255, 90),
    (255, 90, 80),
    (255, 150, 200),
    (150, 170, 255),
    (210, 200, 120),
)


def jpeg_coded(image: Image, quality: int) -> Image:
    """Return `image` after JPEG coding at `quality` (1-100), same shape and dtype."""
    quality_flag = [cv2.IMWRITE_JPEG_QUALITY, quality]
    if image.ndim == 2:
        _, code = cv2.imencode(".jpg", image, quality_flag)
        return np.asarray(cv2.imdecode(code, cv2.IMREAD_GRAYSCALE), np.uint8)
    _, code = cv2.imencode(".jpg", cv2.cvtColor(image, cv2.COLOR_RGB2BGR), quality_flag)
    decoded = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR), np.uint8)
    return np.asarray(cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB), np.uint8)


def _check(image: Image, kinds: Sequence[str] | None) -> None:
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or (image.ndim == 3 and image.shape[2] != 3):
        message = "marks are drawn on (H, W) or (H, W, 3) uint8 images"
        raise UsageError(f"{message}, got {image.shape} {image.dtype}; convert the image first")
    if min(image.shape[:2]) < 32:
        raise UsageError(f"marks need a picture of 32 px or more, got {image.shape}; enlarge the image first")
    unknown = [kind for kind in kinds or () if kind not in DRAWN_KINDS]
    if unknown:
        raise UsageError(f"cannot draw {unknown[0]!r}; choose kinds out of {', '.join(DRAWN_KINDS)}")


def _groups(rng: np.random.Generator, kinds: Sequence[str] | None, count: int | None, layout: Layout) -> list[str]:
    if kinds is None:
        number = int(rng.integers(1, 5) if layout.tissue else rng.integers(2, 9)) if count is None else count
        weights = np.array([_WEIGHTS[kind][0 if layout.tissue else 1] for kind in DRAWN_KINDS])
        chosen = [str(kind) for kind in rng.choice(DRAWN_KINDS, number, p=weights / weights.sum())]
    else:
        number = len(kinds) if count is None else count
        chosen = [kinds[index % len(kinds)] for index in range(number if kinds else 0)]
    # Bars lie below everything else, as on the screen.
    return sorted(chosen, key=lambda kind: kind != "ui_bar")


class _Sheet:
    """A picture that is being drawn on, with the truth about it so far."""

    def __init__(self, canvas: Image) -> None:
        self.canvas = canvas
        self.kind_map = np.zeros(canvas.shape[:2], np.uint8)
        self.gaps = np.zeros(canvas.shape[:2], np.uint8)
        self.findings: list[Finding] = []

    def draw_group(self, rng: np.random.Generator, style: Style, kind: str, allowed: set[str], layout: Layout) -> None:
        """Draw one group; where the mark that was asked for does not show, try again elsewhere."""
        for number in range(_TRIES):
            marks = [mark for mark in _MAKERS[kind](rng, style, layout) if mark.kind in allowed]
            if not any(mark.kind == kind for mark in marks) or (number < _TRIES // 2 and self._covers(marks)):
                continue
            drawn = {mark.kind for mark in marks if self._draw(mark)}
            if kind in drawn:
                return
            if drawn:  # its companions show and stay; the mark itself gets further tries
                allowed = {kind}

    def _covers(self, marks: Sequence[Mark]) -> bool:
        """Tell whether text, pictograms or bars would lie over other marks, as they seldom do on a screen."""
        for mark in marks:
            ink = mark.layers[-1]
            if mark.kind in _APART and ink.coverage.size:
                rows, columns = ink.coverage.shape
                part = self.kind_map[max(0, ink.y) : max(0, ink.y + rows), max(0, ink.x) : max(0, ink.x + columns)]
                if np.count_nonzero(part) > 0.08 * part.size:
                    return True
        return False

    def _draw(self, mark: Mark) -> bool:
        place = stamp(self.canvas, mark)
        if place is None:
            return False
        x, y, changed, gaps = place
        rows, columns = changed.shape
        self.kind_map[y : y + rows, x : x + columns][changed | gaps] = 1 + KINDS.index(mark.kind)
        self.gaps[y : y + rows, x : x + columns][gaps] = 1
        self.findings.append(Finding(mark.kind, x, y, columns, rows, 1.0, "truth", removed=False))
        return True


def _lines(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    return draw_line_alone(rng, style, layout) if rng.random() < 0.4 else draw_measurement(rng, style, layout)


def _text(rng: np.random.Generator, style: Style, layout: Layout) -> list[Mark]:
    choice = rng.random()
    if choice < (0.6 if layout.tissue else 0.35):
        return draw_label(rng, style, layout)
    return draw_settings(rng, style, layout) if choice < 0.85 else draw_header(rng, style, layout)


_MAKERS: dict[str, Callable[[np.random.Generator, Style, Layout], list[Mark]]] = {
    "caliper": draw_measurement,
    "dotted_line": _lines,
    "text": _text,
    "body_marker": draw_body_marker,
    "probe_mark": draw_probe_mark,
    "tick": draw_ticks,
    "arrow": draw_arrow,
    "colour_overlay": draw_colour_overlay,
    "ui_bar": draw_ui_bar,
}
