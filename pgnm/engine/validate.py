"""Judge a classifier on plain images while it trains."""

from itertools import islice

import torch
from torch import nn
from torch.nn import functional

from pgnm.data import Loader
from pgnm.engine.devices import Devices
from pgnm.errors import TrainingError
from pgnm.metrics import confusion_metrics
from pgnm.progress import Progress, ProgressCallback, ignore_progress


@torch.inference_mode()
def validate(
    model: nn.Module,
    loader: Loader,
    devices: Devices,
    *,
    batches: int | None = None,
    progress: ProgressCallback = ignore_progress,
) -> dict[str, float]:
    """Judge `model` on the plain images of `loader`; every process takes its share.

    Args:
        model: The classifier; put in evaluation mode and back.
        loader: Images in plain order.
        devices: Where to compute.
        batches: Only so many batches, to see that validation works; None for all.
        progress: Hears of each batch.

    Returns:
        `val_loss` (mean cross-entropy, nats), `val_f1` (macro), `val_balanced_accuracy`, `val_accuracy`.

    Raises:
        TrainingError: No process had an image.
    """
    was_training = model.training
    model.eval()
    # A process may have no image of a small part and adds nothing then; all of them must meet in the sums.
    n_classes = loader.n_classes
    confusion = torch.zeros(n_classes**2, dtype=torch.int64, device=devices.device)
    loss = torch.zeros((), device=devices.device)
    for number, (images, targets, _) in enumerate(islice(loader, batches), 1):
        with devices.autocast():
            logits = model(images).float()
        loss += functional.cross_entropy(logits, targets, reduction="sum")
        confusion += torch.bincount(targets * n_classes + logits.argmax(1), minlength=n_classes**2)
        progress(Progress("validating", number, len(loader) if batches is None else batches))
    model.train(was_training)
    confusion, loss = devices.sum(confusion), devices.sum(loss)
    if not confusion.any():
        raise TrainingError("there was not one batch of validation images; use a larger validation part")
    metrics = confusion_metrics(confusion.view(n_classes, n_classes).cpu().double().numpy())
    wanted = {f"val_{name}": metrics[name] for name in ("f1", "balanced_accuracy", "accuracy")}
    return {"val_loss": float(loss / confusion.sum()), **wanted}
