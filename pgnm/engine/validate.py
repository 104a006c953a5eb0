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
    """
    was_training = model.training
    model.eval()
    confusion: torch.Tensor | None = None
    loss = torch.zeros((), device=devices.device)
    for number, (images, targets, _) in enumerate(islice(loader, batches), 1):
        with devices.autocast():
            logits = model(images).float()
        loss += functional.cross_entropy(logits, targets, reduction="sum")
        n_classes = logits.shape[1]
        counts = torch.bincount(targets * n_classes + logits.argmax(1), minlength=n_classes**2)
        confusion = counts if confusion is None else confusion + counts
        progress(Progress("validating", number, len(loader) if batches is None else batches))
    model.train(was_training)
    if confusion is None:
        raise TrainingError("there was not one batch of validation images; use a larger validation part")
    confusion, loss = devices.sum(confusion), devices.sum(loss)
    side = round(confusion.numel() ** 0.5)
    metrics = confusion_metrics(confusion.view(side, side).cpu().double().numpy())
    wanted = {f"val_{name}": metrics[name] for name in ("f1", "balanced_accuracy", "accuracy")}
    return {"val_loss": float(loss / confusion.sum()), **wanted}
