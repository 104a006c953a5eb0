"""Composites for training and measuring a detector: any clean picture, under the conditions of any screen."""

import numpy as np

from radrefine.marks.clutter import add_clutter
from radrefine.marks.draw import MarkedImage, draw_marks, jpeg_coded, random_style
from radrefine.marks.fields import lay_out, masked
from radrefine.marks.views import canvas_size, coded, recoloured, refined_edges, regraded, rescaled, surrounded
from radrefine.records import Image


def composite(
    clean: Image,
    rng: np.random.Generator,
    *,
    size: tuple[int, int] | None = None,
    unmarked: float = 0.15,
    screen: int | None = None,
) -> MarkedImage:
    """Draw marks on a randomised version of `clean`, as some screen would show it.

    The tissue is cropped, magnified, mirrored, regraded, bent into a fan or set into a screen, and cluttered with
    echoes that look like marks; marks are drawn; then the screen is scaled, sharpened or blurred, tinted and coded.

    Args:
        clean: (H, W) or (H, W, 3) RGB uint8 without marks; not changed.
        rng: Source of all choices.
        size: Height and width of the result, px; None keeps those of `clean`.
        unmarked: Share of pictures without any mark.
        screen: Shorter side, px, of the screen for which the marks are made; None takes the picture for all of it.

    Returns:
        The picture with marks and its truth; `clean` there is the randomised picture without marks. Outside the mask
        the two differ by no more than the fringe that scaling leaves and what JPEG adds.
    """
    height, width = clean.shape[:2] if size is None else size
    scene = lay_out(clean, rng, canvas_size(rng, (height, width)))
    picture = regraded(scene.picture, rng)
    if rng.random() < 0.45:
        picture = add_clutter(picture, rng)
    if scene.field is not None:
        picture = masked(picture, scene.field)
        if rng.random() < 0.35:
            picture = surrounded(picture, scene.field, rng)
    if rng.random() < 0.25:
        picture = jpeg_coded(picture, int(rng.integers(40, 96)))
    count = 0 if rng.random() < unmarked else None
    style = None if screen is None else random_style(rng, (screen, screen))
    marked = draw_marks(picture, rng, count=count, layout=scene.layout, style=style)
    marked = rescaled(marked, (height, width), rng)
    if rng.random() < 0.2:
        marked = refined_edges(marked, rng)
    if rng.random() < 0.3:
        marked = recoloured(marked, rng)
    return coded(marked, rng) if rng.random() < 0.45 else marked
