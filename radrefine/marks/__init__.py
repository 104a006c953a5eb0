"""Burned-in marks with known truth: calipers, text, pictograms and bars, drawn on clean pictures."""

from radrefine.marks.clutter import add_clutter
from radrefine.marks.composite import composite
from radrefine.marks.draw import DRAWN_KINDS, MarkedImage, draw_marks, jpeg_coded, random_style
from radrefine.marks.ink import Style
from radrefine.marks.layout import Layout

__all__ = [
    "DRAWN_KINDS",
    "Layout",
    "MarkedImage",
    "Style",
    "add_clutter",
    "composite",
    "draw_marks",
    "jpeg_coded",
    "random_style",
]
