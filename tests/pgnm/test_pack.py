import json

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from cli.pgnm import app
from pgnm.concepts import load_concepts
from pgnm.errors import LeakageError, SplitError, UsageError
from pgnm.pack import PackOptions, pack, resize


def write(path, seed, shape=(40, 50)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@pytest.fixture
def folder(tmp_path):
    for i in range(20):
        write(tmp_path / "set" / ("cyst", "tumour")[i % 2] / f"{i}.png", i)
    return tmp_path / "set"


def test_packs_every_size_in_a_form_that_reads_back(folder, tmp_path):
    info = pack(folder, "cystmnist", tmp_path / "out")
    names = ["cystmnist.json", "cystmnist.npz", "cystmnist_128.npz", "cystmnist_224.npz", "cystmnist_64.npz"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == names
    assert info == json.loads((tmp_path / "out" / "cystmnist.json").read_text())
    assert (info["label"], info["n_channels"]) == ({"0": "cyst", "1": "tumour"}, 1)
    for size, name in ((28, "cystmnist"), (224, "cystmnist_224")):
        concepts = load_concepts(tmp_path / "out" / f"{name}.npz")
        assert concepts.carved == ()
        assert concepts.train.images.shape == (info["n_samples"]["train"], size, size)
    assert sum(info["n_samples"].values()) == 20


def test_the_task_is_called_as_medmnist_calls_it(folder, tmp_path):
    assert pack(folder, "twomnist", tmp_path, PackOptions((28,)))["task"] == "binary-class"
    for i in range(8):
        write(folder / "scar" / f"{i}.png", 50 + i)
    assert pack(folder, "threemnist", tmp_path, PackOptions((28,)))["task"] == "multi-class"


def test_the_same_seed_gives_the_same_images(folder, tmp_path):
    for out in "ab":
        pack(folder, "cystmnist", tmp_path / out, PackOptions((28,), seed=3))
    first, second = (load_concepts(tmp_path / out / "cystmnist.npz") for out in "ab")
    np.testing.assert_array_equal(first.test.images, second.test.images)


def test_colour_is_kept_where_there_is_any(folder, tmp_path):
    write(folder / "cyst" / "colour.png", 99, (30, 30, 3))
    assert pack(folder, "cystmnist", tmp_path, PackOptions((28,)))["n_channels"] == 3


def test_equal_images_count_once_and_conflicting_labels_are_refused(folder, tmp_path):
    write(folder / "cyst" / "copy.png", 0)
    assert sum(pack(folder, "cystmnist", tmp_path, PackOptions((28,)))["n_samples"].values()) == 20
    write(folder / "tumour" / "copy.png", 0)
    with pytest.raises(SplitError, match="equals image 0, but they are labelled 1 and 0"):
        pack(folder, "cystmnist", tmp_path, PackOptions((28,)))


def test_images_shared_between_given_parts_are_refused(tmp_path):
    for i in range(8):
        write(tmp_path / "set" / "train" / "ab"[i % 2] / f"{i}.png", i)
        write(tmp_path / "set" / "test" / "ab"[i % 2] / f"{i}.png", i if i == 4 else 100 + i)
    with pytest.raises(LeakageError, match=r"1 in (train|val) and test"):
        pack(tmp_path / "set", "leaky", tmp_path / "out")
    result = CliRunner().invoke(app, ["pack", str(tmp_path / "set"), "--name", "leaky", "--quiet"])
    assert result.exit_code == 4


def test_images_that_differ_in_what_is_not_written_are_shared_too(tmp_path):
    rng = np.random.default_rng(0)
    grey = rng.integers(0, 256, (30, 40), np.uint8)
    margins = grey.copy()
    margins[:, :2] = 0
    for number, twin in enumerate((np.repeat(grey[..., None], 3, axis=2), margins)):
        for part, image in (("train", grey), ("val", rng.integers(0, 256, (30, 40), np.uint8)), ("test", twin)):
            for label in "ab":
                folder = tmp_path / f"set{number}" / part / label
                folder.mkdir(parents=True)
                noise = rng.integers(0, 256, (30, 40), np.uint8)
                cv2.imwrite(str(folder / "0.png"), image if label == "a" else noise)
        with pytest.raises(LeakageError, match="1 in train and test"):
            pack(tmp_path / f"set{number}", "leaky", tmp_path / "out")


def test_resizing_takes_the_central_square():
    image = np.zeros((20, 60), np.uint8)
    image[:, 20:40] = 200
    assert (resize(image, 10) == 200).all()
    assert resize(image, 40).shape == (40, 40)


@pytest.mark.parametrize(("name", "sizes"), [("a-b", (28,)), ("ok", (4,)), ("ok", ())])
def test_wrong_names_and_sizes_are_refused(folder, tmp_path, name, sizes):
    with pytest.raises(UsageError, match=r"--(name|size)"):
        pack(folder, name, tmp_path, PackOptions(sizes))


def test_files_of_others_are_not_written_over(folder, tmp_path):
    (tmp_path / "dotsmnist.npz").write_text("of somebody")
    with pytest.raises(UsageError, match=r"holds dotsmnist\.npz that no pack wrote"):
        pack(folder, "dotsmnist", tmp_path, PackOptions(sizes=(28,)))
    assert (tmp_path / "dotsmnist.npz").read_text() == "of somebody"

    (tmp_path / "dotsmnist.npz").unlink()
    for sizes in ((28, 64), (64,), (28,)):
        pack(folder, "dotsmnist", tmp_path, PackOptions(sizes=sizes))
