"""Find the marks of one image: regions that stand out, scored, chosen and put together."""

from dataclasses import dataclass

import numpy as np

from radrefine.artifacts.regions import find_regions
from radrefine.artifacts.response import measure_response
from radrefine.artifacts.roi import find_field
from radrefine.artifacts.scorer import load_scorer
from radrefine.artifacts.select import draw_group, group_regions, select_regions
from radrefine.records import Finding, Image, Mask


@dataclass(frozen=True, slots=True)
class Detection:
    """What was found in one image.

    Attributes:
        findings: The marks.
        masks: One (H, W) bool mask per kind of mark that was found.
        field: (H, W) bool, the scanned field.
    """

    findings: list[Finding]
    masks: dict[str, Mask]
    field: Mask


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
    for group in group_regions(regions, scores, select_regions(regions, scores)):
        found, rows, columns, part = draw_group(response, regions, group)
        findings.append(found)
        masks.setdefault(found.kind, np.zeros(field.shape, bool))[rows, columns] |= part
    return Detection(findings, masks, field)
