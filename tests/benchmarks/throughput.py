"""Images per second of pretraining, beside a plain loop written after the method's description.

python tests/benchmarks/throughput.py [--size 64 --grid 16] [--size 224 --grid 64] [--seconds 20] [--model resnet10t]
python tests/benchmarks/throughput.py --parts [--size 64 --grid 16]

All train on the same synthetic grey PNG files with AutoAugment. They take turns, so that other load on the machine
meets all alike; medians are printed, their ratios, and the cost of the policy over plain training of the same
classifier. The plain loop computes in float32 on contiguous tensors with two loader processes, evaluates each head (not
the features) twice per step, decodes and augments with Pillow in colour, and blurs with a convolution at image size.
The floors are the networks alone, forward and backward on synthetic tensors, in the precision and layout that pgnm
takes: no loop with these networks at full size can be faster. `--parts` tells where a step's time goes.
"""

import argparse
import itertools
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import timm
import torch
from PIL import Image
from torch import nn
from torch.distributions import Beta
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from pgnm.config import Recipe
from pgnm.data import build_loader, load_split
from pgnm.engine import Updater, open_devices
from pgnm.models import create_classifier
from pgnm.noise import beta_log_prob, expand_mask, sample_beta
from pgnm.policy import NoisePolicy, describe_policy
from pgnm.pretrain import Pretraining
from pgnm.recipe_files import load_recipe

CLASSES, IMAGES = 12, 512
Step = Callable[[], int]


def write_images(folder: Path, size: int) -> Path:
    """Write grey PNG files of the given side and a split folder."""
    rng = np.random.default_rng(0)
    rows = []
    for number in range(IMAGES):
        smooth = cv2.GaussianBlur(rng.integers(0, 256, (size, size)).astype(np.uint8), (0, 0), 2)
        cv2.imwrite(str(folder / f"{number}.png"), smooth)
        rows.append((f"{number}.png", f"c{number % CLASSES}", number % CLASSES, f"g{number}"))
    frame = pd.DataFrame(rows, columns=["path", "label", "class_index", "group"])
    for part, share in (("train", frame), ("val", frame[:0]), ("test", frame[:0])):
        share.to_csv(folder / f"{part}.csv", index=False)
    pd.DataFrame({"class_index": range(CLASSES), "label": [f"c{i}" for i in range(CLASSES)]}).to_csv(
        folder / "classes.csv", index=False
    )
    (folder / "split.json").write_text('{"schema": 1, "root": "."}')
    return folder


class PlainImages(Dataset):
    """Images as a plain loop reads them: one file at a time, three channels, float tensors."""

    def __init__(self, folder: Path, size: int) -> None:
        self.frame = pd.read_csv(folder / "train.csv")
        self.folder = folder
        self.transform = v2.Compose(
            [
                v2.RandomResizedCrop(size),
                v2.RandomHorizontalFlip(),
                v2.AutoAugment(),
                v2.PILToTensor(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize([0.3162] * 3, [0.3213] * 3),
            ]
        )

    def __len__(self) -> int:
        return len(self.frame)

    def __getitem__(self, row: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.folder / self.frame["path"][row]) as image:
            return self.transform(image.convert("RGB")), int(self.frame["class_index"][row])


def plain_loop(folder: Path, recipe: Recipe) -> Step:
    """Return a step of the plain loop (method sections 1.2 and 1.8)."""
    grid, lam, mu = recipe.grid, 0.9, 0.99

    def head() -> nn.Module:
        layers: list[nn.Module] = []
        for _ in range(2):
            layers += [nn.Linear(512, 512), nn.BatchNorm1d(512), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(512, grid * grid))

    classifier = timm.create_model(recipe.model, num_classes=CLASSES)
    features = timm.create_model("resnet10t", num_classes=0)
    heads = nn.ModuleList([head(), head()])
    priors = [torch.randn(1, grid * grid), torch.randn(1, grid * grid)]
    sgd = {"momentum": 0.9, "weight_decay": 1e-4}
    first = torch.optim.SGD(classifier.parameters(), lr=0.01, **sgd)
    second = torch.optim.SGD([*features.parameters(), *heads.parameters()], lr=0.01, **sgd)
    blur = v2.GaussianBlur(recipe.kernel, recipe.sigma)
    loader = DataLoader(
        PlainImages(folder, recipe.size), recipe.batch_size, shuffle=True, num_workers=2, drop_last=True,
        persistent_workers=True,
    )  # fmt: skip

    def batches() -> Iterator[Any]:
        while True:
            yield from loader

    source = batches()

    def step() -> int:
        images, targets = next(source)
        seen = features(images)
        shapes = [lam * prior + (1 - lam) * part(seen) for prior, part in zip(priors, heads, strict=True)]
        for place, part in enumerate(heads):
            with torch.no_grad():
                priors[place] = mu * priors[place] + (1 - mu) * part(seen).mean(0, keepdim=True)
        beta = Beta(shapes[0].exp(), shapes[1].exp())
        sample = beta.sample().clamp(1e-6, 1 - 1e-6)
        mask = functional.interpolate(sample.view(-1, 1, grid, grid), size=images.shape[-2:])
        logits = classifier(images * blur(mask))
        factor = torch.log(beta.log_prob(sample).exp().sum(1)).mean()
        loss = factor * functional.cross_entropy(logits, targets)
        first.zero_grad()
        second.zero_grad()
        loss.backward()
        first.step()
        second.step()
        return len(images)

    return step


def our_loop(folder: Path, recipe: Recipe) -> Step:
    """Return a step of `pgnm pretrain`."""
    devices = open_devices(recipe)
    stage = Pretraining(create_classifier(recipe.model, CLASSES, size=recipe.size), recipe, devices, None)
    loader = build_loader(load_split(folder), "train", recipe, train=True, device=devices.device)

    def batches() -> Iterator[Any]:
        epoch = 0
        while True:
            yield from loader.epoch(epoch)
            epoch += 1

    source = batches()

    def step() -> int:
        images, targets, _ = next(source)
        float(stage.update(images, targets, 0.5, last=True)["loss"].detach())
        return len(images)

    return step


def floor_loop(recipe: Recipe, *, policy: bool) -> Step:
    """Return forward and backward of the networks alone, on synthetic tensors."""
    devices = open_devices(recipe)
    networks: list[nn.Module] = [devices.place(create_classifier(recipe.model, CLASSES, size=recipe.size)).train()]
    if policy:
        networks.append(devices.place(timm.create_model("resnet10t", num_classes=512)).train())
    shape = (recipe.batch_size, 3, recipe.size, recipe.size)
    images = torch.randn(shape, device=devices.device).contiguous(memory_format=torch.channels_last)

    def step() -> int:
        for network in networks:
            with devices.autocast():
                answer = network(images).float()
            answer.square().mean().backward()
            network.zero_grad()
        return len(images)

    return step


def parts(folder: Path, recipe: Recipe) -> dict[str, Callable[[], object]]:
    """Return the parts of a step of `pgnm pretrain`, each to be timed by itself."""
    devices = open_devices(recipe)
    classifier = devices.place(create_classifier(recipe.model, CLASSES, size=recipe.size)).train()
    policy = devices.place(NoisePolicy(recipe.grid)).train()
    loader = build_loader(load_split(folder), "train", recipe.replace(workers=0), train=True, device=devices.device)
    images, *_ = next(loader.epoch(0))
    with torch.no_grad():
        output = policy(images)
    grids = sample_beta(output.log_alpha, output.log_beta)
    side = recipe.grid
    mask = expand_mask(grids.view(-1, side, side), recipe.size, recipe.kernel, recipe.sigma)
    updater = Updater(nn.ModuleList([classifier, policy]), recipe, "sgd", 0.0)
    scaler = torch.amp.GradScaler(devices.device.type, enabled=False)
    shapes = [part.clone().requires_grad_() for part in (output.log_alpha, output.log_beta)]

    def learn(network: nn.Module, answer: Callable[[Any], torch.Tensor]) -> None:
        with devices.autocast():
            told = answer(network(images))
        told.float().square().mean().backward()
        network.zero_grad()

    def forward(network: nn.Module) -> None:
        with devices.autocast(), torch.no_grad():
            network(images)

    def optimise() -> None:
        for parameter in updater.parameters:
            parameter.grad = torch.zeros_like(parameter)
        updater.step(scaler)

    source = itertools.chain.from_iterable(loader.epoch(epoch) for epoch in itertools.count())
    return {
        "images: decoded, augmented, normalised": lambda: next(source),
        "policy, forward": lambda: forward(policy),
        "policy, forward and backward": lambda: learn(policy, lambda told: told.log_alpha + told.log_beta),
        "drawing the masks": lambda: sample_beta(output.log_alpha, output.log_beta),
        "enlarging and blurring": lambda: expand_mask(
            grids.view(-1, side, side), recipe.size, recipe.kernel, recipe.sigma
        ),
        "applying them": lambda: (images * mask).contiguous(memory_format=torch.channels_last),
        "classifier, forward": lambda: forward(classifier),
        "classifier, forward and backward": lambda: learn(classifier, lambda logits: logits),
        "log-probability and its gradient": lambda: beta_log_prob(grids, *shapes).logsumexp(1).mean().backward(),
        "gradient norm and optimiser": optimise,
        "numbers for the log": lambda: describe_policy(output),
    }


def rates(loops: dict[str, Step], seconds: float) -> dict[str, float]:
    """Return the median images per second of each loop, the loops taking turns of two steps."""
    times: dict[str, list[float]] = {name: [] for name in loops}
    for step in loops.values():
        step(), step()
    end = time.monotonic() + seconds * len(loops)
    while time.monotonic() < end or len(times[next(iter(times))]) < 3:
        for name, step in loops.items():
            start = time.monotonic()
            seen = step() + step()
            times[name].append(seen / (time.monotonic() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--grid", type=int, default=16)
    parser.add_argument("--model", default="resnet10t")
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--precision", default="auto", help="of pgnm and of the floors; the plain loop is float32")
    parser.add_argument("--seconds", type=float, default=10.0, help="time for each of the loops")
    parser.add_argument("--parts", action="store_true", help="time the parts of a step in place of whole steps")
    options = parser.parse_args()
    kernel, sigma = (13, 6.0) if options.size >= 224 else (5, 1.5)
    recipe = load_recipe(
        "laptop",
        {"size": options.size, "grid": options.grid, "model": options.model, "kernel": kernel, "sigma": sigma}
        | {"batch_size": options.batch_size, "lr": 0.001, "policy_size": 0}
        | {"precision": options.precision},
        {},
    )
    devices = open_devices(recipe)
    print(
        f"{options.model}, {options.size} px, grid {options.grid}, batches of {options.batch_size}, {devices.device}, "
        f"{devices.precision}, {torch.get_num_threads()} threads"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = write_images(Path(name), options.size)
        if options.parts:
            tell_parts(parts(folder, recipe))
            return
        loops = {
            "plain loop": plain_loop(folder, recipe),
            "pgnm, as published": our_loop(folder, recipe),
            "pgnm, policy_size half the side": our_loop(folder, recipe.replace(policy_size=options.size // 2)),
            "pgnm, no policy": our_loop(folder, recipe.replace(policy="none")),
            "floor, both networks": floor_loop(recipe, policy=True),
            "floor, the classifier": floor_loop(recipe, policy=False),
        }
        found = rates(loops, options.seconds)
    plain, without = found["plain loop"], found["pgnm, no policy"]
    for name, rate in found.items():
        cost = f"; {without / rate:.2f} times the cost of no policy" if name.startswith("pgnm") else ""
        print(f"  {name:<34}{rate:8.1f} images/s, {rate / plain:.2f} times the plain loop{cost}")


def tell_parts(found: dict[str, Callable[[], object]]) -> None:
    """Print the median time of each part of a step."""
    for name, part in found.items():
        times = []
        for _ in range(6):
            start = time.monotonic()
            part()
            times.append(time.monotonic() - start)
        print(f"  {name:<42}{1000 * statistics.median(times[1:]):8.1f} ms")


if __name__ == "__main__":
    main()
