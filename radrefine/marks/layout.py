"""Where marks go: the canvas of a screen and the field of the scan on it."""

from dataclasses import dataclass

import numpy as np

Box = tuple[float, float, float, float]
"""x0, y0, x1, y1, px."""


@dataclass(frozen=True, slots=True)
class Layout:
    """A canvas and the scan on it.

    Attributes:
        height: Rows of the canvas, px.
        width: Columns of the canvas, px.
        scan: Box of the scan; larger than the canvas where the canvas is a crop of it.
        tissue: Whether the scan is all there is to draw on; False where black margins leave room for settings.
    """

    height: int
    width: int
    scan: Box
    tissue: bool = True

    @classmethod
    def whole(cls, shape: tuple[int, ...]) -> "Layout":
        """Return the layout of a picture that is nothing but scan."""
        return cls(shape[0], shape[1], (0.0, 0.0, float(shape[1]), float(shape[0])))

    @property
    def canvas(self) -> Box:
        """The box of the canvas."""
        return 0.0, 0.0, float(self.width), float(self.height)

    @property
    def seen(self) -> Box:
        """The part of the scan that lies on the canvas, or the canvas where less than 16 px of it do."""
        x0, y0 = max(0.0, self.scan[0]), max(0.0, self.scan[1])
        x1, y1 = min(float(self.width), self.scan[2]), min(float(self.height), self.scan[3])
        return (x0, y0, x1, y1) if min(x1 - x0, y1 - y0) >= 16 else self.canvas

    def spot(self, rng: np.random.Generator, low: float = 0.05, high: float = 0.95) -> tuple[float, float]:
        """Draw a point of the seen scan, between the shares `low` and `high` of its sides."""
        x0, y0, x1, y1 = self.seen
        return x0 + float(rng.uniform(low, high)) * (x1 - x0), y0 + float(rng.uniform(low, high)) * (y1 - y0)

    def corner(self, rng: np.random.Generator, width: float, height: float) -> tuple[float, float]:
        """Draw the top left point of a thing of width by height, mostly near a corner, at times cut by the edge."""
        x0, y0, x1, y1 = self.canvas if rng.random() < 0.4 else self.seen
        if rng.random() < 0.2:
            return (
                float(rng.uniform(x0, max(x0 + 1.0, x1 - width))),
                float(rng.uniform(y0, max(y0 + 1.0, y1 - height))),
            )
        in_x, in_y = float(rng.uniform(-0.15, 0.6)) * width, float(rng.uniform(-0.1, 0.6)) * height
        x = x0 + in_x if rng.random() < 0.5 else x1 - width - in_x
        return x, y0 + in_y if rng.random() < 0.35 else y1 - height - in_y
