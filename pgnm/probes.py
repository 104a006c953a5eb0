"""Probe frozen backbones on concepts they were not trained on: table 3 and figure 5 of the paper."""

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from pgnm.concepts import ConceptSet
from pgnm.errors import SplitError, UsageError
from pgnm.features import Backbone, compute_features
from pgnm.metrics import judge
from pgnm.progress import Progress, ProgressCallback, ignore_progress

SAMPLES: Final = (8, 16, 32, 64, 128, 256)
SCORES: Final = ("f1", "balanced_accuracy", "accuracy", "auroc_ovr")

Features = dict[str, NDArray[np.float32]]
Labels = dict[str, NDArray[np.int64]]


@dataclass(frozen=True, slots=True)
class ProbeOptions:
    """How to probe; the help of each option is in its field's metadata."""

    protocol: Literal["unseen", "fewshot"] = field(default="unseen", metadata={"help": "Table 3, or figure 5."})
    trials: int = field(default=0, metadata={"help": "Trials; 0: by size of the set (unseen) or 10 (fewshot)."})
    samples: tuple[int, ...] = field(default=SAMPLES, metadata={"help": "Training samples of fewshot."})
    hidden: int = field(default=256, metadata={"help": "Hidden units of the MLP."})
    patience: int = field(default=5, metadata={"help": "Epochs without a better validation accuracy before stopping."})
    max_epochs: int = field(default=200, metadata={"help": "Most epochs of the MLP."})
    batch_size: int = field(default=128, metadata={"help": "Samples per step of the MLP."})
    feature_batch: int = field(default=128, metadata={"help": "Images per batch of the backbones."})
    shuffle_labels: bool = field(default=False, metadata={"help": "Control: permute the labels that are trained on."})
    device: str = field(default="cpu", metadata={"help": "Where features are computed."})
    seed: int = field(default=0, metadata={"help": "Seed of draws, initial weights and permutations."})

    def __post_init__(self) -> None:
        if self.protocol not in ("unseen", "fewshot"):
            raise UsageError(f"--protocol must be classify, unseen or fewshot; got {self.protocol!r}")
        for name, least in (("trials", 0), ("hidden", 1), ("patience", 1), ("max_epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"--{name.replace('_', '-')} must be at least {least}, got {getattr(self, name)}")
        if self.feature_batch < 1:
            raise UsageError(f"--batch-size must be at least 1, got {self.feature_batch}")
        if not self.samples or min(self.samples) < 2:
            raise UsageError(f"--samples must be numbers of at least 2, got {list(self.samples)}")


def probe(
    backbones: Sequence[Backbone],
    sets: Sequence[ConceptSet],
    cache: Path,
    options: ProbeOptions | None = None,
    progress: ProgressCallback = ignore_progress,
) -> pd.DataFrame:
    """Probe every backbone on every set.

    All backbones of a trial see the same samples in the same order, so that their scores can be compared in pairs.

    Args:
        backbones: Frozen networks.
        sets: Sets of unseen concepts.
        cache: Folder where features are kept.
        options: Protocol and its settings.
        progress: Hears of features computed and of trials done.

    Returns:
        A row per trial: set, backbone, samples, trial, and f1 (macro), balanced_accuracy, accuracy, auroc_ovr on the
        test part.
    """
    options = options or ProbeOptions()
    rows: list[dict[str, Any]] = []
    jobs = [(backbone, concepts) for concepts in sets for backbone in backbones]
    for done, (backbone, concepts) in enumerate(jobs):
        features = compute_features(
            backbone, concepts, cache, device=options.device, batch_size=options.feature_batch, progress=progress
        )
        labels = {name: part.labels for name, part in concepts.parts()}
        fewest = 2 if options.protocol == "unseen" else min(options.samples)
        n_images, n_classes = len(labels["train"]), len(np.unique(labels["train"]))
        if n_images < fewest or n_classes < 2:
            needed = f"{fewest} or more of 2 classes or more are needed"
            raise SplitError(f"{concepts.name} has {n_images} training images of {n_classes} classes; {needed}")
        run = _probe_unseen if options.protocol == "unseen" else _probe_fewshot
        place = {"set": concepts.name, "backbone": backbone.name}
        rows += [place | row for row in run(features, labels, len(concepts.class_names), len(concepts), options)]
        progress(Progress("probing", done + 1, len(jobs)))
    return pd.DataFrame(rows)


def count_trials(n_images: int) -> int:
    """Return the number of trials for a set of `n_images`: 7 below 10,000, 3 up to 30,000, 1 above 100,000.

    The paper does not say what it did between 30,000 and 100,000; 3 here.
    """
    return 7 if n_images < 10_000 else 3 if n_images <= 100_000 else 1


def _training_labels(labels: Labels, options: ProbeOptions, trial: int) -> Labels:
    """Return the labels to train on: the true ones, or for the control another permutation in each trial."""
    if not options.shuffle_labels:
        return labels
    rng = np.random.default_rng([options.seed, trial, 1])
    return labels | {name: rng.permutation(labels[name]) for name in ("train", "val")}


def _probe_unseen(
    features: Features, labels: Labels, n_classes: int, n_images: int, options: ProbeOptions
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for trial in range(options.trials or count_trials(n_images)):
        given = _training_labels(labels, options, trial)
        classify = train_mlp(features, given, n_classes, options, seed=options.seed * 1000 + trial)
        scores = _score(labels["test"], classify(features["test"]))
        rows.append({"samples": len(labels["train"]), "trial": trial, **scores})
    return rows


def _score(target: NDArray[np.int64], probability: NDArray) -> dict[str, float]:
    metrics = judge(target, probability).metrics
    return {name: metrics[name] for name in SCORES}


def train_mlp(
    features: Features,
    labels: Labels,
    n_classes: int,
    options: ProbeOptions,
    seed: int,
) -> Callable[[NDArray[np.float32]], NDArray[np.float64]]:
    """Train a randomly initialised MLP with AdamW's default settings until the validation accuracy stops rising.

    The weights of the best epoch are kept. The paper does not give the width of the MLP; one hidden layer here.

    Args:
        features: (N, D) by part; train and val are used.
        labels: (N,) by part.
        n_classes: Number of classes.
        options: Hidden units, patience, batch size.
        seed: Seed of the initial weights and of the order.

    Returns:
        A function from features (N, D) to probabilities (N, C) float64.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width = features["train"].shape[1]
        model = nn.Sequential(nn.Linear(width, options.hidden), nn.ReLU(), nn.Linear(options.hidden, n_classes))
    order = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.AdamW(model.parameters())
    x, y = torch.from_numpy(features["train"]), torch.from_numpy(labels["train"])
    x_val, y_val = torch.from_numpy(features["val"]), torch.from_numpy(labels["val"])
    best, best_state, waited = -1.0, _copy(model), 0
    for _ in range(options.max_epochs):
        for rows in torch.randperm(len(y), generator=order).split(options.batch_size):
            optimiser.zero_grad(set_to_none=True)
            nn.functional.cross_entropy(model(x[rows]), y[rows]).backward()
            optimiser.step()
        with torch.no_grad():
            accuracy = float((model(x_val).argmax(dim=1) == y_val).double().mean())
        waited = 0 if accuracy > best else waited + 1
        if accuracy > best:
            best, best_state = accuracy, _copy(model)
        if waited >= options.patience:
            break
    model.load_state_dict(best_state)

    @torch.no_grad()
    def classify(values: NDArray[np.float32]) -> NDArray[np.float64]:
        return torch.softmax(model(torch.from_numpy(values)).double(), dim=1).numpy()

    return classify


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _probe_fewshot(
    features: Features, labels: Labels, n_classes: int, n_images: int, options: ProbeOptions
) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for trial in range(options.trials or 10):
        given = _training_labels(labels, options, trial)["train"]
        drawn = draw_samples(given, max(options.samples), np.random.default_rng([options.seed, trial]))
        for samples in options.samples:
            if samples <= len(drawn):
                chosen = drawn[:samples]
                p = _fit_logistic(features["train"][chosen], given[chosen], features["test"], n_classes)
                rows.append({"samples": samples, "trial": trial, **_score(labels["test"], p)})
    return rows


def draw_samples(labels: NDArray[np.int64], n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw up to n samples so that the first k hold the classes as evenly as can be, for every k.

    Classes take turns in random order; one that is used up drops out. Smaller draws are the beginning of larger ones.
    """
    order = rng.permutation(len(labels))
    turn = np.empty(len(labels), dtype=np.int64)
    for label in np.unique(labels):
        own = np.flatnonzero(labels[order] == label)
        turn[own] = np.arange(len(own))
    # Within one turn the classes come in the random order of their samples.
    return order[np.argsort(turn, kind="stable")][:n]


def _fit_logistic(
    x: NDArray[np.float32], y: NDArray[np.int64], x_test: NDArray[np.float32], n_classes: int
) -> NDArray[np.float64]:
    """Fit a logistic regression on standardised features; classes without a sample get probability 0."""
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500))
    with warnings.catch_warnings():
        # Few samples in many dimensions are separable; the optimum is then approached, not reached.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(x.astype(np.float64), y)
    probability = np.zeros((len(x_test), n_classes))
    probability[:, model.classes_] = model.predict_proba(x_test.astype(np.float64))
    return probability / probability.sum(axis=1, keepdims=True)


def summarise(results: pd.DataFrame) -> pd.DataFrame:
    """Return a row per set, backbone and number of samples: trials, and mean and standard deviation of each score."""
    grouped = results.groupby(["set", "backbone", "samples"], sort=False)
    table = grouped[list(SCORES)].agg(["mean", "std"])
    table.columns = pd.Index([f"{score}_{kind}" for score in SCORES for kind in ("mean", "std")])
    table.insert(0, "trials", grouped.size())
    return table.reset_index()
