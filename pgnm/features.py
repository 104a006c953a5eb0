"""Frozen backbones side by side and their features, computed once and kept."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torchvision.transforms.v2 import functional

from pgnm.checkpoints import load_classifier
from pgnm.concepts import ConceptPart, ConceptSet, Image
from pgnm.errors import RunError
from pgnm.files import atomic_path
from pgnm.models import create_classifier
from pgnm.progress import Progress, ProgressCallback, ignore_progress


@dataclass(frozen=True)
class Backbone:
    """A frozen network that turns images into features.

    Attributes:
        name: Name to show.
        model: timm model; its head is not used.
        size: Side of the input, px.
        mean: Mean of the intensities in [0, 1], one or three values.
        std: Standard deviation of the intensities.
    """

    name: str
    model: nn.Module
    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def fingerprint(self) -> str:
        """Return a hash of everything that the features depend on besides the images."""
        # Networks that compute different things can have the same weights; their descriptions differ.
        digest = hashlib.sha256(repr((self.size, self.mean, self.std, self.model)).encode())
        for name, value in sorted(self.model.state_dict().items()):
            digest.update(
                f"{name}{value.dtype}{tuple(value.shape)}".encode()
                + value.detach().cpu().contiguous().numpy().tobytes()
            )
        return digest.hexdigest()


def load_backbones(places: Sequence[str | Path], *, size: int = 0, seed: int = 0) -> list[Backbone]:
    """Load backbones: run folders, `imagenet:MODEL` (timm's published weights, or a folder of them) or `random:MODEL`.

    A `NAME=` before a place is the name to show. Published and random backbones take the input size of the first run
    folder, so that all see the same images.

    Args:
        places: Folders or names.
        size: Side of the input for published and random backbones; 0: as the first run folder, else 224.
        seed: Seed of random backbones.

    Raises:
        RunError: A run folder is unusable, or published weights cannot be fetched.
    """
    named = _told_apart([_split_name(str(place)) for place in places])
    runs = {place: load_classifier(place) for _, place in named if ":" not in place or Path(place).is_dir()}
    size = size or next((info.size for _, info in runs.values()), 224)
    backbones = []
    for name, place in named:
        if place in runs:
            model, info = runs[place]
            backbones.append(Backbone(name, model, info.size, (info.mean,), (info.std,)))
        else:
            backbones.append(_from_timm(name, place, size, seed))
    return backbones


def _told_apart(named: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Name each place: as it was given, by its last part, or whole where that is another's name, too."""
    short = [name or (Path(place).name if Path(place).is_dir() or ":" not in place else place) for name, place in named]
    names = [name or (place if short.count(own) > 1 else own) for (name, place), own in zip(named, short, strict=True)]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise RunError(f"two backbones are called {twice[0]}; tell them apart with NAME=PLACE")
    return [(name, place) for name, (_, place) in zip(names, named, strict=True)]


def _split_name(text: str) -> tuple[str, str]:
    if Path(text).is_dir():  # whatever it is called
        return "", text
    name, equals, place = text.partition("=")
    return (name, place) if equals else ("", text)


def _from_timm(name: str, place: str, size: int, seed: int) -> Backbone:
    kind, _, architecture = place.partition(":")
    if kind not in ("imagenet", "random"):
        raise RunError(f"a backbone is a run folder, imagenet:MODEL or random:MODEL; got {place!r}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            if kind == "imagenet" and Path(architecture).is_dir():
                model: nn.Module = timm.create_model(f"local-dir:{architecture}", pretrained=True)
            else:
                model = create_classifier(architecture, 1000, size=size, pretrained=kind == "imagenet")
        except RunError as error:
            raise RunError(f"{error} --local-dir FOLDER, and name imagenet:FOLDER") from None
        except (OSError, RuntimeError) as error:
            raise RunError(f"{architecture} has no weights that timm reads: {str(error).splitlines()[0]}") from None
    config = model.pretrained_cfg
    return Backbone(name, model.eval(), size, tuple(config["mean"]), tuple(config["std"]))  # type: ignore[index]


def compute_features(
    backbone: Backbone,
    concepts: ConceptSet,
    cache: Path,
    *,
    device: torch.device | str = "cpu",
    batch_size: int = 128,
    progress: ProgressCallback = ignore_progress,
) -> dict[str, NDArray[np.float32]]:
    """Return the features of every part of a set, (N, D) float32; from `cache` where they were computed before.

    The name of a file in the cache is a hash of weights and pixels, so it never holds features of anything else.
    """
    weights = backbone.fingerprint()
    features = {}
    for part, content in concepts.parts():
        path = cache / f"{_key(weights, content)}.npy"
        if not path.is_file():
            stage = f"features of {concepts.name} by {backbone.name}"
            values = _embed(backbone, content.images, torch.device(device), batch_size, stage, progress)
            with atomic_path(path) as temporary, temporary.open("wb") as stream:
                np.save(stream, values)
        features[part] = np.load(path, allow_pickle=False)
    return features


def _key(weights: str, content: ConceptPart) -> str:
    digest = hashlib.sha256(weights.encode())
    for image in content.images:
        digest.update(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes())
    return digest.hexdigest()[:32]


@torch.inference_mode()
def _embed(
    backbone: Backbone,
    images: NDArray[np.uint8] | list[Image],
    device: torch.device,
    batch_size: int,
    stage: str,
    progress: ProgressCallback,
) -> NDArray[np.float32]:
    # timm's models have methods of their own, which nn.Module's type does not know.
    model: Any = backbone.model.to(device).eval()
    mean = torch.tensor(backbone.mean, device=device).view(1, -1, 1, 1)
    std = torch.tensor(backbone.std, device=device).view(1, -1, 1, 1)
    parts = []
    for start in range(0, len(images), batch_size):
        pixels = torch.stack([_prepare(image, backbone.size) for image in images[start : start + batch_size]])
        batch = ((pixels.to(device).float() / 255 - mean) / std).contiguous(memory_format=torch.channels_last)
        maps = model.forward_features(batch)
        parts.append(model.forward_head(maps, pre_logits=True).float().cpu().numpy())
        progress(Progress(stage, min(start + batch_size, len(images)), len(images)))
    features = np.concatenate(parts)
    if not np.isfinite(features).all():
        raise RunError(f"the features of {backbone.name} are not finite; its training has diverged, train it anew")
    return features


def _prepare(image: Image, size: int) -> Tensor:
    """Resize the shorter side to `size` and take the centre; (3, size, size) uint8."""
    pixels = torch.from_numpy(np.ascontiguousarray(image))
    pixels = pixels.unsqueeze(0) if pixels.ndim == 2 else pixels.permute(2, 0, 1)
    if pixels.shape[-2:] != (size, size):
        pixels = functional.center_crop(functional.resize(pixels, [size], antialias=True), [size, size])
    return pixels.expand(3, -1, -1)
