"""Find letters, ticks and screen furniture among the connected strokes."""

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.calipers import Caliper
from radrefine.artifacts.response import Response
from radrefine.records import Finding, Mask

_HEIGHTS: Final = (5, 26)
_LEAST_LETTERS: Final = 2
# A row this long is text even where the strokes are no brighter than the brightest tissue.
_LEAST_FAINT_LETTERS: Final = 4
_LEAST_PIXELS: Final = 5
_TICKS_AT_LEAST: Final = 4
_EDGE: Final = 8
_CORNER: Final = 24


@dataclass(frozen=True, slots=True)
class _Glyphs:
    """Connected strokes: labels (H, W) int32 and, per component, x, y, width, height and pixels."""

    labels: NDArray[np.int32]
    boxes: NDArray[np.int32]


def find_glyphs(response: Response, field: Mask, calipers: list[Caliper]) -> tuple[Mask, list[Finding]]:
    """Find text, ticks, the mark of the probe and what stands outside the field.

    Args:
        response: See `measure_response`.
        field: (H, W) bool, the scanned field.
        calipers: The crosses found; a single letter counts as text only beside one.

    Returns:
        (H, W) bool mask of the strokes, and the findings.
    """
    # Letters are brightest at their core and softer around it; adaptive thresholding keeps both.
    soft = cv2.adaptiveThreshold(response.grey, 255, cv2.ADAPTIVE_THRESH_MEAN_C, cv2.THRESH_BINARY, 15, -12)
    strokes = (response.tophat >= max(30, response.threshold // 2)) & (soft > 0)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(strokes.astype(np.uint8), connectivity=8)
    glyphs = _Glyphs(labels.astype(np.int32), stats[:count].astype(np.int32))
    strong = _are_burned_in(response, glyphs)
    inside = np.zeros(count, bool)
    inside[np.unique(labels[field])] = True

    standing = _stand_out(response, glyphs) & inside

    mask = np.zeros(field.shape, bool)
    findings: list[Finding] = []
    taken = np.zeros(count, bool)
    for kind, groups in (
        ("tick", _ticks(glyphs.boxes, strong, field.shape)),
        ("probe_mark", _corner_marks(glyphs.boxes, strong)),
        ("text", _outside(glyphs.boxes, strong & ~inside)),
        ("text", _rows_of_letters(glyphs.boxes, strong & inside, _LEAST_LETTERS)),
        ("text", _rows_of_letters(glyphs.boxes, standing, _LEAST_FAINT_LETTERS)),
        ("text", _beside_calipers(glyphs.boxes, standing, calipers)),
    ):
        for group in groups:
            fresh = [number for number in group if not taken[number]]
            if not fresh:
                continue
            taken[fresh] = True
            findings.append(_mark(kind, glyphs, np.array(fresh), mask))
    return mask, findings


def _are_burned_in(response: Response, glyphs: _Glyphs) -> NDArray[np.bool_]:
    """Tell which strokes are nearly as bright as the brightest pixels and even in brightness, as drawn ones are."""
    inside = response.candidates & (glyphs.labels > 0)
    labels, values = glyphs.labels[inside], response.grey[inside].astype(np.float64)
    count = len(glyphs.boxes)
    pixels = np.bincount(labels, minlength=count)
    mean = np.bincount(labels, values, count) / np.maximum(pixels, 1)
    spread = np.sqrt(np.maximum(np.bincount(labels, values**2, count) / np.maximum(pixels, 1) - mean**2, 0.0))
    brightest = float(np.percentile(response.grey, 99.8))
    return (pixels >= _LEAST_PIXELS) & (mean >= 0.7 * brightest) & (spread <= 0.3 * mean)


def _stand_out(response: Response, glyphs: _Glyphs) -> NDArray[np.bool_]:
    """Tell which strokes hold a candidate pixel; beside a cross that is enough to be a letter."""
    standing = np.zeros(len(glyphs.boxes), bool)
    standing[np.unique(glyphs.labels[response.candidates])] = True
    standing[0] = False
    return standing


def _is_letter(boxes: NDArray[np.int32]) -> NDArray[np.bool_]:
    width, height, area = boxes[:, 2], boxes[:, 3], boxes[:, 4]
    fill = area / np.maximum(width * height, 1)
    sized = (height >= _HEIGHTS[0]) & (height <= _HEIGHTS[1]) & (width <= 3 * height)
    # A vertical stroke such as I or 1 fills its box; anything else leaves part of it open.
    return sized & (fill > 0.15) & ((fill < 0.85) | (width <= 0.5 * height))


def _rows_of_letters(boxes: NDArray[np.int32], allowed: NDArray[np.bool_], least: int) -> list[list[int]]:
    letters = np.flatnonzero(allowed & _is_letter(boxes))
    letters = letters[np.argsort(boxes[letters, 0], kind="stable")]
    rows: list[list[int]] = []
    for number in letters:
        x, y, _, height, _ = boxes[number]
        for row in rows:
            last = boxes[row[-1]]
            gap = x - (last[0] + last[2])
            same_line = abs((y + height) - (last[1] + last[3])) <= 2 and abs(height - last[3]) <= 2
            if same_line and -2 <= gap <= 1.3 * height:
                row.append(int(number))
                break
        else:
            rows.append([int(number)])
    return [row for row in rows if len(row) >= least]


def _beside_calipers(boxes: NDArray[np.int32], allowed: NDArray[np.bool_], calipers: list[Caliper]) -> list[list[int]]:
    groups = []
    for number in np.flatnonzero(allowed & _is_letter(boxes)):
        x, y, width, height, _ = boxes[number]
        middle = np.array([x + width / 2, y + height / 2])
        for one in calipers:
            away = np.abs(middle - (one.x, one.y))
            if one.size * 0.6 < away.max() < 2.5 * one.size and height <= 1.6 * one.size:
                groups.append([int(number)])
                break
    return groups


def _ticks(boxes: NDArray[np.int32], allowed: NDArray[np.bool_], shape: tuple[int, ...]) -> list[list[int]]:
    height, width = shape[:2]
    small = allowed & (boxes[:, 2] <= 8) & (boxes[:, 3] <= 8)
    middle_x, middle_y = boxes[:, 0] + boxes[:, 2] / 2, boxes[:, 1] + boxes[:, 3] / 2
    sides = (
        (middle_x < _EDGE, middle_y),
        (middle_x > width - _EDGE, middle_y),
        (middle_y < _EDGE, middle_x),
        (middle_y > height - _EDGE, middle_x),
    )
    groups = []
    for near, along in sides:
        members = np.flatnonzero(small & near)
        members = members[np.argsort(along[members], kind="stable")]
        steps = np.diff(along[members])
        # A ruler repeats: most steps equal the middle one, or a multiple of it.
        if len(members) >= _TICKS_AT_LEAST and np.median(steps) >= 4:
            ratio = steps / np.median(steps)
            if np.mean(np.abs(ratio - np.rint(ratio)) < 0.15) >= 0.75:
                groups.append([int(number) for number in members])
    return groups


def _corner_marks(boxes: NDArray[np.int32], allowed: NDArray[np.bool_]) -> list[list[int]]:
    reach = boxes[:, :2] + boxes[:, 2:4]
    near = allowed & (reach.max(axis=1) <= _CORNER) & (boxes[:, 0] <= 6) & (boxes[:, 1] <= 6)
    members = np.flatnonzero(near)
    return [[int(number) for number in members]] if len(members) else []


def _outside(boxes: NDArray[np.int32], allowed: NDArray[np.bool_]) -> list[list[int]]:
    rows = _rows_of_letters(boxes, allowed, _LEAST_LETTERS)
    in_rows = {number for row in rows for number in row}
    return rows + [[int(number)] for number in np.flatnonzero(allowed) if int(number) not in in_rows]


def _mark(kind: str, glyphs: _Glyphs, members: NDArray[np.int64], mask: Mask) -> Finding:
    boxes = glyphs.boxes[members]
    x, y = int(boxes[:, 0].min()), int(boxes[:, 1].min())
    right, bottom = int((boxes[:, 0] + boxes[:, 2]).max()), int((boxes[:, 1] + boxes[:, 3]).max())
    top, left = max(0, y - 1), max(0, x - 1)
    part = np.isin(glyphs.labels[top : bottom + 1, left : right + 1], members)
    mask[top : bottom + 1, left : right + 1] |= cv2.dilate(part.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    score = min(1.0, 0.5 + 0.1 * len(members))
    return Finding(kind, x, y, right - x, bottom - y, score, "components")
