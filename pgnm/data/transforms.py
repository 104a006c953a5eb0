"""Turn one decoded image into a square one: augmented for training, plain for evaluation."""

import math
from collections.abc import Callable

import numpy as np
from PIL import Image as PillowImage
from torchvision.transforms import InterpolationMode, v2

from pgnm.config import JUDGED_SHARE, Recipe
from pgnm.data.images import Image

_RANDAUGMENT_MAGNITUDE = 9
_AUGMIX_SEVERITY = 3
_BILINEAR = InterpolationMode.BILINEAR

Transform = Callable[[Image], Image]


def train_transform(recipe: Recipe) -> Transform:
    """Build the training augmentation: random resized crop (or the whole image), flip, the recipe's technique.

    Randomness comes from torch's default CPU generator. Grey images stay grey: each of these operations does the
    same to three equal channels as to one, at a third of the cost.
    """
    side = recipe.size
    crop = v2.RandomResizedCrop(side, scale=(recipe.crop_min, 1.0), interpolation=_BILINEAR, antialias=True)
    whole = v2.Resize((side, side), interpolation=_BILINEAR, antialias=True)
    steps = [crop if recipe.crop_min < 1 else whole, v2.RandomHorizontalFlip(recipe.flip)]
    if recipe.image_augment == "autoaugment":
        steps.append(v2.AutoAugment(v2.AutoAugmentPolicy.IMAGENET, interpolation=_BILINEAR))
    elif recipe.image_augment == "randaugment":
        steps.append(v2.RandAugment(magnitude=_RANDAUGMENT_MAGNITUDE, interpolation=_BILINEAR))
    elif recipe.image_augment == "augmix":
        steps.append(v2.AugMix(severity=_AUGMIX_SEVERITY, interpolation=_BILINEAR))
    return _OnPillow(v2.Compose(steps))


def eval_transform(recipe: Recipe) -> Transform:
    """Build the evaluation transform: the centre of the image, or all of it where training does not crop."""
    side = recipe.size
    if recipe.crop_min == 1:
        return _OnPillow(v2.Resize((side, side), interpolation=_BILINEAR, antialias=True))
    # Rounded down as timm does, which reads the same share from config.json.
    shorter = v2.Resize(math.floor(side / JUDGED_SHARE), interpolation=_BILINEAR, antialias=True)
    return _OnPillow(v2.Compose([shorter, v2.CenterCrop(side)]))


class _OnPillow:
    """Applies a torchvision transform to arrays; a class, so that loader processes can be given it."""

    def __init__(self, compose: v2.Transform | v2.Compose) -> None:
        self._compose = compose

    def __call__(self, image: Image) -> Image:
        return np.asarray(self._compose(PillowImage.fromarray(image)))
