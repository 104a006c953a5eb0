"""timm's models by name, told before training starts where one is unknown or cannot take the images."""

from typing import Any

import timm
import torch
from torch import nn

from pgnm.errors import RunError, UsageError

# What timm and torch raise for images that a model cannot take.
_REFUSALS = (RuntimeError, AssertionError, ValueError, TypeError, IndexError)


def has_fixed_size(name: str, flag: str) -> bool:
    """Tell whether a timm model is built for one size of images, as those with position embeddings are.

    Args:
        name: Of the model.
        flag: Option that named it, for messages.

    Raises:
        UsageError: timm knows no such model; the message holds the nearest names.
    """
    if not timm.is_model(name.split(".")[0]):
        raise UsageError(f"{flag} {name!r} is not a model of timm{_near_models(name)}")
    known = timm.get_pretrained_cfg(name)
    return known is not None and bool(known.fixed_input_size)


def create_classifier(name: str, n_classes: int, *, size: int, pretrained: bool = False) -> nn.Module:
    """Create a timm classifier with three input channels for images of `size` px.

    Raises:
        UsageError: timm knows no such model, or it cannot take such images.
        RunError: Its published weights cannot be had.
    """
    # Convolutional models take no size.
    options: dict[str, Any] = {"img_size": size} if has_fixed_size(name, "--model") else {}
    try:
        model: nn.Module = timm.create_model(name, pretrained=pretrained, num_classes=n_classes, in_chans=3, **options)
    except (AssertionError, TypeError) as error:
        raise _refusal(name, "--model", size, error) from None
    except (OSError, RuntimeError) as error:  # timm raises either when weights cannot be fetched
        if not pretrained:
            raise
        known = timm.get_pretrained_cfg(name)
        place = (known and known.hf_hub_id) or f"timm/{name}"
        raise RunError(
            f"the published weights of {name} cannot be had: {str(error).splitlines()[0]} "
            f"Fetch them where there is a network with: hf download {place}"
        ) from None
    check_takes(model, name, "--model", size=size)
    return model


@torch.no_grad()
def check_takes(model: nn.Module, name: str, flag: str, *, size: int) -> None:
    """Raise UsageError where a model cannot take one square image of `size` px; leave it as it was."""
    training = model.training
    model.eval()  # neither statistics nor random numbers move
    try:
        model(torch.zeros(1, 3, size, size))
    except _REFUSALS as error:
        raise _refusal(name, flag, size, error) from None
    finally:
        model.train(training)


def _refusal(name: str, flag: str, size: int, error: Exception) -> UsageError:
    reason = " ".join(str(error).split())[:200].rstrip(".")
    told = f" ({reason})" if reason else ""
    return UsageError(f"{flag} {name} cannot take images of {size} px{told}; take another size or model")


def _near_models(name: str) -> str:
    import difflib

    matches = difflib.get_close_matches(name, timm.list_models(), n=3)
    return f"; did you mean {', '.join(matches)}?" if matches else "; see timm.list_models() for the names"
