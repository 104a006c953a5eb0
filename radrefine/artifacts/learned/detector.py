"""Find marks with a small trained network; no training package is needed.

The weights and what they were trained on lie in `weights/`: `mark_detector.onnx`, its settings in `mark_detector.json`
and its card.
"""

import hashlib
import json
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.colours import without_equal_colours
from radrefine.artifacts.detection import Detection
from radrefine.artifacts.even import EvenAreas, add_bars
from radrefine.artifacts.flow import leave_flow
from radrefine.artifacts.learned.arrows import complete_arrows
from radrefine.artifacts.learned.coloured import complete_coloured
from radrefine.artifacts.learned.engines import open_network
from radrefine.artifacts.learned.rims import RimNetwork
from radrefine.artifacts.learned.rulers import complete_rulers
from radrefine.artifacts.learned.straight import complete_straight
from radrefine.artifacts.learned.strokes import complete_strokes
from radrefine.artifacts.learned.verdict import DetectorSettings, Verdict, group_marks, likely_pixels
from radrefine.artifacts.learned.vivid import complete_vivid
from radrefine.errors import UsageError
from radrefine.records import Image

WEIGHTS: Final = Path(__file__).parent / "weights" / "mark_detector.onnx"
"""The weights that come with the package."""

MAX_SIDE: Final = 1024
"""Longest side at which the network sees a picture, px; larger pictures are scaled down for it."""

MAGNIFY: Final = 1.25
"""How much larger the network sees small pictures, whose strokes of one pixel are easier to tell apart then."""

# Pictures are magnified as long as their longest side stays within this many px: on larger ones strokes are wider.
_MAGNIFIED_SIDE: Final = 512

# The network halves the resolution four times.
_MULTIPLE: Final = 16
_BLOCK: Final = 2
_ARROW: Final = "arrow"


class Sight(NamedTuple):
    """What the network itself says of a picture.

    Attributes:
        marks: (4, H / 2, W / 2) float32 logits of the pixels of each 2 x 2 block, of the picture as the network saw it.
        kinds: (9, H / 4, W / 4) float32 logits of the kinds.
    """

    marks: NDArray[np.float32]
    kinds: NDArray[np.float32]


class MarkDetector:
    """Weights ready to run. One instance serves one thread.

    Args:
        weights: ONNX file, with its settings of the same name ending in `.json` beside it.
        engine: What runs the network, one of `radrefine.artifacts.learned.engines.ENGINES`.

    Attributes:
        settings: What goes with the weights.
        rims: What decides about the rims of marks; None leaves them as the network drew them.

    Raises:
        UsageError: A file is missing or is not what its name says.
    """

    def __init__(self, weights: Path = WEIGHTS, engine: str = "opencv") -> None:
        try:
            known = json.loads(weights.with_suffix(".json").read_text())
            score = tuple(float(value) for value in known["score"])
            self.settings = DetectorSettings(tuple(known["kinds"]), float(known["threshold"]), score)  # type: ignore[arg-type]
            self.rims = RimNetwork.from_plain(known["rims"]) if known.get("rims") else None
            self._network = open_network(weights, engine)
        except (OSError, ValueError, KeyError, TypeError, cv2.error) as error:
            raise _bad_weights(weights, error) from None

    def see(self, images: Sequence[Image]) -> list[Sight]:
        """Run the network on some pictures, those of one size together.

        Args:
            images: (H, W) or (H, W, 3) RGB, uint8.

        Returns:
            What it says of each, in their order.
        """
        together: dict[tuple[int, ...], list[tuple[int, NDArray[np.float32]]]] = {}
        for number, image in enumerate(images):
            blocks = _blocks(_scaled(without_equal_colours(image)))
            together.setdefault(blocks.shape, []).append((number, blocks))
        sights: dict[int, Sight] = {}
        for group in together.values():
            blocks = group[0][1] if len(group) == 1 else np.concatenate([blocks for _, blocks in group])
            marks, kinds = self._network.run(blocks)
            sights |= {number: Sight(marks[place], kinds[place]) for place, (number, _) in enumerate(group)}
        return [sights[number] for number in range(len(images))]

    def look(self, image: Image, areas: EvenAreas | None = None, sight: Sight | None = None) -> Verdict:
        """Return what the network says of a picture, with what it is unsure of completed, and flow left.

        Completed are even areas, coloured lines, rulers, straight lines, bright strokes, arrows, rims and white ink, in
        this order.

        Args:
            image: (H, W) or (H, W, 3) RGB, uint8.
            areas: The even areas of the picture, where the caller has them.
            sight: What `see` returned for it, where it was asked before.

        Returns:
            The verdict on every pixel.
        """
        height, width = image.shape[:2]
        scale = look_scale(max(height, width))
        marks, kinds = sight or self.see([image])[0]
        columns, rows = _scaled_size(image)
        logits = _pixels(marks)[:rows, :columns]
        coarse = kinds.reshape(len(kinds), -1).argmax(axis=0).astype(np.uint8).reshape(kinds.shape[1:])
        if scale != 1:
            logits = np.asarray(cv2.resize(logits, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
        least = self.settings.least_logit
        logits = (areas or EvenAreas(image)).complete(logits, least)
        logits = complete_rulers(complete_coloured(image, logits, least), least)
        logits = complete_strokes(image, complete_straight(image, logits, least), least)
        logits, arrows = complete_arrows(image, logits, least)
        if self.rims is not None:
            logits = self.rims.settle(image, logits, least)
        logits = leave_flow(image, complete_vivid(image, logits, least), least)
        step = marks.shape[1] * _BLOCK / coarse.shape[0] / scale
        if _ARROW in self.settings.kinds:
            rows, columns = (places / step for places in np.nonzero(arrows))
            coarse[rows.astype(np.intp), columns.astype(np.intp)] = self.settings.kinds.index(_ARROW)
        return Verdict(logits, coarse, step)


def see_marks(images: Sequence[Image], weights: str = "", engine: str = "opencv") -> list[Sight]:
    """Run the network on some pictures at once, which pays on a GPU; see `MarkDetector.see`.

    Args:
        images: (H, W) or (H, W, 3), uint8.
        weights: ONNX file; the one that comes with the package where empty.
        engine: What runs the network.
    """
    return _of_this_thread(weights, engine).see(images)


def find_learned(image: Image, weights: str = "", engine: str = "opencv", sight: Sight | None = None) -> Detection:
    """Find burned-in marks with the network.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        weights: ONNX file; the one that comes with the package where empty.
        engine: What runs the network.
        sight: What `see_marks` returned for it, where it was asked before.

    Returns:
        Findings and masks; nothing is removed here.
    """
    detector = _of_this_thread(weights, engine)
    areas = EvenAreas(image)
    verdict = detector.look(image, areas, sight)
    findings, masks = group_marks(verdict, detector.settings)
    # Of a bar without words along an edge the network cannot tell whether it is a bar or what surrounds the scan.
    add_bars(areas, findings, masks, verdict.logits.shape)
    return Detection(findings, masks, verdict.logits.shape, likely_pixels(verdict.logits))


def look_scale(side: int) -> float:
    """Return the factor by which the network sees a picture magnified.

    Args:
        side: Longest side of the picture, px.
    """
    if side > _MAGNIFIED_SIDE:
        return min(1.0, MAX_SIDE / side)
    return min(MAGNIFY, _MAGNIFIED_SIDE / side)


@cache
def weights_hash(weights: str = "") -> str:
    """Return the first 16 hex digits of the SHA-256 of the weights and their settings."""
    path = Path(weights) if weights else WEIGHTS
    try:
        data = path.read_bytes() + path.with_suffix(".json").read_bytes()
    except OSError as error:
        raise _bad_weights(path, error) from None
    return hashlib.sha256(data).hexdigest()[:16]


def _scaled_size(image: Image) -> tuple[int, int]:
    """Return width and height at which the network sees a picture, px."""
    height, width = image.shape[:2]
    scale = look_scale(max(height, width))
    return max(1, round(width * scale)), max(1, round(height * scale))


def _scaled(image: Image) -> Image:
    size = _scaled_size(image)
    if size == image.shape[1::-1]:
        return image
    how = cv2.INTER_AREA if size[0] < image.shape[1] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, size, interpolation=how), np.uint8)


def _blocks(image: Image) -> NDArray[np.float32]:
    """Return a picture as the network reads it, 0 to 1, mirrored up to a multiple of 16.

    Returns:
        (1, 12, H / 2, W / 2), or (1, 4, H / 2, W / 2) of a grey picture.
    """
    below, right = (-side % _MULTIPLE for side in image.shape[:2])
    if below or right:
        image = np.asarray(cv2.copyMakeBorder(image, 0, below, 0, right, cv2.BORDER_REFLECT_101), np.uint8)
    planes = image[None] if image.ndim == 2 else image.transpose(2, 0, 1)
    blocks = np.empty((1, len(planes), _BLOCK, _BLOCK, image.shape[0] // _BLOCK, image.shape[1] // _BLOCK), np.float32)
    for channel, plane in enumerate(planes):
        for row, column in np.ndindex(_BLOCK, _BLOCK):
            np.multiply(plane[row::_BLOCK, column::_BLOCK], np.float32(1 / 255), out=blocks[0, channel, row, column])
    return blocks.reshape(1, -1, *blocks.shape[-2:])


def _pixels(blocks: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return (4, H / 2, W / 2) values of blocks as (H, W) values of pixels."""
    _, height, width = blocks.shape
    pixels = np.empty((height * _BLOCK, width * _BLOCK), np.float32)
    for number, (row, column) in enumerate(np.ndindex(_BLOCK, _BLOCK)):
        pixels[row::_BLOCK, column::_BLOCK] = blocks[number]
    return pixels


_threads = threading.local()


def _of_this_thread(weights: str, engine: str) -> MarkDetector:
    """Return the detector of the calling thread: a network of OpenCV's must not run in two threads at once."""
    known: dict[tuple[str, str], MarkDetector] = _threads.__dict__.setdefault("detectors", {})
    if (weights, engine) not in known:
        known[weights, engine] = MarkDetector(Path(weights) if weights else WEIGHTS, engine)
    return known[weights, engine]


def _bad_weights(path: Path, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())  # OpenCV's errors have several lines
    message = f"expected the weights of a mark detector in {path} and its settings beside it, got: {reason}"
    return UsageError(f"{message}; train some with radrefine train-detector")
