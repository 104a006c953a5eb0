"""Propose templates from a collection: cluster bright shapes that repeat from picture to picture."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from radrefine.artifacts.classical.bank import count_matches
from radrefine.artifacts.classical.regions import find_regions
from radrefine.artifacts.classical.response import Response, measure_response
from radrefine.artifacts.classical.roi import find_field
from radrefine.artifacts.classical.scorer import CLASSES, load_scorer
from radrefine.artifacts.colours import Plane
from radrefine.catalog import Entry, open_source
from radrefine.errors import ImageError, SourceError, UsageError
from radrefine.files import write_bytes
from radrefine.images import decode_image, encode_png
from radrefine.members import read_bytes
from radrefine.progress import Progress, ProgressCallback, ignore_progress
from radrefine.records import Image, Mask

# Even what the detector takes for tissue is looked at, as long as it does so with some doubt: shapes that repeat
# exactly are no tissue.
_LEAST_SCORE: Final = 0.05
_SIDES: Final = (4, 64)
_LEAST_ALIKE: Final = 0.8
_MOST_PER_IMAGE: Final = 40
_MOST_CLUSTERS: Final = 2000
# A proposal is tried on so many of the pictures, none larger than so many px. What matches more than so many times in
# each, and so many times as often as it was seen, is speckle.
_TRIALS: Final = 24
_LARGEST_TRIAL: Final = 2 * 2**20
_MOST_MATCHES: Final = 8
_MOST_SEEN: Final = 3
_TILE: Final = 72


class Shape(NamedTuple):
    """A bright shape of one picture.

    Attributes:
        ink: Its pixels in their box.
        kind: The class that the detector gives it.
        view: (72, 72) uint8, the picture around it, the box framed; None where it is not to be shown.
    """

    ink: Mask
    kind: str
    view: Image | None = None


@dataclass
class Cluster:
    """Shapes that are alike.

    Attributes:
        kind: The commonest class of its members.
        total: (h, w) float32, how often each pixel was part of the shape.
        count: Members.
        images: Numbers of the pictures that they come from.
        view: The first of them in its picture.
    """

    kinds: dict[str, int]
    total: NDArray[np.float32]
    count: int
    images: set[int]
    view: Image | None = None

    @property
    def kind(self) -> str:
        """Return the commonest class of the members."""
        return max(sorted(self.kinds), key=lambda kind: self.kinds[kind])

    @property
    def ink(self) -> Mask:
        """Return the pixels that most members have."""
        return np.asarray(self.total >= 0.5 * self.count)


def bright_shapes(image: Image, response: Response | None = None) -> list[Shape]:
    """Return the shapes of a picture that may be marks.

    Args:
        image: (H, W) or (H, W, 3), uint8.
        response: See `measure_response`, where it is known.

    Returns:
        Shapes of 4 to 64 px, those most like marks first, none within another.
    """
    response = response or measure_response(image)
    regions = find_regions(response, find_field(response.value))
    scores = load_scorer()(regions)
    mark = 1 - scores[:, 0]
    taken = np.zeros(response.value.shape, bool)
    shapes: list[Shape] = []
    for number in np.argsort(-mark, kind="stable"):
        if mark[number] < _LEAST_SCORE or len(shapes) == _MOST_PER_IMAGE:
            break
        rows, columns, part = regions.part(int(number))
        fits = all(_SIDES[0] <= side <= _SIDES[1] for side in part.shape)
        if fits and not regions.is_joined(int(number)) and not taken[rows, columns][part].any():
            taken[rows, columns] |= part
            kind = CLASSES[1 + int(scores[number, 1:].argmax())]
            shapes.append(Shape(part, kind, _view(image, rows, columns)))
    return shapes


def cluster_shapes(pictures: Iterable[list[Shape]]) -> list[Cluster]:
    """Put together the shapes that are alike: nearly the same size, and correlated by 0.8.

    Args:
        pictures: The shapes of each picture.

    Returns:
        Clusters, those that occur in most pictures first.
    """
    clusters: list[Cluster] = []
    for number, shapes in enumerate(pictures):
        for shape in shapes:
            best = max(
                ((_likeness(cluster, shape.ink), index) for index, cluster in enumerate(clusters)), default=(0.0, -1)
            )
            if best[0] >= _LEAST_ALIKE:
                cluster = clusters[best[1]]
                cluster.total += _fitted(shape.ink, cluster.total.shape)
                cluster.count += 1
                cluster.images.add(number)
                cluster.kinds[shape.kind] = cluster.kinds.get(shape.kind, 0) + 1
            elif len(clusters) < _MOST_CLUSTERS:
                clusters.append(Cluster({shape.kind: 1}, shape.ink.astype(np.float32), 1, {number}, shape.view))
    return sorted(clusters, key=lambda cluster: (-len(cluster.images), -cluster.count))


def mine_templates(
    src: Path,
    out: Path,
    *,
    modality: str | None = None,
    limit: int = 500,
    count: int = 24,
    least_images: int = 3,
    progress: ProgressCallback = ignore_progress,
) -> list[Path]:
    """Write the shapes that repeat in a collection as templates, with a sheet to look at.

    Args:
        src: A folder or archive of images; only ultrasound is looked at.
        out: Folder for `kind_NNN.png`, white on black, and `sheet.png`.
        modality: The modality of every image; None takes it from the path.
        limit: Images to look at.
        count: Templates to write at most.
        least_images: Pictures in which a shape must occur.
        progress: Receives images done.

    Returns:
        The templates, the commonest first.

    Raises:
        SourceError: The source is missing, or no shape repeats in it.
        UsageError: There are pictures in `out`: those of others, or templates that somebody may have chosen among.
    """
    if next(out.glob("*.png"), None) is not None:
        raise UsageError(f"--out {out} holds pictures, templates perhaps; choose another folder")
    looked_at = 0
    trials: list[Plane] = []

    def pictures() -> Iterator[list[Shape]]:
        nonlocal looked_at
        for entry in open_source(src, modality=modality).entries():
            if looked_at == limit:
                return
            if isinstance(entry, Entry) and entry.modality == "US":
                try:
                    image = decode_image(read_bytes(entry.locator))
                except (ImageError, OSError):
                    continue  # clean names what cannot be read
                looked_at += 1
                response = measure_response(image)
                shapes = bright_shapes(image, response)
                if len(trials) < _TRIALS and response.thin.size <= _LARGEST_TRIAL:
                    trials.append(response.thin)
                yield shapes
                progress(Progress("mining", looked_at, limit))

    repeated = (cluster for cluster in cluster_shapes(pictures()) if len(cluster.images) >= least_images)
    chosen = list(itertools.islice((cluster for cluster in repeated if _is_telling(cluster, trials)), count))
    if not chosen:
        raise SourceError(
            f"no bright shape repeats in {least_images} of the {looked_at} ultrasound images of {src}; "
            "name more images with --limit, or fewer with --least-images"
        )
    out.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, cluster in enumerate(chosen, start=1):
        paths.append(out / f"{cluster.kind}_{number:03d}.png")
        write_bytes(paths[-1], encode_png(cluster.ink.astype(np.uint8) * 255))
    write_bytes(out / "sheet.png", encode_png(_sheet(chosen)))
    return paths


def _is_telling(cluster: Cluster, trials: list[Plane]) -> bool:
    """Tell whether a template of the cluster would match little else than what it was made from."""
    ink = cluster.ink
    if not trials or ink.all() or not ink.any():
        return bool(ink.any() and not ink.all())
    matches = sum(count_matches(thin, ink) for thin in trials) / len(trials)
    return matches <= max(_MOST_MATCHES, _MOST_SEEN * cluster.count / len(cluster.images))


def _view(image: Image, rows: slice, columns: slice) -> Image:
    """Cut out the surroundings of a box, twice as large as the box itself, and frame the box."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    side = max(rows.stop - rows.start, columns.stop - columns.start) + 4
    around = np.pad(grey, side)
    top, left = ((part.start + part.stop) // 2 for part in (rows, columns))
    part = np.ascontiguousarray(around[top : top + 2 * side, left : left + 2 * side])
    view = np.asarray(cv2.resize(part, (_TILE, _TILE), interpolation=cv2.INTER_NEAREST), np.uint8)
    scale = _TILE / (2 * side)
    corners = [
        (round((columns_at - left + side) * scale), round((rows_at - top + side) * scale))
        for columns_at, rows_at in ((columns.start - 1, rows.start - 1), (columns.stop, rows.stop))
    ]
    cv2.rectangle(view, corners[0], corners[1], 255, 1)
    return view


def _likeness(cluster: Cluster, ink: Mask) -> float:
    shape = cluster.total.shape
    if abs(shape[0] - ink.shape[0]) > 1 or abs(shape[1] - ink.shape[1]) > 1:
        return 0.0
    mean = cluster.total * np.float32(1 / cluster.count)
    return float(cv2.matchTemplate(_rimmed(mean), _rimmed(_fitted(ink, shape)), cv2.TM_CCOEFF_NORMED)[0, 0])


def _rimmed(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.pad(values, 1)


def _fitted(ink: Mask, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Cut or pad a shape to another size, its top left corner where it was."""
    fitted = np.zeros(shape, np.float32)
    rows, columns = min(shape[0], ink.shape[0]), min(shape[1], ink.shape[1])
    fitted[:rows, :columns] = ink[:rows, :columns]
    return fitted


def _sheet(clusters: list[Cluster]) -> Image:
    """Draw every template enlarged, beside it one of its places, with its number, kind and how often it occurs."""
    tiles = []
    for number, cluster in enumerate(clusters, start=1):
        tile = np.zeros((_TILE + 32, 2 * _TILE), np.uint8)
        ink = cluster.ink.astype(np.uint8) * 255
        factor = max(1, _TILE // max(ink.shape))
        large = np.repeat(np.repeat(ink, factor, axis=0), factor, axis=1)[:_TILE, :_TILE]
        tile[: large.shape[0], : large.shape[1]] = large
        if cluster.view is not None:
            tile[:_TILE, _TILE:] = cluster.view
        for line, text in enumerate((f"{number:03d} {cluster.kind}", f"{cluster.count}x in {len(cluster.images)}")):
            cv2.putText(tile, text, (2, _TILE + 12 + 14 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 200, 1, cv2.LINE_AA)
        tiles.append(np.pad(tile, 2, constant_values=60))
    tiles += [np.zeros_like(tiles[0])] * (-len(tiles) % 6)
    return np.concatenate([np.concatenate(tiles[row : row + 6], axis=1) for row in range(0, len(tiles), 6)])
