"""Refine one image: find the marks, fill them, check what is left."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from radrefine.areas import window
from radrefine.artifacts.colours import without_equal_colours
from radrefine.artifacts.detect import Detector, check_detector, detect_marks
from radrefine.artifacts.detection import Detection
from radrefine.artifacts.learned.detector import Sight
from radrefine.artifacts.learned.engines import Engine, check_engine
from radrefine.artifacts.outliers import residual_score
from radrefine.errors import UsageError
from radrefine.fringe import spread_colour
from radrefine.inpaint import Method, check_fill, inpaint
from radrefine.records import Finding, Image, Mask, RefineResult
from radrefine.review import Decision, decide
from radrefine.schema import KINDS

# Pictures with a smaller side, px, are left as they are: speckle shrunk that far looks like letters
# (`tests/benchmarks/detector.py shrunk`).
_LEAST_SIDE: Final = 64
# Grey levels between the darkest and the brightest pixel below which a picture shows nothing, marks included.
_LEAST_RANGE: Final = 9


@dataclass(frozen=True, slots=True)
class RefineOptions:
    """How images are refined.

    Attributes:
        remove: Kinds of marks to remove.
        min_score: Findings below this score are reported and left in place.
        method: How holes are filled.
        radius: Neighbourhood of the fills telea and navier-stokes, px.
        detector: What finds the marks.
        weights: ONNX file of the learned detector; the one that comes with the package where empty.
        keep: Kinds of marks to leave in place.
        templates: Folder of templates to look for beside; see `radrefine.artifacts.classical.bank.load_templates`.
        engine: What runs the network of the learned detector; results differ by rounding alone.
    """

    remove: tuple[str, ...] = KINDS
    min_score: float = 0.5
    method: Method = "texture"
    radius: int = 3
    detector: Detector = "learned"
    weights: str = ""
    keep: tuple[str, ...] = ()
    templates: str = ""
    engine: Engine = "opencv"

    def __post_init__(self) -> None:
        for flag, kinds in (("--remove", self.remove), ("--keep", self.keep)):
            unknown = sorted(set(kinds) - set(KINDS))
            if unknown:
                raise UsageError(f"unknown kinds in {flag}: {', '.join(unknown)}; choose from {', '.join(KINDS)}")
        both = [kind for kind in KINDS if kind in self.keep and kind in self.remove]
        if both and set(self.remove) != set(KINDS):
            raise UsageError(f"--remove and --keep both name {', '.join(both)}; name each kind in one of them")
        if not 0 <= self.min_score <= 1:
            raise UsageError(f"--min-score must lie between 0 and 1, got {self.min_score}")
        check_detector(self.detector)
        check_engine(self.engine)
        check_fill(self.method, self.radius)


def shows_something(image: Image) -> bool:
    """Tell whether a picture is large enough, and has grey levels enough, for marks to be looked for."""
    return min(image.shape[:2]) >= _LEAST_SIDE and bool(np.ptp(image) >= _LEAST_RANGE)


def refine_image(
    image: Image,
    options: RefineOptions | None = None,
    decisions: Sequence[Decision] = (),
    sight: Sight | None = None,
) -> RefineResult:
    """Find the burned-in marks of an image and fill them.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        options: What to remove and how.
        decisions: Those of a person about single marks; the pixels of one to be left stay as they are.
        sight: What the network said of it, where it was asked before (`see_marks` of `learned/detector.py`).

    Returns:
        The refined image, equal to the input outside the mask; mask, findings and residual score.
    """
    options = options or RefineOptions()
    if not shows_something(image):
        return RefineResult(image.copy(), np.zeros(image.shape[:2], bool))
    grey = without_equal_colours(image)
    if grey is not image:  # all that follows looks at one channel then, not at three
        result = refine_image(grey, options, decisions, sight)
        return replace(result, image=np.repeat(result.image[..., None], 3, axis=2))
    detection = detect_marks(
        image, options.detector, options.weights, options.templates, engine=options.engine, sight=sight
    )
    wanted = set(options.remove) - set(options.keep)
    findings = [
        replace(found, removed=found.kind in wanted and found.score >= options.min_score)
        for found in detection.findings
    ]
    findings, to_leave = decide(findings, decisions)
    mask = _pixels_of([found for found in findings if found.removed], detection)
    mask &= ~_pixels_of(to_leave, detection)
    mask |= spread_colour(image, mask, _pixels_of([found for found in findings if not found.removed], detection))
    filled = inpaint(image, mask, method=options.method, radius=options.radius)
    meant_to_stay = [found for found in findings if not found.removed and found.kind not in wanted]
    spared = _pixels_of([*meant_to_stay, *to_leave], detection)
    return RefineResult(filled, mask, findings, residual_score(filled, mask, detection.likely, spared))


def _pixels_of(findings: Iterable[Finding], detection: Detection) -> Mask:
    mask = np.zeros(detection.shape, bool)
    for found in findings:
        # A margin of 1 px holds the soft rim of the strokes.
        place = window((found.x, found.y, found.width, found.height), 1)
        mask[place] |= detection.masks[found.kind][place]
    return mask
