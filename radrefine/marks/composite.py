"""Composites for training and measuring a detector: any clean picture, under the conditions of any screen."""

import cv2
import numpy as np

from radrefine.marks.clutter import add_clutter
from radrefine.marks.draw import MarkedImage, draw_marks, jpeg_coded
from radrefine.marks.ink import VISIBLE
from radrefine.records import Finding, Image, Mask


def composite(
    clean: Image, rng: np.random.Generator, *, size: tuple[int, int] | None = None, unmarked: float = 0.15
) -> MarkedImage:
    """Draw marks on a randomised version of `clean`: cropped, scaled, mirrored, regraded, cluttered, recoded.

    The marks are drawn before or after the picture is scaled down, so that both crisp and smeared ones occur.

    Args:
        clean: (H, W) or (H, W, 3) RGB uint8 without marks; not changed.
        rng: Source of all choices.
        size: Height and width of the result, px; None keeps those of `clean`.
        unmarked: Share of pictures without any mark.

    Returns:
        The picture with marks and its truth; `clean` there is the randomised picture without marks.
    """
    height, width = clean.shape[:2] if size is None else size
    # A screen that is shrunk afterwards leaves marks that are small, soft and pale.
    shrink = float(rng.uniform(1.2, 2.2)) if rng.random() < 0.35 else 1.0
    picture = _view(clean, rng, (round(height * shrink), round(width * shrink)))
    picture = _regraded(picture, rng)
    if rng.random() < 0.35:
        picture = add_clutter(picture, rng)
    if rng.random() < 0.15:
        picture = _on_screen(picture, rng)
    count = 0 if rng.random() < unmarked else None
    marked = draw_marks(picture, rng, count=count)
    if shrink > 1:
        marked = _shrunk(marked, (height, width))
    if rng.random() < 0.5:
        quality = int(rng.integers(35, 96))
        image, below = jpeg_coded(marked.image, quality), jpeg_coded(marked.clean, quality)
        return MarkedImage(image, marked.mask, marked.findings, marked.kind_map, below)
    return marked


def _view(clean: Image, rng: np.random.Generator, size: tuple[int, int]) -> Image:
    """Return a part of `clean`, mirrored at times, at `size`."""
    share = float(rng.uniform(0.55, 1.0))
    rows, columns = max(16, round(clean.shape[0] * share)), max(16, round(clean.shape[1] * share))
    top, left = (
        int(rng.integers(0, full - part + 1)) for full, part in zip(clean.shape, (rows, columns), strict=False)
    )
    part = clean[top : top + rows, left : left + columns]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    way = cv2.INTER_AREA if rows > size[0] else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(np.ascontiguousarray(part), (size[1], size[0]), interpolation=way), np.uint8)


def _regraded(picture: Image, rng: np.random.Generator) -> Image:
    grey = np.linspace(0, 1, 256)
    levels = grey ** float(np.exp(rng.normal(0, 0.25)))
    levels = 0.5 + (levels - 0.5) * float(rng.uniform(0.75, 1.2)) + float(rng.uniform(-0.08, 0.12))
    levels *= np.minimum(1, grey * 10)  # black surroundings stay black, and near-black near it
    table = np.rint(np.clip(levels, 0, 1) * 255).astype(np.uint8)
    return table[picture]


def _on_screen(picture: Image, rng: np.random.Generator) -> Image:
    """Shrink the picture into a black screen, with room for text beside it."""
    height, width = picture.shape[:2]
    share = rng.uniform(0.7, 0.95, 2)
    rows, columns = round(height * float(share[0])), round(width * float(share[1]))
    screen = np.zeros_like(picture)
    top, left = int(rng.integers(0, height - rows + 1)), int(rng.integers(0, width - columns + 1))
    small = cv2.resize(picture, (columns, rows), interpolation=cv2.INTER_AREA)
    screen[top : top + rows, left : left + columns] = small
    return screen


def _shrunk(marked: MarkedImage, size: tuple[int, int]) -> MarkedImage:
    """Return `marked` at `size`; its mask is again where a change can be seen."""
    wanted = (size[1], size[0])
    image, clean = (
        np.asarray(cv2.resize(picture, wanted, interpolation=cv2.INTER_AREA), np.uint8)
        for picture in (marked.image, marked.clean)
    )
    change = cv2.absdiff(image, clean)
    mask: Mask = np.asarray((change.max(axis=2) if change.ndim == 3 else change) >= VISIBLE, bool)
    image[~mask] = clean[~mask]
    # Each pixel takes the kind of the marks that were shrunk into it.
    factor = 2 * int(np.ceil(marked.mask.shape[0] / size[0])) + 1
    spread = cv2.dilate(marked.kind_map, np.ones((factor, factor), np.uint8))
    kind_map = np.asarray(cv2.resize(spread, wanted, interpolation=cv2.INTER_NEAREST), np.uint8)
    kind_map[~mask] = 0
    ratio = (size[1] / marked.mask.shape[1], size[0] / marked.mask.shape[0])
    findings = [small for finding in marked.findings if (small := _moved(finding, ratio, mask)) is not None]
    return MarkedImage(image, mask, findings, kind_map, clean)


def _moved(finding: Finding, ratio: tuple[float, float], mask: Mask) -> Finding | None:
    """Return the finding's box on the shrunk picture, drawn tight around what is left of it; None if nothing is."""
    left, top = int(finding.x * ratio[0]), int(finding.y * ratio[1])
    right = min(mask.shape[1], int(np.ceil((finding.x + finding.width) * ratio[0])))
    bottom = min(mask.shape[0], int(np.ceil((finding.y + finding.height) * ratio[1])))
    part = mask[top:bottom, left:right]
    if not part.any():
        return None
    rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
    width, height = int(columns[-1] - columns[0]) + 1, int(rows[-1] - rows[0]) + 1
    return Finding(
        finding.kind, left + int(columns[0]), top + int(rows[0]), width, height, finding.score, finding.detector, False
    )
