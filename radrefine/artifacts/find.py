"""Find the marks of one image: every detector once, on one shared response."""

from dataclasses import dataclass

import numpy as np

from radrefine.artifacts.calipers import find_calipers
from radrefine.artifacts.glyphs import find_glyphs
from radrefine.artifacts.lines import find_lines
from radrefine.artifacts.overlays import find_overlays
from radrefine.artifacts.response import measure_response
from radrefine.artifacts.roi import find_field
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
    field = find_field(response.grey)
    if not response.candidates.any() and image.ndim == 2:
        return Detection([], {}, field)
    crosses, caliper_findings, calipers = find_calipers(response)
    lines, line_findings = find_lines(response, calipers)
    masks = {"caliper": crosses, "dotted_line": lines}
    findings = caliper_findings + line_findings
    glyphs, glyph_findings = find_glyphs(response, field, calipers)
    overlays, overlay_findings = find_overlays(image, field)
    for found in glyph_findings + overlay_findings:
        part = overlays if found.kind == "colour_overlay" else glyphs
        rows, columns = (
            slice(max(0, found.y - 1), found.y + found.height + 1),
            slice(max(0, found.x - 1), found.x + found.width + 1),
        )
        mask = masks.setdefault(found.kind, np.zeros(field.shape, bool))
        mask[rows, columns] |= part[rows, columns]
        # A cross is made of strokes too: what lies inside a caliper is no letter of its own.
        if not _mostly_inside(part[rows, columns], crosses[rows, columns]):
            findings.append(found)
    return Detection(findings, masks, field)


def _mostly_inside(part: Mask, other: Mask) -> bool:
    return bool(part.any()) and float((part & other).sum()) > 0.6 * float(part.sum())
