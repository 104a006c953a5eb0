"""What one update of pretraining moves, and how the loss scale of a state is taken up."""

import torch
from torch import Tensor

from pgnm.config import Recipe
from pgnm.engine import Devices
from pgnm.engine.optim import restore_scaler
from pgnm.engine.prepare import seeded_start
from pgnm.models import create_classifier
from pgnm.pretrain import Pretraining

RECIPE = Recipe(
    model="test_resnet", policy_model="test_resnet", size=16, grid=4, kernel=0, prior_momentum=0.5, policy_lr=0.0
)  # fmt: skip


def shapes_after(*parts: slice) -> list[Tensor]:
    """Return the dataset-level shapes before an update over parts of eight images, and after each of its batches."""
    with seeded_start(RECIPE):
        classifier = create_classifier("test_resnet", 3, size=16)
        stage = Pretraining(classifier, RECIPE, Devices(torch.device("cpu"), "fp32"), None)
    assert stage.policy is not None
    stage.policy.eval()  # what the heads say of an image then depends on no other image of its batch
    images = torch.randn(8, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    shapes = [stage.policy.a0.clone()]
    for number, part in enumerate(parts, 1):
        targets = torch.arange(8)[part] % 3
        stage.update(images[part], targets, 0.0, last=number == len(parts), share=1 / len(parts))
        shapes.append(stage.policy.a0.clone())
    return shapes


def test_dataset_level_shapes_move_once_per_update_however_it_is_cut_into_batches() -> None:
    start, whole = shapes_after(slice(0, 8))
    _, half, cut = shapes_after(slice(0, 4), slice(4, 8))
    assert torch.equal(half, start) and not torch.equal(whole, start)
    torch.testing.assert_close(cut, whole)


def test_a_state_without_a_loss_scale_leaves_that_of_fp16_as_it_is() -> None:
    scaler = torch.amp.GradScaler("cpu", init_scale=8.0)
    restore_scaler(scaler, {})
    assert scaler.get_scale() == 8.0
    restore_scaler(scaler, torch.amp.GradScaler("cpu", init_scale=2.0).state_dict())
    assert scaler.get_scale() == 2.0
