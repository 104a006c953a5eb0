"""Choose the regions that are marks, and put together those that make up one mark."""

from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components

from radrefine.areas import grown
from radrefine.artifacts.classical.regions import Regions
from radrefine.artifacts.classical.response import Response
from radrefine.artifacts.classical.scorer import CLASSES, Rows
from radrefine.records import Finding, Mask

LEAST_SCORE: Final = 0.35
# Above this a larger region wins over a surer one inside it.
_SURE: Final = 0.95
_TALLER: Final = 1.3
# The rim of a stroke is softer than its core: so much of the core's rise belongs to the mark.
_RIM: Final = 0.3
_LEAST_RISE: Final = 12
# So many regions are thought of as marks at all, and none below this score.
_MOST_DOUBTS: Final = 150
_LEAST_DOUBT: Final = 0.2
_BESIDE: Final = 2
# The gaps between the strokes of these kinds belong to the mark; those of calipers are filled by their template.
_WITH_GAPS: Final = ("dotted_line",)


class Group(NamedTuple):
    """Regions that make up one mark: their numbers, its kind, its score."""

    members: NDArray[np.int64]
    kind: str
    score: float


def select_regions(regions: Regions, scores: Rows) -> NDArray[np.int64]:
    """Choose the regions that are marks; of those that overlap the surest, or the largest of the sure ones.

    Args:
        regions: See `find_regions`.
        scores: (N, len(CLASSES)), see `Scorer`.

    Returns:
        Their numbers, best first.
    """
    mark = 1 - scores[:, 0]
    wanted = np.flatnonzero(mark >= LEAST_SCORE)
    if not len(wanted):
        return wanted
    rank = np.minimum(mark[wanted], _SURE) * (1 + 0.02 * np.log(regions.boxes[wanted, 4]))
    taken = np.zeros(regions.labels[0].shape, bool)
    chosen = []
    for number in wanted[np.argsort(-rank, kind="stable")]:
        rows, columns, part = regions.part(int(number))
        if not taken[rows, columns][part].any():
            taken[rows, columns] |= part
            chosen.append(number)
    return np.array(chosen, np.int64)


def likely_pixels(regions: Regions, scores: Rows, found: Mask) -> NDArray[np.float32]:
    """Return how likely each pixel belongs to a mark: the score of the region most like one that holds it.

    Args:
        regions: See `find_regions`.
        scores: (N, len(CLASSES)).
        found: (H, W) bool, the marks that were found. Around them regions say little: what stands out is likely ink.

    Returns:
        (H, W), 0 to 1; 0 for all but the regions most like marks.
    """
    mark = 1 - scores[:, 0]
    likely = grown(found, _BESIDE).astype(np.float32)
    numbers = np.argsort(-mark, kind="stable")[:_MOST_DOUBTS]
    for number in numbers[mark[numbers] >= _LEAST_DOUBT]:
        rows, columns, part = regions.part(int(number))
        likely[rows, columns][part] = np.maximum(likely[rows, columns][part], mark[number])
    return likely


def group_regions(regions: Regions, scores: Rows, chosen: NDArray[np.int64]) -> list[Group]:
    """Put together what makes up one mark: letters of a row, strokes of a cross, dots of a line.

    Args:
        regions: See `find_regions`.
        scores: (N, len(CLASSES)).
        chosen: The regions that are marks.

    Returns:
        The marks, each of one kind.
    """
    if not len(chosen):
        return []
    x, y, width, height, _ = regions.boxes[chosen].T.astype(np.float32)
    kinds = 1 + scores[chosen, 1:].argmax(axis=1)
    gap_x = np.maximum(x[:, None], x) - np.minimum((x + width)[:, None], x + width)
    gap_y = np.maximum(y[:, None], y) - np.minimum((y + height)[:, None], y + height)
    taller = np.maximum(height[:, None], height)
    same_row = (gap_y < -0.5 * np.minimum(height[:, None], height)) & (gap_x <= _TALLER * taller)
    touching = np.maximum(gap_x, gap_y) <= 3
    dotted = np.maximum(gap_x, gap_y) <= 8
    text, line, tick, caliper = (kinds == CLASSES.index(kind) for kind in ("text", "dotted_line", "tick", "caliper"))
    broken = line | caliper  # dots of a line, arms of an open cross
    joined = (
        (touching & ~(tick[:, None] | tick)) | (same_row & text[:, None] & text) | (dotted & broken[:, None] & broken)
    )
    joined &= kinds[:, None] == kinds
    count, owners = connected_components(joined, directed=False)
    groups = []
    for number in range(count):
        members = chosen[owners == number]
        weights = regions.boxes[members, 4].astype(np.float32)
        mean = weights @ scores[members] / weights.sum()
        groups.append(Group(members, CLASSES[1 + int(mean[1:].argmax())], float(1 - mean[0])))
    return groups


def draw_group(response: Response, regions: Regions, group: Group) -> tuple[Finding, slice, slice, Mask]:
    """Draw the pixels of a mark, its soft rim included.

    Returns:
        The finding, and rows, columns and the bool mask of the patch that holds it.
    """
    boxes = regions.boxes[group.members]
    x, y = int(boxes[:, 0].min()), int(boxes[:, 1].min())
    right, bottom = int((boxes[:, 0] + boxes[:, 2]).max()), int((boxes[:, 1] + boxes[:, 3]).max())
    shape = response.value.shape
    top, left = max(0, y - 2), max(0, x - 2)
    rows, columns = slice(top, min(shape[0], bottom + 2)), slice(left, min(shape[1], right + 2))
    core = np.zeros((rows.stop - rows.start, columns.stop - columns.start), np.uint8)
    for number in group.members:
        inner_rows, inner_columns, part = regions.part(int(number))
        if regions.is_joined(int(number)) and group.kind not in _WITH_GAPS:
            part = part & (response.thin[inner_rows, inner_columns] >= _LEAST_RISE)
        core[
            inner_rows.start - top : inner_rows.stop - top, inner_columns.start - left : inner_columns.stop - left
        ] |= part.view(np.uint8)
    if group.kind == "caliper":
        core = np.asarray(cv2.morphologyEx(core, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)), np.uint8)
    near = cv2.dilate(core, np.ones((3, 3), np.uint8))
    rise = response.thin[rows, columns]
    least = _RIM * float(rise[core > 0].mean())
    part = (near > 0) | ((cv2.dilate(near, np.ones((3, 3), np.uint8)) > 0) & (rise >= max(least, _LEAST_RISE)))
    found = Finding(group.kind, x, y, right - x, bottom - y, round(group.score, 4), "regions")
    return found, rows, columns, np.asarray(part)
