"""Find the marks of one image: regions that stand out, scored, chosen and put together."""

from pathlib import Path
from typing import Final

import cv2
import numpy as np

from radrefine.artifacts.classical.bank import load_templates, match_templates
from radrefine.artifacts.classical.lines import find_lines, find_more_crosses, place_crosses
from radrefine.artifacts.classical.overlays import find_overlays
from radrefine.artifacts.classical.regions import find_regions
from radrefine.artifacts.classical.response import measure_response
from radrefine.artifacts.classical.roi import find_field
from radrefine.artifacts.classical.scorer import load_scorer
from radrefine.artifacts.classical.select import draw_group, group_regions, likely_pixels, select_regions
from radrefine.artifacts.detection import Detection
from radrefine.artifacts.even import EvenAreas, add_bars
from radrefine.artifacts.flow import find_flow, lies_in
from radrefine.records import Finding, Image, Mask

# A drawing of which this share was found already is not reported again.
_SAME_SHARE: Final = 0.5


_Drawn = tuple[Finding, slice, slice, Mask]
"""A mark, its rows and columns, and its pixels there."""


def find_artifacts(image: Image) -> Detection:
    """Find burned-in marks.

    Args:
        image: (H, W) or (H, W, 3), uint8.

    Returns:
        Findings and masks; nothing is removed here.
    """
    response = measure_response(image)
    field = find_field(response.value)
    regions = find_regions(response, field)
    scorer = load_scorer()
    scores = scorer(regions)
    findings: list[Finding] = []
    masks: dict[str, Mask] = {}
    chosen = select_regions(regions, scores)
    drawn: list[_Drawn] = []
    for joined in group_regions(regions, scores, chosen):
        group = joined._replace(score=scorer.calibrated(joined.score))
        drawn.append(draw_group(response, regions, group))
    for found, rows, columns, part in _off_flow(image, drawn):
        findings.append(found)
        masks.setdefault(found.kind, np.zeros(field.shape, bool))[rows, columns] |= part
    if findings:
        calipers = masks.get("caliper", np.zeros(field.shape, bool))
        crosses = place_crosses(response, [found for found in findings if found.kind == "caliper"], calipers)
        hidden, more = find_more_crosses(response, findings, crosses, calipers)
        findings += hidden
        if calipers.any():
            masks["caliper"] = calipers
        for found, line in find_lines(response, crosses + more):
            findings.append(found)
            masks["dotted_line"] = masks.get("dotted_line", np.zeros(field.shape, bool)) | line
    for found, part in find_overlays(image, response):
        rows, columns = slice(found.y, found.y + found.height), slice(found.x, found.x + found.width)
        mask = masks.setdefault(found.kind, np.zeros(field.shape, bool))
        if (mask[rows, columns] & part).sum() < _SAME_SHARE * part.sum():
            findings.append(found)
        mask[rows, columns] |= part
    add_bars(EvenAreas(image), findings, masks, field.shape)
    found = np.logical_or.reduce([np.zeros(field.shape, bool), *masks.values()])
    return Detection(findings, masks, field.shape, likely_pixels(regions, scores, found))


def _off_flow(image: Image, drawn: list[_Drawn]) -> list[_Drawn]:
    """Return the marks that are no colour flow."""
    if image.ndim == 2 or not drawn:
        return drawn
    found = np.zeros(image.shape[:2], bool)
    for _, rows, columns, part in drawn:
        found[rows, columns] |= part
    flow = find_flow(image, found)
    if flow is None:
        return drawn
    return [mark for mark in drawn if not lies_in(mark[3], flow[mark[1], mark[2]])]


def find_templates(image: Image, folder: str) -> Detection:
    """Find what looks like the templates of a folder.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        folder: See `load_templates`.

    Returns:
        Findings and masks; nothing is removed here.
    """
    response = measure_response(image)
    findings: list[Finding] = []
    masks: dict[str, Mask] = {}
    shape = response.value.shape
    for found, ink in match_templates(response, load_templates(Path(folder))):
        mask = masks.setdefault(found.kind, np.zeros(shape, bool))
        mask[found.y : found.y + found.height, found.x : found.x + found.width] |= ink
        findings.append(found)
    soft = np.ones((3, 3), np.uint8)
    grown = {kind: np.asarray(cv2.dilate(mask.astype(np.uint8), soft) > 0) for kind, mask in masks.items()}
    return Detection(findings, grown, shape)
