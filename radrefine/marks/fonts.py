"""Letters as coverage: OpenCV's Hershey fonts, PIL's built-in font and the fonts that matplotlib brings."""

import functools
import importlib.util
from pathlib import Path

import cv2
import numpy as np
from PIL import Image as PilImage
from PIL import ImageDraw, ImageFont

from radrefine.marks.ink import SUPERSAMPLE, Coverage, padded

_HERSHEY = {
    "hershey_simplex": cv2.FONT_HERSHEY_SIMPLEX,
    "hershey_plain": cv2.FONT_HERSHEY_PLAIN,
    "hershey_duplex": cv2.FONT_HERSHEY_DUPLEX,
    "hershey_complex": cv2.FONT_HERSHEY_COMPLEX_SMALL,
}
_FILES = {
    "sans": "DejaVuSans.ttf",
    "sans_bold": "DejaVuSans-Bold.ttf",
    "mono": "DejaVuSansMono.ttf",
    "mono_bold": "DejaVuSansMono-Bold.ttf",
    "sans_oblique": "DejaVuSans-Oblique.ttf",
    "serif": "DejaVuSerif.ttf",
}
# Narrow letters of the older scanners: a font squeezed to this share of its width.
_NARROW = {"narrow": ("sans", 0.7), "narrow_bold": ("sans_bold", 0.72), "narrow_default": ("default", 0.75)}
# Letters of 8 to 11 rows of whole pixels, as character generators had them; drawn larger, they show their steps.
_PIXELS = {
    "pixel": ("default", 8),
    "pixel_bold": ("sans_bold", 9),
    "pixel_mono": ("mono", 10),
    "pixel_narrow": ("", 11),
}

FONTS = ("default", *_HERSHEY, *_FILES, *_NARROW, *_PIXELS)
"""Names of the fonts that `text_coverage` knows."""


def text_coverage(text: str, font: str, height: float, stroke: float = 1.0) -> Coverage:
    """Render one line of text.

    Args:
        text: What to write.
        font: One of `FONTS`.
        height: Height of a capital letter, px.
        stroke: Width of the strokes of the Hershey fonts, px.

    Returns:
        (h, w) float32 0-1, trimmed to the ink with one empty pixel around.
    """
    if font in _NARROW:
        wide, share = _NARROW[font]
        sheet = text_coverage(text, wide, height, stroke)
        size = (max(3, round(sheet.shape[1] * share)), sheet.shape[0])
        return np.asarray(cv2.resize(sheet, size, interpolation=cv2.INTER_AREA), np.float32)
    if font in _HERSHEY:
        sheet = _hershey(text, font, height, stroke)
    else:
        sheet = _pixels(text, font, height) if font in _PIXELS else _scalable(text, font, height)
    rows, columns = np.flatnonzero(sheet.max(axis=1) > 0.05), np.flatnonzero(sheet.max(axis=0) > 0.05)
    if not len(rows):
        return np.zeros((1, 1), np.float32)
    return padded(sheet[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1], 1)


def _hershey(text: str, font: str, height: float, stroke: float) -> Coverage:
    face, width = _HERSHEY[font], max(1, round(stroke * SUPERSAMPLE))
    (_, unit), _ = cv2.getTextSize("H", face, 1.0, 1)
    scale = height * SUPERSAMPLE / max(1, unit)
    (columns, rows), below = cv2.getTextSize(text, face, scale, width)
    margin = width + SUPERSAMPLE
    columns, rows = columns + 2 * margin, rows + below + 2 * margin
    sheet = np.zeros((-(-rows // SUPERSAMPLE) * SUPERSAMPLE, -(-columns // SUPERSAMPLE) * SUPERSAMPLE), np.uint8)
    cv2.putText(sheet, text, (margin, rows - below - margin), face, scale, 255, width, cv2.LINE_AA)
    size = (sheet.shape[1] // SUPERSAMPLE, sheet.shape[0] // SUPERSAMPLE)
    return np.asarray(cv2.resize(sheet, size, interpolation=cv2.INTER_AREA), np.float32) / np.float32(255)


def _scalable(text: str, font: str, height: float) -> Coverage:
    face = _face(font, max(5, round(height / 0.72)))
    left, top, right, bottom = face.getbbox(text)
    sheet = PilImage.new("L", (int(right - left) + 4, int(bottom - top) + 4), 0)
    ImageDraw.Draw(sheet).text((2 - left, 2 - top), text, fill=255, font=face)
    return np.asarray(sheet, np.float32) / np.float32(255)


def _pixels(text: str, font: str, height: float) -> Coverage:
    name, size = _PIXELS[font]
    face = _face(name, size) if name else ImageFont.load_default_imagefont()
    left, top, right, bottom = face.getbbox(text)
    sheet = PilImage.new("1", (int(right - left) + 2, int(bottom - top) + 2), 0)
    ImageDraw.Draw(sheet).text((1 - left, 1 - top), text, fill=1, font=face)
    ink = np.asarray(sheet, np.float32)
    zoom = height / (0.72 * size)
    way = cv2.INTER_NEAREST if abs(zoom - round(zoom)) < 0.15 else cv2.INTER_LINEAR
    if zoom < 0.85:
        way = cv2.INTER_AREA
    wanted = (max(2, round(ink.shape[1] * zoom)), max(2, round(ink.shape[0] * zoom)))
    return np.asarray(cv2.resize(ink, wanted, interpolation=way), np.float32)


@functools.lru_cache(maxsize=256)
def _face(font: str, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    folder = _font_folder()
    if font in _FILES and folder is not None:
        return ImageFont.truetype(str(folder / _FILES[font]), size)
    return ImageFont.load_default(size)


@functools.cache
def _font_folder() -> Path | None:
    # matplotlib is located, not imported: importing it takes longer than drawing a thousand marks.
    spec = importlib.util.find_spec("matplotlib")
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent / "mpl-data" / "fonts" / "ttf"
    return folder if (folder / "DejaVuSans.ttf").is_file() else None
