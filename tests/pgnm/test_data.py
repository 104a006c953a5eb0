"""Reading split folders, decoding, augmenting and batching."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image as PillowImage

from pgnm.config import JUDGED_SHARE, Recipe
from pgnm.data import build_loader, decode_image, images, load_split, loader
from pgnm.data.images import ImageStore
from pgnm.data.loader import seeded
from pgnm.data.transforms import eval_transform, train_transform
from pgnm.engine.prepare import class_weights
from pgnm.errors import LeakageError, SplitError, UsageError

MakeSplit = Callable[..., Path]
RECIPE = Recipe(size=16, batch_size=8, grid=4, workers=0)


def batches(folder: Path, recipe: Recipe = RECIPE, *, epoch: int = 0, **options: int) -> list[torch.Tensor]:
    loader = build_loader(load_split(folder), "train", recipe, train=True, **options)
    return [tensor for batch in loader.epoch(epoch) for tensor in batch]


def equal(one: list[torch.Tensor], other: list[torch.Tensor]) -> bool:
    return len(one) == len(other) and all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_a_split_is_read_with_its_classes_and_parts(make_split: MakeSplit) -> None:
    split = load_split(make_split())
    assert split.class_names[2] == "US__breast__benign"
    assert [len(split.part(part)) for part in ("train", "val", "test")] == [24, 9, 6]
    assert split.class_counts().tolist() == [8, 8, 8]
    assert set(split.hashes) == {"train.csv", "val.csv", "test.csv", "classes.csv", "split.json"}


@pytest.mark.parametrize("column", ["path", "group"])
def test_an_image_in_two_parts_is_refused_unless_allowed(make_split: MakeSplit, column: str) -> None:
    folder = make_split()
    train, val = (pd.read_csv(folder / f"{part}.csv") for part in ("train", "val"))
    val.loc[0, column] = train.loc[3, column]
    val.to_csv(folder / "val.csv", index=False)
    with pytest.raises(LeakageError, match=column) as caught:
        load_split(folder)
    assert caught.value.exit_code == 4
    assert len(load_split(folder, allow_leakage=True).val) == 9


def test_a_path_that_is_spelt_otherwise_is_the_same_image(make_split: MakeSplit) -> None:
    folder = make_split()
    train, val = (pd.read_csv(folder / f"{part}.csv") for part in ("train", "val"))
    val.loc[0, "path"] = "./" + train.loc[3, "path"].replace("/", "//")
    val.to_csv(folder / "val.csv", index=False)
    with pytest.raises(LeakageError, match="1 path"):
        load_split(folder)


def test_a_proof_that_tells_of_shared_files_is_believed(make_split: MakeSplit) -> None:
    folder = make_split()
    about = json.loads((folder / "split.json").read_text())
    pair = {"kind": "file", "path_a": "a.png", "part_a": "train", "path_b": "b.png", "part_b": "test"}
    about["proof"] |= {"shared_file_hashes": 2, "offending": [pair]}
    (folder / "split.json").write_text(json.dumps(about))
    with pytest.raises(LeakageError, match="shared_file_hashes: 2") as caught:
        load_split(folder)
    assert "a.png (train) and b.png (test)" in str(caught.value)


def test_a_folder_that_is_no_split_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="radrefine split"):
        load_split(tmp_path)


def test_a_class_outside_the_list_names_its_image(make_split: MakeSplit) -> None:
    folder = make_split()
    frame = pd.read_csv(folder / "test.csv")
    frame.loc[1, "class_index"] = 3
    frame.to_csv(folder / "test.csv", index=False)
    with pytest.raises(SplitError, match="the class 3"):
        load_split(folder)


def test_decoding_keeps_grey_grey_and_colour_in_rgb_order(tmp_path: Path) -> None:
    grey = np.arange(48, dtype=np.uint8).reshape(6, 8)
    colour = np.random.default_rng(0).integers(0, 256, (6, 8, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "grey.png"), grey)
    cv2.imwrite(str(tmp_path / "colour.png"), colour[..., ::-1])
    assert np.array_equal(decode_image(tmp_path / "grey.png"), grey)
    assert np.array_equal(decode_image(tmp_path / "colour.png"), colour)


@pytest.mark.parametrize("content", [b"", b"this is text"])
def test_a_file_that_is_no_image_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "broken.png").write_bytes(content)
    with pytest.raises(SplitError, match=r"broken\.png"):
        decode_image(tmp_path / "broken.png")


@pytest.mark.parametrize(
    ("name", "pixels"),
    [
        ("deep.png", np.full((6, 8), 4095, np.uint16)),
        ("deep.tif", np.full((6, 8), 4095, np.int32)),
        ("deep.tif", np.full((6, 8), 0.5, np.float32)),
    ],
)
def test_pixels_that_need_a_window_are_refused(tmp_path: Path, name: str, pixels: np.ndarray) -> None:
    PillowImage.fromarray(pixels).save(tmp_path / name)
    with pytest.raises(SplitError, match=r"deep.*more than 8 bits per channel"):
        decode_image(tmp_path / name)


def test_a_rotation_that_exif_asks_for_is_not_applied(tmp_path: Path) -> None:
    turned = PillowImage.Exif()
    turned[0x0112] = 6
    PillowImage.new("L", (30, 20), 90).save(tmp_path / "turned.jpg", exif=turned)
    assert decode_image(tmp_path / "turned.jpg").shape == (20, 30)


@pytest.mark.parametrize("shared", [False, True])
def test_kept_images_equal_those_on_disk(make_split: MakeSplit, shared: bool) -> None:
    split = load_split(make_split(colour=True))
    paths = [split.root / path for path in split.train["path"]]
    kept, read = ImageStore(paths), ImageStore(paths)
    kept.keep(shared=shared)
    assert kept.kept and not read.kept
    assert all(np.array_equal(kept[row], read[row]) for row in range(len(paths)))


def test_images_that_shared_memory_cannot_hold_are_read_from_disk(
    make_split: MakeSplit, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = load_split(make_split())
    monkeypatch.setattr(images, "available_shared", lambda: 1000)
    assert build_loader(split, "train", RECIPE.replace(workers=0), train=True)._dataset._store.kept
    assert not build_loader(split, "train", RECIPE.replace(workers=1), train=True)._dataset._store.kept
    monkeypatch.setattr(torch.Tensor, "share_memory_", MagicMock(side_effect=RuntimeError("No space left on device")))
    with pytest.raises(UsageError, match=r"--cache off, or give the container more"):
        build_loader(split, "train", RECIPE.replace(workers=1, cache="on"), train=True)


def test_no_more_loader_processes_than_shared_memory_holds_batches_of(
    make_split: MakeSplit, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    split = load_split(make_split())
    each = 2 * 4 * (RECIPE.batch_size * 3 * RECIPE.size**2 + 2**14)
    monkeypatch.setattr(loader, "available_shared", lambda: 2 * each)
    options: dict[str, Any] = {"train": True, "device": "meta"}  # as on a GPU, where processes load
    recipe = RECIPE.replace(cache="off", workers=2)
    assert build_loader(split, "train", recipe, **options)._loader.num_workers == 2
    monkeypatch.setattr(loader, "available_shared", lambda: 2 * each - 1)
    with pytest.raises(UsageError, match="hold the batches of 1 loader processes"):
        build_loader(split, "train", recipe, **options)
    monkeypatch.setattr(loader.os, "sched_getaffinity", lambda _: range(4), raising=False)
    assert build_loader(split, "train", recipe.replace(workers=-1), **options)._loader.num_workers == 1
    assert "not 4" in caplog.text
    monkeypatch.setattr(loader, "available_shared", lambda: 0)
    assert build_loader(split, "train", recipe.replace(workers=-1), **options)._loader.num_workers == 0


@pytest.mark.parametrize("change", [{"workers": 2}, {"cache": "off"}])
def test_batches_depend_on_neither_workers_nor_cache(make_split: MakeSplit, change: dict[str, object]) -> None:
    folder = make_split(colour=True)
    assert equal(batches(folder), batches(folder, RECIPE.replace(**change)))


def test_seed_and_epoch_change_order_and_augmentation(make_split: MakeSplit) -> None:
    folder = make_split()
    first = batches(folder)
    assert equal(first, batches(folder))
    assert not torch.equal(first[2], batches(folder, epoch=1)[2])
    assert not torch.equal(first[2], batches(folder, RECIPE.replace(seed=1))[2])


def test_an_epoch_goes_on_from_any_batch(make_split: MakeSplit) -> None:
    loader = build_loader(load_split(make_split()), "train", RECIPE.replace(augment="cutmix"), train=True)
    whole = [tensor for batch in loader.epoch(3) for tensor in batch]
    rest = [tensor for batch in loader.epoch(3, start=1) for tensor in batch]
    assert equal(whole[3:], rest)


def test_two_ranks_see_together_what_one_sees(make_split: MakeSplit) -> None:
    folder = make_split()
    whole = batches(folder)
    halves = [batches(folder, RECIPE.replace(batch_size=4), rank=rank, world=2) for rank in range(2)]
    assert equal(whole, [torch.cat(pair) for pair in zip(*halves, strict=True)])


def test_loading_leaves_the_global_random_numbers_alone(make_split: MakeSplit) -> None:
    before = torch.get_rng_state()
    batches(make_split(), RECIPE.replace(augment="mixup+randaugment"))
    assert torch.equal(before, torch.get_rng_state())


def test_evaluation_shows_every_image_once_plain_and_in_order(make_split: MakeSplit) -> None:
    loader = build_loader(load_split(make_split()), "val", RECIPE)
    images, targets, rows = (torch.cat(parts) for parts in zip(*loader, strict=True))
    assert rows.tolist() == list(range(9)) and loader.frame["class_index"].tolist() == targets.tolist()
    assert images.shape == (9, 3, 16, 16) and images.dtype == torch.float32
    assert images.min() >= (0 - 0.3162) / 0.3213 and images.max() <= (1 - 0.3162) / 0.3213


def test_plain_images_are_normalised(tmp_path: Path, make_split: MakeSplit) -> None:
    folder = make_split()
    split = load_split(folder)
    for path in split.val["path"]:
        cv2.imwrite(str(split.root / path), np.full((20, 20), 51, np.uint8))
    images, _, _ = next(iter(build_loader(split, "val", RECIPE)))
    assert torch.allclose(images, torch.tensor((0.2 - 0.3162) / 0.3213), atol=1e-5)


@pytest.mark.parametrize("augment", ["none", "autoaugment", "randaugment", "augmix"])
def test_a_grey_image_is_augmented_as_its_colour_copy(augment: str) -> None:
    grey = np.random.default_rng(1).integers(0, 256, (40, 32)).astype(np.uint8)
    transform = train_transform(Recipe(size=24, grid=4, augment=augment))
    for seed in range(40):
        with seeded(seed):
            one = transform(grey)
        with seeded(seed):
            three = transform(np.repeat(grey[..., None], 3, axis=2))
        rounding = 1 if augment == "augmix" else 0  # it blends in floating point
        assert np.abs(one[..., None].astype(int) - three).max() <= rounding


def test_evaluation_sees_the_centre_where_training_crops_and_the_whole_image_where_it_does_not() -> None:
    image = np.zeros((64, 96), np.uint8)
    image[:, :8] = image[:, -8:] = 255
    cropped = eval_transform(Recipe(size=32, grid=4))(image)
    whole = eval_transform(Recipe(size=32, grid=4, crop_min=1.0))(image)

    assert cropped.shape == whole.shape == (32, 32)
    assert cropped.max() == 0 and whole[:, :2].min() > 200 and whole[:, -2:].min() > 200


@pytest.mark.parametrize("side", [32, 48, 64, 96, 160, 224])
def test_evaluation_sees_what_plain_timm_would_show(side: int) -> None:
    image = np.random.default_rng(side).integers(0, 256, (200, 160), dtype=np.uint8)
    theirs = timm.data.create_transform(
        (3, side, side), crop_pct=JUDGED_SHARE, crop_mode="center", interpolation="bilinear", mean=0.0, std=1.0
    )(PillowImage.fromarray(np.repeat(image[..., None], 3, axis=2)))
    ours = eval_transform(Recipe(size=side, grid=4))(image)
    np.testing.assert_allclose(ours / 255, theirs[0], atol=1e-6)


def test_mixed_batches_have_soft_targets(make_split: MakeSplit) -> None:
    _, targets, _ = batches(make_split(), RECIPE.replace(augment="cutmix+autoaugment"))[:3]
    assert targets.shape == (8, 3)
    assert torch.allclose(targets.sum(1), torch.ones(8))


def test_limits_take_the_same_images_every_time(make_split: MakeSplit) -> None:
    split = load_split(make_split())
    recipe = RECIPE.replace(limit_train=10, limit_val=4)
    loaders = [build_loader(split, "train", recipe, train=True) for _ in range(2)]
    assert loaders[0].n_images == 10 and loaders[0].frame.equals(loaders[1].frame)
    assert build_loader(split, "val", recipe).n_images == 4


def test_weights_of_the_classes_are_those_of_the_images_that_are_trained_on(make_split: MakeSplit) -> None:
    split = load_split(make_split())
    recipe = RECIPE.replace(class_balance="loss", limit_train=7)
    weights = class_weights(split, recipe)
    assert weights is not None
    seen = build_loader(split, "train", recipe, train=True).frame["class_index"].to_numpy()
    counts = np.bincount(seen, minlength=3)
    assert weights.numpy() == pytest.approx(7 / (3 * counts))
    assert len(set(counts.tolist())) > 1


def test_a_weighted_sampler_shows_rare_classes_more_often(make_split: MakeSplit) -> None:
    folder = make_split(n_train=60)
    frame = pd.read_csv(folder / "train.csv")
    frame[(frame["class_index"] != 2) | (frame.index < 12)].to_csv(folder / "train.csv", index=False)
    tensors = batches(folder, RECIPE.replace(class_balance="sampler", batch_size=40))
    assert np.bincount(tensors[1], minlength=3).min() >= 8


def drawn(loader: Any, start: int = 0) -> list[tuple[int, torch.Tensor]]:
    """Return row and pixels of every image of an epoch from batch `start` on, in order."""
    return [
        (int(row), image)
        for images, _, rows in loader.epoch(1, start=start)
        for row, image in zip(rows, images, strict=True)
    ]


def test_an_image_drawn_again_is_augmented_anew_however_the_epoch_is_cut(make_split: MakeSplit) -> None:
    folder = make_split(n_train=60)
    frame = pd.read_csv(folder / "train.csv")
    frame[(frame["class_index"] != 2) | (frame.index < 3)].to_csv(folder / "train.csv", index=False)
    split, recipe = load_split(folder), RECIPE.replace(class_balance="sampler")
    whole = drawn(build_loader(split, "train", recipe, train=True))
    rows = [row for row, _ in whole]
    rare = max(set(rows), key=rows.count)
    seen = [image for row, image in whole if row == rare]
    assert len(seen) > 5 and len({image.numpy().tobytes() for image in seen}) == len(seen)

    late = drawn(build_loader(split, "train", recipe, train=True), start=2)
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(whole[2 * 8 :], late, strict=True))
    half = recipe.replace(batch_size=4)
    ranks = [drawn(build_loader(split, "train", half, train=True, rank=rank, world=2)) for rank in range(2)]
    both = [pair for start in range(0, len(ranks[0]), 4) for rank in ranks for pair in rank[start : start + 4]]
    assert all(torch.equal(one, other) for (_, one), (_, other) in zip(whole, both, strict=True))


@pytest.mark.parametrize("workers", [0, 1])
def test_an_image_that_went_missing_is_told_in_one_sentence(make_split: MakeSplit, workers: int) -> None:
    split = load_split(make_split())
    (split.root / split.train["path"].iloc[5]).unlink()
    recipe = Recipe(size=16, grid=4, batch_size=8, workers=workers, cache="off")
    with pytest.raises(SplitError) as caught:
        list(build_loader(split, "train", recipe, train=True))
    assert str(caught.value).startswith(str(split.root)) and "\n" not in str(caught.value)


def test_one_training_image_is_too_few(make_split: MakeSplit) -> None:
    recipe = Recipe(size=16, grid=4, workers=0, limit_train=1)
    with pytest.raises(SplitError, match="at least 2 images, got 1"):
        build_loader(load_split(make_split()), "train", recipe, train=True)


def test_an_empty_class_index_is_told_with_its_file(make_split: MakeSplit) -> None:
    folder = make_split()
    frame = pd.read_csv(folder / "train.csv", dtype=str)
    frame.loc[3, "class_index"] = ""
    frame.to_csv(folder / "train.csv", index=False)
    with pytest.raises(SplitError, match=r"train.csv must hold whole numbers in class_index"):
        load_split(folder)


@pytest.mark.parametrize(
    ("file", "change", "told"),
    [
        ("train.csv", lambda t: t.assign(label=t["label"].to_numpy()[::-1]), "gives .* the label .* in classes.csv"),
        ("train.csv", lambda t: t.assign(class_index=t["class_index"] + 0.5), "must hold whole numbers"),
        ("val.csv", lambda t: t.assign(path=["", *t["path"][1:]]), "has a row without a path"),
        ("test.csv", lambda t: pd.concat([t, t[1:2]]), "names .* twice; each image counts once"),
        ("classes.csv", lambda t: t.assign(label="same"), "names a class twice"),
    ],
)
def test_tables_that_contradict_each_other_are_refused(
    make_split: Any, file: str, change: Callable[[pd.DataFrame], pd.DataFrame], told: str
) -> None:
    split = make_split()
    change(pd.read_csv(split / file, keep_default_na=False)).to_csv(split / file, index=False)
    with pytest.raises(SplitError, match=told):
        load_split(split)


def test_what_decoders_stumble_over_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.png").write_bytes(b"no image")
    faults = (ValueError("a\nb"), SyntaxError("broken"), cv2.error("odd"), PillowImage.DecompressionBombError("big"))
    for error in faults:

        def stumble(*_: object, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(PillowImage, "open", stumble)
        with pytest.raises(SplitError, match="cannot be used as an image"):
            decode_image(tmp_path / "x.png")
