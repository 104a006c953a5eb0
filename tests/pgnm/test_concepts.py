import cv2
import numpy as np
import pytest

from pgnm.concepts import ConceptPart, carve, load_concepts
from pgnm.errors import SplitError

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
