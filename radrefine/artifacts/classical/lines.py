"""Complete what joins calipers: find their middles by templates, and the dotted line between two of them."""

from itertools import combinations
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.classical.bank import Centre, cross_bank, find_centre, find_crosses
from radrefine.artifacts.classical.response import Response
from radrefine.artifacts.colours import Plane
from radrefine.records import Finding, Mask

_MOST_CALIPERS: Final = 10
_USUAL_SIZES: Final = (7, 9, 11, 13)
_LEAST_HIDDEN_MATCH: Final = 0.62
# Grey levels by which a line stands out from both of its sides, on average, and the share of its px that do.
_LEAST_RISE: Final = 9.0
_LEAST_SHARE: Final = 0.33
_BESIDE: Final = 3.0
# Dots are as frequent in every quarter of a line; tissue that a line happens to run along is not.
_LEAST_QUARTER: Final = 0.15
_SHORTEST: Final = 12


class Cross(NamedTuple):
    """A caliper with its middle, the side of its box, and the strokes of the template that fits it."""

    x: int
    y: int
    size: int
    shape: str


def place_crosses(response: Response, calipers: list[Finding], mask: Mask) -> list[Cross]:
    """Find the middle of each caliper by correlation, and draw the template that fits into `mask`.

    Args:
        response: See `measure_response`.
        calipers: Marks of that kind.
        mask: (H, W) bool, changed in place: the gap in the middle of an open cross becomes part of the mark.

    Returns:
        Those calipers that a template fits.
    """
    crosses = []
    for found in calipers[:_MOST_CALIPERS]:
        low, high = 0.6 * min(found.width, found.height), 1.15 * max(found.width, found.height) + 2
        bank = tuple(template for template in cross_bank() if low <= len(template.ink) <= high)
        inset_x, inset_y = found.width // 5, found.height // 5
        box = found.x + inset_x, found.y + inset_y, found.width - 2 * inset_x, found.height - 2 * inset_y
        centre = find_centre(response.thin, box, bank)
        if centre is None:
            continue
        template = bank[centre.template]
        size = template.ink.shape[0]
        crosses.append(Cross(centre.x, centre.y, size, template.name.rpartition("_")[0]))
        shape = np.ascontiguousarray(template.ink, np.uint8)
        if crosses[-1].shape == "gapped_plus":
            shape[size // 2, :] = shape[:, size // 2] = 1
        rim = cv2.copyMakeBorder(shape, 1, 1, 1, 1, cv2.BORDER_CONSTANT)
        _draw(mask, np.asarray(cv2.dilate(rim, np.ones((3, 3), np.uint8)), np.uint8), centre)
    return crosses


def find_more_crosses(
    response: Response, findings: list[Finding], crosses: list[Cross], mask: Mask
) -> tuple[list[Finding], list[Cross]]:
    """Find crosses that hang together with a digit or a dotted line and were taken for a part of it.

    Args:
        response: See `measure_response`.
        findings: The marks found; the search stays within dotted lines and single letters among them.
        crosses: Those placed already.
        mask: (H, W) bool of calipers, changed in place.

    Returns:
        The new marks and crosses.
    """
    bank = tuple(one for one in cross_bank() if one.name.startswith(("plus", "cross")) and len(one.ink) in _USUAL_SIZES)
    marks: list[Finding] = []
    more: list[Cross] = []
    for found in findings:
        letter = found.kind in ("text", "probe_mark") and found.width <= 2 * found.height <= 60
        if not letter and found.kind not in ("dotted_line", "caliper"):
            continue
        box = found.x - 2, found.y - 2, found.width + 4, found.height + 4
        for centre in find_crosses(response.thin, box, bank, _LEAST_HIDDEN_MATCH)[:4]:
            if any(abs(centre.x - one.x) + abs(centre.y - one.y) <= one.size // 2 for one in crosses + more):
                continue
            template = bank[centre.template]
            size = len(template.ink)
            more.append(Cross(centre.x, centre.y, size, template.name.rpartition("_")[0]))
            rim = cv2.copyMakeBorder(template.ink.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_CONSTANT)
            _draw(mask, np.asarray(cv2.dilate(rim, np.ones((3, 3), np.uint8)), np.uint8), centre)
            x, y = max(0, centre.x - size // 2), max(0, centre.y - size // 2)
            right, bottom = min(mask.shape[1], x + size), min(mask.shape[0], y + size)
            marks.append(Finding("caliper", x, y, right - x, bottom - y, round(centre.score, 4), "ncc"))
    return marks, more


def find_lines(response: Response, crosses: list[Cross]) -> list[tuple[Finding, Mask]]:
    """Find dotted, dashed and thin lines that join two calipers of one shape.

    Args:
        response: See `measure_response`.
        crosses: The calipers with their middles.

    Returns:
        Findings with the (H, W) bool mask of the line, three px wide.
    """
    found = []
    for first, second in combinations(crosses, 2):
        if first.shape != second.shape or abs(first.size - second.size) > 6:
            continue
        rise = _rise_between(response.thin, first, second)
        if rise is None:
            continue
        line = np.zeros(response.value.shape, np.uint8)
        cv2.line(line, (first.x, first.y), (second.x, second.y), 1, 3)
        x, y, width, height = cv2.boundingRect(np.array([[first.x, first.y], [second.x, second.y]], np.int32))
        mark = Finding("dotted_line", x, y, width, height, round(min(1.0, 0.5 + rise / 60), 4), "profile")
        found.append((mark, line > 0))
    return found


def _rise_between(thin: Plane, first: Cross, second: Cross) -> float | None:
    """Return how far the line between two calipers stands out, grey levels; None where no line can be seen."""
    reach = (first.size + second.size) // 4 + 2
    start, end = (first.x, first.y), (second.x, second.y)
    on_line = np.max([_profile(thin, start, end, aside) for aside in (-1.0, 0.0, 1.0)], axis=0)[reach:-reach]
    if len(on_line) < _SHORTEST:
        return None
    beside = np.max([_profile(thin, start, end, aside) for aside in (-_BESIDE, _BESIDE)], axis=0)[reach:-reach]
    above = on_line - beside >= _LEAST_RISE
    quarters = [float(part.mean()) for part in np.array_split(above, 4)]
    rise = float((on_line - beside).mean())
    seen = rise >= _LEAST_RISE and float(above.mean()) >= _LEAST_SHARE and min(quarters) >= _LEAST_QUARTER
    return rise if seen else None


def _profile(plane: Plane, start: tuple[int, int], end: tuple[int, int], aside: float) -> NDArray[np.float32]:
    """Read a plane along the line from `start` to `end` (x, y), `aside` px beside it, a value per px."""
    begin, finish = np.array(start, np.float64), np.array(end, np.float64)
    length = float(np.hypot(*(finish - begin)))
    along = (finish - begin) / max(length, 1e-9)
    across = np.array([-along[1], along[0]])
    places = np.rint(begin + np.arange(int(length) + 1)[:, None] * along + aside * across).astype(int)
    rows = places[:, 1].clip(0, plane.shape[0] - 1)
    columns = places[:, 0].clip(0, plane.shape[1] - 1)
    return plane[rows, columns].astype(np.float32)


def _draw(mask: Mask, shape: Plane, centre: Centre) -> None:
    """Add a shape to a mask, its middle at `centre`, cut off at the borders."""
    top, left = centre.y - shape.shape[0] // 2, centre.x - shape.shape[1] // 2
    rows = slice(max(0, top), min(mask.shape[0], top + shape.shape[0]))
    columns = slice(max(0, left), min(mask.shape[1], left + shape.shape[1]))
    part = shape[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    mask[rows, columns] |= part > 0
