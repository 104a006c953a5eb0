"""Phantoms: pictures that look like ultrasound, CT, MR and X-ray, made from a seed."""

import numpy as np

from radrefine.errors import UsageError
from radrefine.phantoms.ct import CT_SCENES, ct_phantom
from radrefine.phantoms.mr import MR_SCENES, mr_phantom
from radrefine.phantoms.ultrasound import SCENES, ultrasound_phantom
from radrefine.phantoms.xray import XRAY_SCENES, xray_phantom
from radrefine.records import Image

PHANTOMS = (
    *(f"CT/{scene}" for scene in CT_SCENES),
    *(f"MR/{scene}" for scene in MR_SCENES),
    *(f"US/{scene}" for scene in SCENES),
    *(f"XR/{scene}" for scene in XRAY_SCENES),
)
"""Names of all phantoms: modality/anatomy/pathology, some without pathology."""


def make_phantom(name: str, rng: np.random.Generator, size: tuple[int, int] = (256, 256)) -> Image:
    """Make the phantom `name`, one of `PHANTOMS`.

    Args:
        name: Modality, anatomy and mostly pathology, such as "US/breast/cyst".
        rng: Source of all choices.
        size: Height and width, px; 32 or more.

    Returns:
        (H, W) uint8, without marks.

    Raises:
        UsageError: An unknown name or a size too small.
    """
    if name not in PHANTOMS:
        raise UsageError(f"no phantom called {name!r}; choose one of {', '.join(PHANTOMS)}")
    if min(size) < 32:
        raise UsageError(f"phantoms need 32 px or more, got {size[0]} x {size[1]}; choose a larger size")
    modality, scene = name.split("/", 1)
    if modality == "CT":
        return ct_phantom(rng, size, scene)
    if modality == "MR":
        return mr_phantom(rng, size, scene)
    if modality == "XR":
        return xray_phantom(rng, size, scene)
    return ultrasound_phantom(rng, size, scene)


__all__ = ["PHANTOMS", "make_phantom", "ultrasound_phantom"]
