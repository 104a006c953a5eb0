"""Measure APGA on a toy and its cost; run `python tests/benchmarks/apga.py --help`.

The toy: three bright squares of stripes in noise, one of them red and two blue. The stripes of the red one lie along
the rows or the columns, which is the class; those of the blue ones mean nothing. Otsu's foreground, from which the
agent starts, is all three squares: its IoU with the red one is what chance comes to.

The area to mark, 0.15 where the red square takes 0.06, and the cells, as large as a square, were chosen on the seeds
100 and 101, which the measurement does not use.

    agent       IoU of the agent's mask with the red square over seeds, for the published and for the exploring way
    few         test accuracy with few training images: plain, and with APGA, at equal classifier steps
    throughput  images per second of an APGA step beside a plain step
"""

import argparse
import statistics
import time
from collections.abc import Iterator

import timm
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from pgnm.apga import ApgaBaseline, ApgaOptions, MaskAgent, apga_step
from pgnm.apga.agent import choose_action
from pgnm.apga.inference import choose_inference, predict_both
from pgnm.apga.masks import otsu_foreground, warm_start
from pgnm.apga.update import plain_stepper

SIDE, SQUARE, BATCH = 32, 8, 32
PUBLISHED = ApgaOptions()
EXPLORING = ApgaOptions(
    loss="area", lam=1.0, area=0.15, bound=3.0, pay="contrast", reward="image", action="bernoulli", actions=4,
    fresh_mask=False,
)  # fmt: skip
CELL = 8


def make_images(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw images (N, 3, 32, 32), classes (N,), and the red squares (N, 1, 32, 32)."""
    images = torch.randn(count, 3, SIDE, SIDE, generator=generator) * 0.3
    stripes = torch.randint(0, 2, (count, 3), generator=generator)
    places = torch.rand(count, (SIDE // SQUARE) ** 2, generator=generator).argsort(1)[:, :3]
    truth = torch.zeros(count, 1, SIDE, SIDE)
    rows = ((torch.arange(SQUARE) // 2 % 2) * 1.6 - 0.8)[:, None].expand(SQUARE, SQUARE)
    red = torch.tensor([1.0, 0.0, -1.0])[:, None, None]
    for index in range(count):
        for square in range(3):
            row, column = (SQUARE * part for part in divmod(int(places[index, square]), SIDE // SQUARE))
            where = (slice(row, row + SQUARE), slice(column, column + SQUARE))
            pattern = rows if stripes[index, square] else rows.T
            images[index][:, *where] += 2 + pattern + (red if square == 0 else -red)
            if square == 0:
                truth[index, 0][where] = 1
    return images, stripes[:, 0], truth


def small_classifier() -> nn.Module:
    """Build a convolutional network of three layers."""
    layers: list[nn.Module] = []
    for width_in, width_out in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(width_in, width_out, 3, padding=1), nn.BatchNorm2d(width_out), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 2))


def overlap(mask: Tensor, truth: Tensor) -> float:
    """Compute the mean intersection over union."""
    union = ((mask + truth) > 0).float().sum((1, 2, 3))
    return ((mask * truth).sum((1, 2, 3)) / union.clamp_min(1)).mean().item()


def _rows(count: int, steps: int, generator: torch.Generator) -> Iterator[Tensor]:
    for _ in range(steps):
        yield torch.randint(0, count, (min(BATCH, count),), generator=generator)


def train_alone(classifier: nn.Module, images: Tensor, targets: Tensor, steps: int, generator: torch.Generator) -> None:
    """Train the classifier on plain images."""
    optimizer = torch.optim.Adam(classifier.parameters(), 2e-3)
    for rows in _rows(len(images), steps, generator):
        plain_stepper(cross_entropy(classifier(images[rows]), targets[rows]), optimizer)


def train_apga(
    classifier: nn.Module,
    images: Tensor,
    targets: Tensor,
    options: ApgaOptions,
    steps: int,
    generator: torch.Generator,
    cell: int,
) -> MaskAgent:
    """Warm-start an agent and train both networks."""
    agent = MaskAgent("test_resnet", width=16, cell=cell)
    optimizers = (torch.optim.Adam(classifier.parameters(), 2e-3), torch.optim.Adam(agent.parameters(), 1e-3))
    warm_start(agent, (images[rows] for rows in _rows(len(images), 40, generator)), optimizers[1])
    baseline = ApgaBaseline()
    for rows in _rows(len(images), steps, generator):
        apga_step(images[rows], targets[rows], classifier, agent, *optimizers, baseline, options, generator=generator)
    return agent.eval()


def measure_agent(seeds: int, steps: int) -> None:
    """Print the IoU of agents with the square that decides, over seeds."""
    ways = {
        "published (threshold, batch reward)": (PUBLISHED, 1),
        "published losses, with the cells": (PUBLISHED, CELL),
        "exploring (4 actions, area)": (EXPLORING, CELL),
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    chance = []
    for seed in range(seeds):
        generator = torch.Generator().manual_seed(seed)
        images, targets, _ = make_images(1024, generator)
        test, _, truth = make_images(300, generator)
        chance.append(overlap(otsu_foreground(test), truth))
        for name, (options, cell) in ways.items():
            torch.manual_seed(seed)
            classifier = small_classifier()
            train_alone(classifier, images, targets, 150, generator)
            agent = train_apga(classifier, images, targets, options, steps, generator, cell)
            with torch.no_grad():
                found[name].append(overlap(choose_action(agent(test)), truth))
            print(f"seed {seed}  {name:36} IoU {found[name][-1]:.3f}  (Otsu {chance[-1]:.3f})", flush=True)
    for name, values in found.items():
        spread = statistics.stdev(values) if seeds > 1 else 0.0
        print(f"{name:36} IoU {statistics.mean(values):.3f} +- {spread:.3f}; Otsu {statistics.mean(chance):.3f}")


def measure_few(seeds: int, steps: int, counts: list[int]) -> None:
    """Print test accuracies with few training images."""
    for count in counts:
        scores: dict[str, list[float]] = {"plain": [], "APGA, plain input": [], "APGA, chosen input": []}
        for seed in range(seeds):
            generator = torch.Generator().manual_seed(seed)
            images, targets, _ = make_images(count, generator)
            (val, val_targets, _), (test, test_targets, _) = (make_images(400, generator) for _ in range(2))
            torch.manual_seed(seed)
            plain = small_classifier()
            # An APGA step trains the classifier twice.
            train_alone(plain, images, targets, 150 + 2 * steps, generator)
            torch.manual_seed(seed)
            aided = small_classifier()
            train_alone(aided, images, targets, 150, generator)
            agent = train_apga(aided, images, targets, EXPLORING, steps, generator, CELL)
            plain.eval(), aided.eval()
            with torch.no_grad():
                scores["plain"].append((plain(test).argmax(1) == test_targets).float().mean().item())
            chosen = choose_inference(val_targets, *predict_both(aided, agent, val))
            both = dict(zip(("plain", "aided"), predict_both(aided, agent, test), strict=True))
            for name, way in (("APGA, plain input", "plain"), ("APGA, chosen input", chosen)):
                scores[name].append((both[way].argmax(1) == test_targets).float().mean().item())
        told = ", ".join(f"{name} {statistics.mean(values):.3f}" for name, values in scores.items())
        print(f"{count:4} training images, {seeds} seeds: {told}", flush=True)


def measure_throughput(size: int) -> None:
    """Print images per second of a plain and an APGA step of resnet10t with the VGG11 agent."""
    classifier, agent = timm.create_model("resnet10t", num_classes=2), MaskAgent("vgg11")
    optimizers = (torch.optim.Adam(classifier.parameters(), 1e-5), torch.optim.Adam(agent.parameters(), 1e-5))
    images, targets, baseline = torch.randn(8, 3, size, size), torch.randint(0, 2, (8,)), ApgaBaseline()
    rates = {}
    for name in ("plain", "APGA"):
        times = []
        for _ in range(3):
            start = time.perf_counter()
            if name == "plain":
                plain_stepper(cross_entropy(classifier(images), targets), optimizers[0])
            else:
                apga_step(images, targets, classifier, agent, *optimizers, baseline)
            times.append(time.perf_counter() - start)
        rates[name] = len(images) / min(times)
    print(
        f"{size} px, resnet10t, VGG11 agent: plain {rates['plain']:.1f}, APGA {rates['APGA']:.1f} images/s, "
        f"{rates['plain'] / rates['APGA']:.1f} times the cost"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("agent", "few", "throughput"))
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--counts", type=int, nargs="+", default=[6, 10, 16, 24])
    parser.add_argument("--size", type=int, default=64)
    arguments = parser.parse_args()
    if arguments.what == "agent":
        measure_agent(arguments.seeds, arguments.steps)
    elif arguments.what == "few":
        measure_few(arguments.seeds, arguments.steps, arguments.counts)
    else:
        measure_throughput(arguments.size)
