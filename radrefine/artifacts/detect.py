"""Find marks with the detector of one's choice: the rules, the trained network, or both."""

from dataclasses import replace
from typing import Final, Literal, get_args

import numpy as np

from radrefine.artifacts.classical.find import find_artifacts, find_templates
from radrefine.artifacts.detection import Detection
from radrefine.artifacts.learned.detector import Sight, find_learned
from radrefine.errors import UsageError
from radrefine.records import Finding, Image, Mask

Detector = Literal["learned", "classical", "both"]
"""The network that comes with the package, the rules of the paper's recipe, or the marks of either."""

DETECTORS: Final[tuple[str, ...]] = get_args(Detector)

# A mark of the rules of which the network saw this share is the same mark.
_SAME_SHARE: Final = 0.5


def check_detector(name: str) -> None:
    """Raise UsageError where no detector is called `name`."""
    if name not in DETECTORS:
        raise UsageError(f"unknown --detector {name!r}; choose from {', '.join(DETECTORS)}")


def detect_marks(
    image: Image,
    detector: Detector,
    weights: str = "",
    templates: str = "",
    *,
    engine: str = "opencv",
    sight: Sight | None = None,
) -> Detection:
    """Find burned-in marks.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        detector: Which detector looks.
        weights: ONNX file for the network; the one that comes with the package where empty.
        templates: Folder of templates to look for beside; none where empty.
        engine: What runs the network.
        sight: What the network said of the image, where it was asked before.

    Returns:
        Findings and masks; nothing is removed here.
    """
    check_detector(detector)
    found = find_artifacts(image) if detector == "classical" else find_learned(image, weights, engine, sight)
    if detector == "both":
        found = merge_detections(found, find_artifacts(image))
    if templates:
        # Whoever names a template knows the kind of the mark better than a detector.
        merged = merge_detections(find_templates(image, templates), found)
        return replace(merged, likely=found.likely)
    return found


def merge_detections(first: Detection, second: Detection) -> Detection:
    """Return the marks of `first`, and those of `second` that `first` did not see.

    Args:
        first: Its kind and score stand where both saw a mark.
        second: Detection in the same image.

    Returns:
        All marks; how likely the pixels are is what `first` says.
    """
    masks = dict(first.masks)
    seen = np.zeros(first.shape, bool)
    for mask in first.masks.values():
        seen |= mask
    findings = list(first.findings)
    for found in second.findings:
        own = _pixels(second, found)
        if (own & seen).sum() < _SAME_SHARE * own.sum():
            masks[found.kind] = masks.get(found.kind, np.zeros(seen.shape, bool)) | (own & ~seen)
            findings.append(found)
    return Detection(findings, masks, first.shape, first.likely)


def _pixels(detection: Detection, found: Finding) -> Mask:
    mask = np.zeros(detection.shape, bool)
    box = slice(found.y, found.y + found.height), slice(found.x, found.x + found.width)
    mask[box] = detection.masks[found.kind][box]
    return mask
