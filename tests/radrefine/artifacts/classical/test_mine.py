"""Templates proposed from a collection: what repeats from picture to picture."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.radrefine import app
from radrefine.artifacts.classical.bank import load_templates
from radrefine.artifacts.classical.mine import Cluster, Shape, _is_telling, cluster_shapes
from radrefine.errors import SourceError
from radrefine.images import decode_image, encode_png

from .pictures import speckle


def _shape(rng: np.random.Generator, ink: np.ndarray, flips: int = 2) -> Shape:
    noisy = ink.copy()
    for _ in range(flips):
        noisy[rng.integers(ink.shape[0]), rng.integers(ink.shape[1])] ^= True
    return Shape(noisy, "arrow")


def test_shapes_that_are_alike_make_one_cluster() -> None:
    rng = np.random.default_rng(0)
    ring = np.zeros((12, 12), np.uint8)
    cv2.circle(ring, (6, 6), 5, 1, 1)
    bar = np.zeros((12, 12), bool)
    bar[5:7] = True
    pictures = [[_shape(rng, ring > 0), _shape(rng, bar)], [_shape(rng, ring > 0)], [_shape(rng, ring > 0, 0)]]
    clusters = cluster_shapes(pictures)

    assert [len(cluster.images) for cluster in clusters] == [3, 1]
    assert (clusters[0].ink ^ (ring > 0)).sum() <= 2


def test_the_command_writes_templates_that_can_be_read(tmp_path: Path) -> None:
    source = tmp_path / "set" / "US" / "neck"
    source.mkdir(parents=True)
    for number in range(4):
        image = speckle(number, level=40)
        x, y = 20 + 17 * number, 90 - 13 * number
        cv2.arrowedLine(image, (x, y), (x + 14, y), 230, 1, tipLength=0.4)
        (source / f"{number}.png").write_bytes(encode_png(image))
    out = tmp_path / "templates"
    done = CliRunner().invoke(app, ["templates", "mine", str(tmp_path / "set"), "--out", str(out), "--quiet"])

    assert done.exit_code == 0, done.output
    assert len(load_templates(out)) >= 1
    assert decode_image((out / "sheet.png").read_bytes()).ndim == 2

    again = CliRunner().invoke(app, ["templates", "mine", str(tmp_path / "set"), "--out", str(out)])
    assert again.exit_code == 2 and "holds pictures" in again.output


@pytest.mark.parametrize(("seen", "telling"), [(1, False), (20, True)])
def test_shapes_that_match_far_more_often_than_they_were_seen_are_speckle(seen: int, telling: bool) -> None:
    ink = np.zeros((6, 5), np.float32)
    ink[1:5, 1:4] = 3 * seen
    picture = np.zeros((128, 128), np.uint8)
    for place in range(36):
        row, column = 8 + 18 * (place // 6), 8 + 18 * (place % 6)
        picture[row : row + 4, column : column + 3] = 200
    cluster = Cluster({"text": 3 * seen}, ink, 3 * seen, {0, 1, 2})

    assert _is_telling(cluster, [picture] * 3) == telling


def test_a_collection_without_repeats_says_so(tmp_path: Path) -> None:
    from radrefine.artifacts.classical.mine import mine_templates

    source = tmp_path / "US" / "neck"
    source.mkdir(parents=True)
    (source / "a.png").write_bytes(encode_png(speckle()))
    with pytest.raises(SourceError, match="no bright shape repeats"):
        mine_templates(tmp_path, tmp_path / "out")
