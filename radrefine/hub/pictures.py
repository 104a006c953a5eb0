"""Pictures for the card of a data set: counts, and where images are published some of them."""

import io
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from radrefine.hub.content import HUB_NAMES, SplitFolder

_MOST_CLASSES = 40
_SAMPLES = 8
_CELL = 192


def draw_counts(split: SplitFolder) -> bytes:
    """Draw the number of images per class and split, the largest classes first, as a PNG."""
    counts = np.array(
        [
            frame["class_index"].value_counts().reindex(range(len(split.class_names)), fill_value=0)
            for frame in split.frames.values()
        ]
    )
    order = np.argsort(-counts.sum(axis=0), kind="stable")[:_MOST_CLASSES]
    figure = Figure(figsize=(8, 1.2 + 0.22 * len(order)), layout="constrained")
    axes = figure.add_subplot()
    left = np.zeros(len(order))
    for part, row, colour in zip(split.frames, counts[:, order], ("#0072b2", "#e69f00", "#009e73"), strict=False):
        axes.barh(range(len(order)), row, left=left, label=HUB_NAMES[part], color=colour)
        left += row
    axes.set_yticks(range(len(order)), [split.class_names[index] for index in order], fontsize=8)
    axes.invert_yaxis()
    axes.set_xlabel("images")
    left_out = len(split.class_names) - len(order)
    axes.set_title(f"{left_out} smaller classes not shown" if left_out else "", fontsize=8)
    axes.legend(fontsize=8)
    return _to_png(figure)


def draw_samples(split: SplitFolder) -> bytes:
    """Draw refined images with the outline of what was replaced, spread over the masks, as a PNG."""
    folder = split.masks or split.root
    known = {path for frame in split.frames.values() for path in frame["path"]}
    names = [name for name in split.mask_names() if name in known]
    chosen = [names[int(n)] for n in np.linspace(0, len(names) - 1, min(_SAMPLES, len(names)))]
    cells = [_outline(split.root / name, folder / name) for name in chosen]
    cells += [np.full((_CELL, _CELL, 3), 255, np.uint8)] * (-len(cells) % 4)
    rows = [np.hstack(cells[start : start + 4]) for start in range(0, len(cells), 4)]
    sheet = np.vstack(rows) if rows else np.full((_CELL, _CELL, 3), 255, np.uint8)
    return bytes(cv2.imencode(".png", sheet)[1])


def _outline(image_file: Path, mask_file: Path) -> Any:
    """Return a square cell with the image and the outline of its mask; white where either cannot be read."""
    cell = np.full((_CELL, _CELL, 3), 255, np.uint8)
    image = cv2.imdecode(np.fromfile(image_file, np.uint8), cv2.IMREAD_COLOR)
    mask = cv2.imdecode(np.fromfile(mask_file, np.uint8), cv2.IMREAD_GRAYSCALE)
    if image is None or mask is None:
        return cell
    scale = _CELL / max(image.shape[:2])
    size = max(1, round(image.shape[1] * scale)), max(1, round(image.shape[0] * scale))
    image = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    mask = cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST)
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(image, outlines, -1, (0, 200, 255), 1)
    cell[: size[1], : size[0]] = image
    return cell


def _to_png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    FigureCanvasAgg(figure)
    # Without the version of the drawing library, so that the same data makes the same file.
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
