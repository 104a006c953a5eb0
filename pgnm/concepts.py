"""Read the sets of unseen concepts on which frozen backbones are probed: MedMNIST files, class folders, splits."""

import hashlib
import importlib
import itertools
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import train_test_split

from pgnm.data import decode_image, load_split
from pgnm.errors import LeakageError, SplitError

PARTS: Final = ("train", "val", "test")
IMAGE_SUFFIXES: Final = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

Image = NDArray[np.uint8]

# Share of the training images that validate where a set brings no validation part, as in most of MedMNIST.
_VAL_SHARE = 0.1
_TEST_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class ConceptPart:
    """Images and labels of one part.

    Attributes:
        images: N images, (H, W) or (H, W, 3) uint8; one array where all have the same shape.
        labels: (N,) int64.
        groups: (N,) text, equal for images that must not be divided between parts; None where nothing is known.
    """

    images: NDArray[np.uint8] | list[Image]
    labels: NDArray[np.int64]
    groups: NDArray[np.object_] | None = None

    def take(self, rows: NDArray) -> "ConceptPart":
        """Return some of the images, in the order of `rows`."""
        images = self.images[rows] if isinstance(self.images, np.ndarray) else [self.images[row] for row in rows]
        return ConceptPart(images, self.labels[rows], None if self.groups is None else self.groups[rows])


@dataclass(frozen=True, slots=True)
class ConceptSet:
    """One set of labelled images, split into train, val and test.

    Attributes:
        name: Name to show.
        class_names: Label of each class index.
        train: Images to train on.
        val: Images to stop on; carved from the training images where the set brings none.
        test: Images to report on.
        carved: Parts that the set did not bring.
    """

    name: str
    class_names: tuple[str, ...]
    train: ConceptPart
    val: ConceptPart
    test: ConceptPart
    carved: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.train.labels) + len(self.val.labels) + len(self.test.labels)

    def parts(self) -> Iterator[tuple[str, ConceptPart]]:
        """Yield the name and content of each part."""
        for name in PARTS:
            yield name, getattr(self, name)


_Parts = tuple[tuple[str, ...], dict[str, ConceptPart]]


def load_concepts(
    place: str | Path, *, name: str = "", seed: int = 0, distinct: bool = False, allow_leakage: bool = False
) -> ConceptSet:
    """Read a set of unseen concepts.

    Args:
        place: A `.npz` in MedMNIST's format; a split folder; a folder with `train`, `val` (or `valid`,
            `validation`, or none) and `test`, each of class folders; a folder of class folders; or `medmnist:NAME` for
            a class of that package.
        name: Name to show; that of the file or folder where left out.
        seed: Seed of the parts that have to be carved.
        distinct: Of a folder, take images with equal pixels once, before parts are carved.
        allow_leakage: Accept a set whose test part shares images with others. Equal images are never carved apart.

    Raises:
        SplitError: Nothing usable there, `medmnist:NAME` without the package, or, where `distinct`, one image under
            two labels.
        LeakageError: The given test part shares images with others, or a split folder tells that its parts do.
    """
    if str(place).startswith("medmnist:"):
        return _load_packaged(str(place).partition(":")[2], seed, allow_leakage)
    path = Path(place)
    if path.is_file():
        return _load_npz(path, seed, allow_leakage)
    if not path.is_dir():
        raise SplitError(f"{path} is neither a file nor a folder; give a MedMNIST .npz, a split or a folder of classes")
    is_split = (path / "split.json").is_file()
    names, parts = _read_split_folder(path, allow_leakage) if is_split else _read_class_folder(path)
    if distinct:
        parts = {part: _distinct(content, f"{path}, {part}") for part, content in parts.items()}
    return _complete(name or path.resolve().name, names, parts, seed, allow_leakage)


def _load_npz(path: Path, seed: int, allow_leakage: bool) -> ConceptSet:
    try:
        with np.load(path, allow_pickle=False) as arrays:
            wanted = {"class_names", *(f"{part}_{kind}" for part in PARTS for kind in ("images", "labels"))}
            names, parts = _from_arrays({name: arrays[name] for name in wanted & set(arrays.files)})
    except (ValueError, TypeError, OSError, zipfile.BadZipFile, KeyError, EOFError) as error:
        raise SplitError(
            f"{path} is not in MedMNIST's format ({error}); expected train_images, train_labels, ..."
        ) from None
    return _complete(path.stem, names, parts, seed, allow_leakage)


def _from_arrays(arrays: dict[str, NDArray]) -> _Parts:
    parts: dict[str, ConceptPart] = {}
    for part in PARTS:
        images, labels = arrays.get(f"{part}_images"), arrays.get(f"{part}_labels")
        if images is None or labels is None or not len(images):
            continue
        if labels.ndim == 2 and labels.shape[1] != 1:
            raise ValueError(f"{part}_labels has {labels.shape[1]} columns; only one label per image can be probed")
        if labels.ndim not in (1, 2) or images.ndim not in (3, 4):
            raise ValueError(f"{part}_images is {images.shape}, {part}_labels {labels.shape}")
        shaped = images.ndim == 3 or (images.ndim == 4 and images.shape[-1] in (1, 3))
        if images.dtype != np.uint8 or not shaped or 0 in images.shape or len(labels) != len(images):
            raise ValueError(f"{part}_images is {images.dtype} {images.shape} with {len(labels)} labels")
        numbers = labels.astype(np.float64)
        if not (np.isfinite(numbers) & (numbers >= 0) & (numbers == np.floor(numbers))).all():
            raise ValueError(f"{part}_labels must be whole numbers from 0 on")
        parts[part] = ConceptPart(images, labels.reshape(-1).astype(np.int64))
    n_classes = 1 + max((int(part.labels.max()) for part in parts.values()), default=-1)
    names = [str(label) for label in arrays.get("class_names", range(n_classes))]
    if len(names) < n_classes:
        raise ValueError(f"class_names has {len(names)} names for {n_classes} classes")
    return tuple(names), parts


def _load_packaged(name: str, seed: int, allow_leakage: bool) -> ConceptSet:
    try:
        medmnist: Any = importlib.import_module("medmnist")
    except ModuleNotFoundError:
        raise SplitError("medmnist is not installed; run: pip install medmnist, or give the .npz file itself") from None
    if name not in medmnist.INFO:
        raise SplitError(f"medmnist has no set called {name!r}; it knows {', '.join(sorted(medmnist.INFO))}")
    folder = Path(medmnist.dataset.DEFAULT_ROOT)
    if not (folder / f"{name}.npz").is_file():
        getattr(medmnist, medmnist.INFO[name]["python_class"])(split="train", download=True)
    return _load_npz(folder / f"{name}.npz", seed, allow_leakage)


def _read_split_folder(path: Path, allow_leakage: bool) -> _Parts:
    split = load_split(path, allow_leakage=allow_leakage)
    parts = {}
    for part in PARTS:
        frame = split.part(part)
        if len(frame):
            images = [decode_image(split.root / name) for name in frame["path"]]
            groups = frame["group"].where(frame["group"] != "", frame["path"])
            labels = frame["class_index"].to_numpy(np.int64, copy=True)
            parts[part] = ConceptPart(images, labels, groups.to_numpy(object))
    return split.class_names, parts


def _read_class_folder(path: Path) -> _Parts:
    spelt = {"train": ("train",), "val": ("val", "valid", "validation"), "test": ("test",)}
    found = {part: next((path / name for name in spelt[part] if (path / name).is_dir()), None) for part in PARTS}
    roots = {part: root for part, root in found.items() if root is not None} or {"train": path}
    folders = (folder for root in roots.values() for folder in root.iterdir() if folder.is_dir())
    names = sorted({folder.name for folder in folders if not folder.name.startswith(".")})
    parts = {}
    for part, root in roots.items():
        files = [(file, i) for i, name in enumerate(names) for file in list_images(root / name)]
        if files:
            images = [decode_image(file) for file, _ in files]
            parts[part] = ConceptPart(images, np.array([label for _, label in files], dtype=np.int64))
    if not parts:
        raise SplitError(f"{path} holds no folders of images; expected one folder per class, or train, val and test")
    return tuple(names), parts


def _distinct(part: ConceptPart, place: str) -> ConceptPart:
    """Keep the first of the images with equal pixels."""
    first: dict[str, int] = {}
    for row, digest in enumerate(pixel_hashes(part.images)):
        earlier = first.setdefault(digest, row)
        if part.labels[earlier] != part.labels[row]:
            raise SplitError(
                f"{place}: image {row} equals image {earlier}, but they are labelled {part.labels[row]} and "
                f"{part.labels[earlier]}; remove one of them"
            )
    return part.take(np.array(sorted(first.values()), dtype=np.int64))


def pixel_hashes(images: NDArray[np.uint8] | list[Image]) -> list[str]:
    """Return a hash of shape and pixels of each image."""
    return [hashlib.sha256(repr(i.shape).encode() + np.ascontiguousarray(i).tobytes()).hexdigest() for i in images]


def list_images(folder: Path) -> list[Path]:
    """Return the image files below `folder`, sorted."""
    return sorted(file for file in folder.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES)


def count_shared(hashes: Mapping[str, set[str]]) -> dict[tuple[str, str], int]:
    """Count the hashes that two parts share; only pairs of parts that share some are named."""
    shared = {(one, other): len(hashes[one] & hashes[other]) for one, other in itertools.combinations(hashes, 2)}
    return {pair: count for pair, count in shared.items() if count}


def tell_shared(shared: Mapping[tuple[str, str], int]) -> str:
    """Return the counts of `count_shared` in words."""
    return ", ".join(f"{count} in {one} and {other}" for (one, other), count in shared.items())


def _complete(
    name: str, class_names: tuple[str, ...], parts: dict[str, ConceptPart], seed: int, allow_leakage: bool
) -> ConceptSet:
    """Carve the parts that are missing out of the training images, stratified by label; equal images stay together."""
    if "train" not in parts:
        raise SplitError(f"{name} holds no training images; expected them under train_images or train/")
    if len(class_names) < 2:
        raise SplitError(f"{name} has {len(class_names)} class; at least two are needed to probe a backbone")
    hashes = {part: pixel_hashes(content.images) for part, content in parts.items()}
    shared = count_shared({part: set(digests) for part, digests in hashes.items()})
    # What validation shares with training does not flatter the figures, and published sets cannot be mended.
    flattering = {pair: count for pair, count in shared.items() if "test" in pair}
    if flattering and not allow_leakage:
        raise LeakageError(
            f"{name} shares images with its test part ({tell_shared(flattering)}); remove them, or, to probe on it all "
            "the same, pass --allow-leakage"
        )
    carved = []
    missing = [(part, share) for part, share in (("test", _TEST_SHARE), ("val", _VAL_SHARE)) if part not in parts]
    if missing:
        parts["train"] = _keep_together(parts["train"], hashes["train"])
    for part, share in missing:
        parts["train"], parts[part] = carve(parts["train"], share, seed)
        carved.append(part)
    return ConceptSet(name, class_names, parts["train"], parts["val"], parts["test"], tuple(carved))


def _keep_together(part: ConceptPart, digests: list[str]) -> ConceptPart:
    """Return a part whose groups also hold equal images together."""
    ties = [digests] if part.groups is None else [digests, part.groups.tolist()]
    n = len(part.labels)
    # Images and what ties them are the two sides of a graph, whose connected parts are the groups.
    ends, count = [], n
    for names in ties:
        codes, tied = np.unique(np.asarray(names, str), return_inverse=True)
        ends.append(count + tied)
        count += len(codes)
    images = np.tile(np.arange(n), len(ties))
    edges = coo_array((np.ones(len(images), bool), (images, np.concatenate(ends))), shape=(count, count))
    groups = connected_components(edges, directed=False)[1][:n]
    return ConceptPart(part.images, part.labels, groups.astype(str).astype(object))


def carve(part: ConceptPart, share: float, seed: int) -> tuple[ConceptPart, ConceptPart]:
    """Split a part in two, stratified by label where every class has at least two groups; groups stay whole.

    Args:
        part: Images to split; where it knows no groups, each image is one. A group counts as its first image's label.
        share: Share of the groups in the second of the two.
        seed: Seed of the draw.
    """
    n = len(part.labels)
    if n < 2:
        raise SplitError(f"{n} image(s) cannot be split in two; add images")
    groups = np.arange(n) if part.groups is None else part.groups.astype(str)
    first_rows, group = np.unique(groups, return_index=True, return_inverse=True)[1:]
    # In the order of the images, so that a part without groups is split as if there were none.
    order = np.argsort(first_rows)
    group, labels = np.argsort(order)[group], part.labels[first_rows[order]]
    n_groups = len(labels)
    if n_groups == 1:
        raise SplitError("images of one group cannot be split in two; add others, or give every part a share")
    n_second = min(max(round(share * n_groups), 1), n_groups - 1)
    counts = np.unique(labels, return_counts=True)[1]
    enough = counts.min() >= 2 and n_second >= len(counts) and n_groups - n_second >= len(counts)
    _, chosen = train_test_split(
        np.arange(n_groups), test_size=n_second, random_state=seed, stratify=labels if enough else None
    )
    second = np.isin(group, chosen)
    return part.take(np.flatnonzero(~second)), part.take(np.flatnonzero(second))
