"""Find the marks of one image: regions that stand out, scored, chosen and put together."""

from dataclasses import dataclass

import numpy as np

from radrefine.artifacts.lines import find_lines, place_crosses
from radrefine.artifacts.regions import find_regions
from radrefine.artifacts.response import measure_response
from radrefine.artifacts.roi import find_field
from radrefine.artifacts.scorer import load_scorer
from radrefine.artifacts.select import draw_group, group_regions, select_regions, strongest_doubt
from radrefine.records import Finding, Image, Mask


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one image.

    Attributes:
        findings: The marks.
        masks: One (H, W) bool mask per kind of mark that was found.
        field: (H, W) bool, the scanned field.
        doubt: Score, 0 to 1, of the region that looks most like a mark among those not found; None where the detector
            does not tell.
    """

    findings: list[Finding]
    masks: dict[str, Mask]
    field: Mask
    doubt: float | None = None


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
    scores = load_scorer()(regions)
    findings: list[Finding] = []
    masks: dict[str, Mask] = {}
    chosen = select_regions(regions, scores)
    for group in group_regions(regions, scores, chosen):
        found, rows, columns, part = draw_group(response, regions, group)
        findings.append(found)
        masks.setdefault(found.kind, np.zeros(field.shape, bool))[rows, columns] |= part
    if "caliper" in masks:
        crosses = place_crosses(response, [found for found in findings if found.kind == "caliper"], masks["caliper"])
        for found, line in find_lines(response, crosses):
            findings.append(found)
            masks["dotted_line"] = masks.get("dotted_line", np.zeros(field.shape, bool)) | line
    return Detection(findings, masks, field, strongest_doubt(regions, scores, masks))
