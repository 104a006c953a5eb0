import itertools
import shutil

import cv2
import numpy as np
import pandas as pd
import pytest

from pgnm.concepts import ConceptPart, carve, load_concepts, pixel_hashes
from pgnm.data import decode_image
from pgnm.errors import LeakageError, SplitError

RNG = np.random.default_rng(0)


def save_npz(path, **counts):
    arrays = {}
    for part, n in counts.items():
        arrays[f"{part}_images"] = RNG.integers(0, 256, (n, 12, 12), dtype=np.uint8)
        arrays[f"{part}_labels"] = (np.arange(n) % 3).reshape(-1, 1).astype(np.uint8)
    np.savez(path, **arrays)
    return path


def write_classes(folder, n=10):
    for name in ("cat", "dog"):
        (folder / name).mkdir(parents=True)
        for i in range(n):
            cv2.imwrite(str(folder / name / f"{i}.png"), RNG.integers(0, 256, (9, 8 + i % 2), dtype=np.uint8))


def test_reads_medmnist_files(tmp_path):
    concepts = load_concepts(save_npz(tmp_path / "smallmnist.npz", train=30, val=6, test=9))
    assert (concepts.name, concepts.class_names, concepts.carved) == ("smallmnist", ("0", "1", "2"), ())
    assert [len(part.labels) for _, part in concepts.parts()] == [30, 6, 9]


def test_carves_a_missing_validation_part_stratified_and_repeatably(tmp_path):
    path = save_npz(tmp_path / "set.npz", train=60, test=9)
    first, second = load_concepts(path, seed=1), load_concepts(path, seed=1)
    assert first.carved == ("val",)
    assert np.bincount(first.val.labels).tolist() == [2, 2, 2]
    assert len(first.train.labels) == 54
    np.testing.assert_array_equal(first.val.images, second.val.images)
    kept = {image.tobytes() for image in first.train.images}
    assert not kept & {image.tobytes() for image in first.val.images}


@pytest.mark.parametrize("parts", [False, True])
def test_reads_class_folders(tmp_path, parts):
    for root in ("train", "test") if parts else (".",):
        write_classes(tmp_path / "animals" / root)
    concepts = load_concepts(tmp_path / "animals")
    assert concepts.class_names == ("cat", "dog")
    assert len(concepts) == (40 if parts else 20)
    assert concepts.carved == (("val",) if parts else ("test", "val"))


def test_takes_valid_for_val_and_leaves_hidden_folders_aside(tmp_path):
    for root in ("train", "valid", "test"):
        write_classes(tmp_path / "animals" / root)
        (tmp_path / "animals" / root / ".cache").mkdir()
    concepts = load_concepts(tmp_path / "animals")
    assert (concepts.class_names, concepts.carved) == (("cat", "dog"), ())


def write_twice(folder, n=10):
    """Write every image of two classes twice, by another name each time."""
    write_classes(folder, n)
    for file in list(folder.rglob("*.png")):
        shutil.copy(file, file.with_name(f"again_{file.name}"))


def test_equal_images_are_never_carved_apart(tmp_path):
    write_twice(tmp_path / "animals")
    concepts = load_concepts(tmp_path / "animals")
    hashes = {name: pixel_hashes(part.images) for name, part in concepts.parts()}
    assert [len(of) for of in hashes.values()] == [28, 4, 8]
    assert not any(set(hashes[one]) & set(hashes[other]) for one, other in itertools.combinations(hashes, 2))
    assert all(of.count(digest) == 2 for of in hashes.values() for digest in of)
    assert np.bincount(concepts.test.labels).tolist() == [4, 4]


def test_images_of_a_group_and_those_equal_to_them_stay_together(make_split):
    split = make_split()
    train = pd.read_csv(split / "train.csv")
    first, second, third = (split.parent / path for path in train["path"][:3])
    second.write_bytes(first.read_bytes())
    train["group"] = ["", "pair", "pair", *train["group"][3:]]
    train.to_csv(split / "train.csv", index=False)
    pd.read_csv(split / "val.csv").head(0).to_csv(split / "val.csv", index=False)
    together = {image.tobytes() for image in (decode_image(one) for one in (first, second, third))}
    for seed in range(5):
        concepts = load_concepts(split, seed=seed)
        held = [sum(image.tobytes() in together for image in part.images) for _, part in concepts.parts()]
        assert sorted(held) == [0, 0, 3]


def test_given_parts_that_share_images_are_refused_unless_accepted(tmp_path):
    write_classes(tmp_path / "animals" / "train")
    shutil.copytree(tmp_path / "animals" / "train", tmp_path / "animals" / "test")
    with pytest.raises(LeakageError, match=r"animals shares images with its test part \(20 in train and test\)"):
        load_concepts(tmp_path / "animals")
    assert len(load_concepts(tmp_path / "animals", allow_leakage=True).test.labels) == 20
    images = RNG.integers(0, 256, (6, 12, 12), dtype=np.uint8)
    labels = np.arange(6) % 3
    np.savez(tmp_path / "set.npz", train_images=images, train_labels=labels, test_images=images, test_labels=labels)
    with pytest.raises(LeakageError, match="6 in train and test"):
        load_concepts(tmp_path / "set.npz")


def test_reads_split_folders(make_split):
    concepts = load_concepts(make_split())
    # The probes' tensors share the memory of the labels, which pandas does not let be written.
    assert all(part.labels.flags.writeable and len(part.labels) for _, part in concepts.parts())


def test_carving_takes_the_share_even_of_rare_classes():
    part = ConceptPart(np.zeros((10, 4, 4), np.uint8), np.array([0] * 9 + [1]))
    first, second = carve(part, 0.2, seed=0)
    assert (len(first.labels), len(second.labels)) == (8, 2)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "neither a file nor a folder"),
        (b"no zip", "not in MedMNIST's format"),
        ({"images": np.zeros(3)}, "no training images"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.zeros((2, 3))}, "3 columns"),
        ({"train_images": np.zeros((2, 4, 4)), "train_labels": np.zeros(2)}, "float64"),
        ({"train_images": np.zeros((2, 3, 4, 4), np.uint8), "train_labels": np.zeros(2, int)}, "uint8"),
        ({"train_images": np.zeros((2, 4, 4, 2), np.uint8), "train_labels": np.zeros(2, int)}, "uint8"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.array([0, -1])}, "whole numbers from 0"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.array([0.5, 1])}, "whole numbers from 0"),
        ({"train_images": np.zeros((2, 4, 4), np.uint8), "train_labels": np.zeros(())}, "train_labels"),
        ({"train_images": np.zeros((9, 4, 4), np.uint8), "train_labels": np.zeros(9)}, "1 class; at least two"),
    ],
)
def test_says_what_is_wrong_with_a_file(tmp_path, content, message):
    path = tmp_path / "set.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(SplitError, match=message):
        load_concepts(path)


def test_an_empty_folder_and_an_unknown_package_set_are_named(tmp_path):
    with pytest.raises(SplitError, match="no folders of images"):
        load_concepts(tmp_path)
    with pytest.raises(SplitError, match="medmnist"):
        load_concepts("medmnist:nosuchmnist")


def test_reads_the_real_sets(shared_data):
    concepts = load_concepts(shared_data / "medmnist" / "braintumormnist_128.npz")
    assert concepts.class_names == ("glioma_tumor", "meningioma_tumor", "pituitary_tumor", "no_tumor")
    assert len(concepts.train.labels) + len(concepts.val.labels) == 2556


def test_groups_are_not_divided_where_a_part_is_carved() -> None:
    images = np.zeros((40, 8, 8), np.uint8)
    part = ConceptPart(images, np.arange(40) % 2, np.array([f"p{n // 4}" for n in range(40)], object))
    first, second = carve(part, 0.2, seed=3)

    assert len(second.labels) == 8 and len(first.labels) == 32
    assert not set(first.groups) & set(second.groups)  # type: ignore[arg-type]
    with pytest.raises(SplitError, match="images of one group cannot be split"):
        carve(part.take(np.arange(4)), 0.5, seed=0)
