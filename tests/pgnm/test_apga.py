from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from skimage.filters import threshold_otsu
from torch import Tensor, nn

from pgnm.apga.agent import MaskAgent, black_level, choose_action, keep, load_agent, save_agent
from pgnm.apga.inference import AidedClassifier, choose_inference, overlay_mask, predict_both, save_overlays
from pgnm.apga.masks import cutout_mask, grad_cam, grad_cam_mask, otsu_foreground, warm_start
from pgnm.apga.update import ApgaBaseline, ApgaOptions, agent_loss, apga_step, frozen_statistics, masked_step
from pgnm.errors import RunError, UsageError


def _generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _logits(batch: int = 3, size: int = 8) -> Tensor:
    return torch.randn(batch, 1, size, size, generator=_generator()).requires_grad_()


class _TinyClassifier(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(
            nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
        )


class _TinyAgent(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 1, 1))


@pytest.mark.parametrize("advantages", [[0.7], [-0.4], [0.0], [0.3, -1.2, 2.0]])
def test_the_logit_gradient_equals_the_hand_derived_one(advantages: list[float]) -> None:
    logits = _logits()
    action = choose_action(logits)
    advantage = torch.tensor(advantages).squeeze()
    agent_loss(logits, action, advantage, ApgaOptions(loss="released")).backward()
    p, a = logits.detach().sigmoid(), advantage.expand(3).view(-1, 1, 1, 1)
    n = logits.numel()
    expected = (100 * a * (p - action) + 0.1 * a.abs() * p + 0.01 * a.abs() * (p - 1)) / n
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, expected, rtol=0, atol=1e-6)


def test_the_paper_loss_has_the_gradient_of_its_formula() -> None:
    logits = _logits()
    action = choose_action(logits)
    agent_loss(logits, action, torch.tensor(0.5), ApgaOptions(loss="paper", lam=0.2)).backward()
    p = logits.detach().sigmoid()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad, (0.5 * (p - action) + 0.2 * p) / logits.numel(), rtol=0, atol=1e-6)


def test_the_area_loss_adds_a_price_that_is_zero_at_the_area() -> None:
    logits = torch.full((2, 1, 4, 4), 0.25).logit().requires_grad_()
    action = torch.zeros_like(logits)
    still = agent_loss(logits, action, torch.zeros(()), ApgaOptions(loss="area", lam=2.0, area=0.25))
    torch.testing.assert_close(torch.autograd.grad(still, logits)[0], torch.zeros_like(logits))
    # d/dlogit of lam (mean P - area)^2, a mean over the batch: 2 lam (P - area) P (1 - P) / n.
    off = agent_loss(logits, action, torch.zeros(()), ApgaOptions(loss="area", lam=2.0, area=0.1))
    expected = torch.full_like(logits, 2 * 2.0 * 0.15 * 0.25 * 0.75 / 32)
    torch.testing.assert_close(torch.autograd.grad(off, logits)[0], expected)


@pytest.mark.parametrize(("advantage", "away"), [(1.0, True), (-1.0, False)])
def test_a_positive_reward_sharpens_the_mask_and_a_negative_one_drives_it_to_one_half(
    advantage: float, away: bool
) -> None:
    logits = _logits()
    before = (logits.detach().sigmoid() - 0.5).abs()
    agent_loss(logits, choose_action(logits), torch.tensor(advantage), ApgaOptions()).backward()
    assert logits.grad is not None
    after = ((logits.detach() - 0.01 * logits.grad).sigmoid() - 0.5).abs()
    # The small terms move the point of rest a little off one half.
    clear = before > 0.01
    assert clear.sum() > 150 and ((after > before) == away)[clear].all()


def test_the_first_advantage_is_exactly_zero_and_later_ones_are_halved() -> None:
    baseline = ApgaBaseline()
    assert baseline(torch.tensor(0.7)).item() == 0
    # baseline 0.5 * 0.7 + 0.5 * 1.7 = 1.2
    assert baseline(torch.tensor(1.7)).item() == pytest.approx(0.5)
    # baseline 0.5 * 1.2 + 0.5 * 1.0 = 1.1
    assert baseline(torch.tensor([0.5, 1.5])).tolist() == pytest.approx([-0.6, 0.4])


def test_mask_images_fill_with_intensity_zero() -> None:
    mean, std = 0.3162, 0.3213
    raw = torch.rand(2, 3, 4, 4, generator=_generator())
    mask = (torch.rand(2, 1, 4, 4, generator=_generator(1)) > 0.5).float()
    masked = keep((raw - mean) / std, mask, black_level(mean, std))
    torch.testing.assert_close(masked * std + mean, raw * mask)


def test_the_bernoulli_action_has_the_agents_probability_and_repeats() -> None:
    logits = torch.full((1, 1, 200, 200), 0.5)
    action = choose_action(logits, "bernoulli", _generator())
    assert action.mean().item() == pytest.approx(logits.sigmoid()[0, 0, 0, 0].item(), abs=0.01)
    assert torch.equal(action, choose_action(logits, "bernoulli", _generator()))
    assert set(action.unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("encoder", ["vgg11", "resnet10t"])
def test_the_agent_gives_a_logit_per_pixel_at_sizes_that_no_stride_divides(encoder: str) -> None:
    torch.manual_seed(0)
    agent = MaskAgent(encoder, width=8).eval()
    assert agent(torch.randn(2, 3, 37, 50)).shape == (2, 1, 37, 50)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert agent(torch.randn(1, 3, 32, 32)).dtype == torch.float32
    again = MaskAgent(**agent.settings()).eval()
    again.load_state_dict(agent.state_dict())
    image = torch.randn(1, 3, 32, 32)
    assert torch.equal(agent(image), again(image))


def test_an_agent_survives_its_file_and_other_files_are_refused(tmp_path: Path) -> None:
    agent = MaskAgent("test_resnet", width=8, cell=2).eval()
    save_agent(tmp_path / "agent.safetensors", agent)
    again = load_agent(tmp_path / "agent.safetensors")
    image = torch.randn(1, 3, 32, 32)
    assert again.cell == 2 and torch.equal(again(image), agent(image))
    (tmp_path / "text.safetensors").write_text("no")
    for name in ("text.safetensors", "absent.safetensors"):
        with pytest.raises(RunError, match=name):
            load_agent(tmp_path / name)


def test_cells_share_the_mean_of_their_logits() -> None:
    torch.manual_seed(0)
    fine = MaskAgent("resnet10t", width=8).eval()
    coarse = MaskAgent("resnet10t", width=8, cell=5).eval()
    coarse.load_state_dict(fine.state_dict())
    images = torch.randn(1, 3, 33, 40)
    one, other = fine(images), coarse(images)
    assert other.shape == one.shape
    for top, left in ((0, 0), (5, 35), (30, 10)):
        square = (..., slice(top, top + 5), slice(left, left + 5))
        torch.testing.assert_close(other[square], one[square].mean().expand_as(other[square]))


def test_unusable_encoders_and_sizes_are_refused() -> None:
    with pytest.raises(UsageError, match="vgg11"):
        MaskAgent("resnet10x")
    with pytest.raises(UsageError, match="--size"):
        MaskAgent("resnet10t", width=8)(torch.zeros(2, 3, 16, 16))


@pytest.mark.parametrize("reward", ["batch", "image"])
@pytest.mark.parametrize("action", ["threshold", "bernoulli"])
@pytest.mark.parametrize("loss", ["paper", "released", "area"])
def test_a_step_trains_both_networks_and_reports_its_terms(reward: str, action: str, loss: str) -> None:
    torch.manual_seed(0)
    classifier, agent, baseline = _TinyClassifier(), _TinyAgent(), ApgaBaseline()
    optimisers = [torch.optim.SGD(m.parameters(), lr=0.01) for m in (classifier, agent)]
    options = ApgaOptions(loss=loss, reward=reward, action=action)
    images, targets = torch.randn(6, 3, 12, 12), torch.tensor([0, 1] * 3)
    before = [p.detach().clone() for p in agent.parameters()]
    for step in range(3):
        report = apga_step(
            images, targets, classifier, agent, *optimisers, baseline, options, generator=_generator(step)
        )
        if step == 0:
            assert report["advantage"].abs() < 1e-7
            assert report["baseline"] == report["reward"]
    assert all(value.isfinite() and value.ndim == 0 and not value.requires_grad for value in report.values())
    assert report["reward"].item() == pytest.approx(
        (report["loss_adversarial"] - report["loss_original"]).item(), abs=1e-6
    )
    assert any(not torch.equal(old, new) for old, new in zip(before, agent.parameters(), strict=True))


def test_several_actions_are_judged_against_each_other() -> None:
    torch.manual_seed(0)
    classifier, agent = _TinyClassifier(), _TinyAgent()
    optimisers = [torch.optim.SGD(m.parameters(), lr=0.01) for m in (classifier, agent)]
    images, targets = torch.randn(5, 3, 12, 12), torch.tensor([0, 1, 0, 1, 0])
    rewards: list[Tensor] = []
    baseline = ApgaBaseline()
    baseline.register_forward_pre_hook(lambda _, inputs: rewards.append(inputs[0]))
    options = ApgaOptions(loss="paper", lam=0.0, reward="image", action="bernoulli", actions=3)
    report = apga_step(images, targets, classifier, agent, *optimisers, baseline, options, generator=_generator())
    assert rewards[0].shape == (15,)
    # Masks of one image differ, so the agent learns something at the first step already.
    assert report["loss_agent"] != 0
    assert report["reward"].item() == pytest.approx(rewards[0].mean().item(), abs=1e-6)


def test_by_contrast_the_reward_compares_what_is_left_with_what_is_kept() -> None:
    torch.manual_seed(0)
    classifier, agent = _TinyClassifier(), _TinyAgent()
    optimisers = [torch.optim.SGD(m.parameters(), lr=0.0) for m in (classifier, agent)]
    images, targets = torch.randn(4, 3, 12, 12), torch.tensor([0, 1, 0, 1])
    options = ApgaOptions(reward="image", pay="contrast", fresh_mask=False)
    report = apga_step(images, targets, classifier, agent, *optimisers, ApgaBaseline(), options)
    contrast = (report["loss_adversarial"] - report["loss_aiding"]).item()
    assert report["reward"].item() == pytest.approx(contrast, abs=1e-6)


def test_bounded_logits_keep_every_action_possible() -> None:
    torch.manual_seed(0)
    classifier, agent = _TinyClassifier(), _TinyAgent()
    with torch.no_grad():
        for parameter in agent.parameters():
            parameter.fill_(-9.0)
    optimisers = [torch.optim.SGD(m.parameters(), lr=0.0) for m in (classifier, agent)]
    options = ApgaOptions(reward="image", action="bernoulli", bound=1.0, fresh_mask=False)
    images, targets = torch.rand(4, 3, 12, 12), torch.tensor([0, 1, 0, 1])
    report = apga_step(images, targets, classifier, agent, *optimisers, ApgaBaseline(), options, generator=_generator())
    assert 0.15 < report["mask_share"] < 0.4  # sigmoid(-1) is 0.27


def test_the_adversarial_image_never_trains_the_classifier() -> None:
    torch.manual_seed(0)
    classifier = _TinyClassifier().train()
    seen: list[Tensor] = []
    classifier.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]) if torch.is_grad_enabled() else None)
    agent = _TinyAgent()
    images = torch.randn(4, 3, 12, 12)
    optimisers = [torch.optim.SGD(m.parameters(), lr=0.01) for m in (classifier, agent)]
    norm = classifier[1]
    apga_step(images, torch.tensor([0, 1, 0, 1]), classifier, agent, *optimisers, ApgaBaseline())
    # The original and the aiding image alone, in the gradient and in the statistics of batch norm.
    assert len(seen) == 2 and torch.equal(seen[0], images)
    assert int(norm.num_batches_tracked) == 2


def test_frozen_statistics_normalise_by_the_batch_and_change_nothing() -> None:
    norm = nn.BatchNorm2d(2).train()
    values = torch.randn(8, 2, 4, 4) * 5 + 3
    with frozen_statistics(norm):
        result = norm(values)
    assert result.mean().abs() < 1e-5
    assert torch.equal(norm.running_mean, torch.zeros(2)) and norm.track_running_stats
    assert int(norm.num_batches_tracked) == 0


def test_cutout_equals_a_naive_loop_and_clips_at_the_border() -> None:
    mask = cutout_mask(50, (9, 12), 4, _generator())
    centre = torch.rand(2, 50, 1, generator=_generator())
    for i in range(50):
        cy, cx = int(centre[0, i] * 9), int(centre[1, i] * 12)
        expected = torch.ones(9, 12)
        expected[max(cy - 2, 0) : cy + 2, max(cx - 2, 0) : cx + 2] = 0
        assert torch.equal(mask[i, 0], expected)


def test_otsu_agrees_with_scikit_image() -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(0, 1, (4, 32, 32)).astype(np.float32)
    images[:, 8:20, 8:20] += 4
    marked = otsu_foreground(torch.from_numpy(images)[:, None].expand(-1, 3, -1, -1))
    for image, mask in zip(images, marked[:, 0].numpy(), strict=True):
        # Both cut a histogram of 256 bins; they may differ by the pixels of one bin.
        assert (mask.astype(bool) != (image > threshold_otsu(image))).mean() < 0.01
    assert otsu_foreground(torch.ones(1, 3, 8, 8)).sum() == 0


def test_warm_start_teaches_the_agent_the_foreground() -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 16, 16) * 0.1
    images[:, :, 4:10, 4:10] += 2
    agent = _TinyAgent()
    losses = warm_start(agent, [images] * 60, torch.optim.Adam(agent.parameters(), lr=0.05))
    assert losses[-1] < losses[0]
    assert agent(images).sigmoid()[:, :, 6, 6].detach().mean().item() == pytest.approx(0.8, abs=0.05)
    assert torch.equal(choose_action(agent(images)), otsu_foreground(images))


def test_grad_cam_equals_the_textbook_computation() -> None:
    torch.manual_seed(0)
    model = timm.create_model("resnet10t", num_classes=3).eval()
    images = torch.randn(2, 3, 64, 64)
    heat = grad_cam(model, images, torch.tensor([0, 2]))
    features = model.forward_features(images).detach()
    # Global average pooling and a linear head: the mean gradient is the head's weight over the number of positions.
    weights = model.fc.weight[[0, 2]].detach() / features.shape[-1] ** 2
    small = (features * weights[:, :, None, None]).sum(1, keepdim=True).clamp_min(0)
    large = nn.functional.interpolate(small, size=(64, 64), mode="bilinear", align_corners=False)
    top = large.amax(dim=(1, 2, 3), keepdim=True)
    torch.testing.assert_close(heat, large / top.clamp_min(1e-30), rtol=1e-4, atol=1e-5)
    mask = grad_cam_mask(model, images, torch.tensor([0, 2]))
    # Where nothing speaks for the class the image is kept whole.
    assert torch.equal(mask, ((heat >= 0.5) | (top == 0)).float())


def test_grad_cam_refuses_models_without_a_feature_map() -> None:
    model = timm.create_model("vit_tiny_patch16_224", num_classes=2, img_size=32).eval()
    with pytest.raises(UsageError, match="convolutional"):
        grad_cam(model, torch.zeros(1, 3, 32, 32))


def test_masked_step_takes_two_steps() -> None:
    torch.manual_seed(0)
    classifier = _TinyClassifier()
    optimiser = torch.optim.SGD(classifier.parameters(), lr=0.01)
    mask = cutout_mask(4, (12, 12), 6, _generator())
    report = masked_step(torch.randn(4, 3, 12, 12), torch.tensor([0, 1, 0, 1]), mask, classifier, optimiser)
    assert report["mask_share"] == mask.mean()
    assert int(classifier[1].num_batches_tracked) == 2


def test_aided_prediction_is_the_mean_of_plain_and_aiding() -> None:
    torch.manual_seed(0)
    classifier, agent, images = _TinyClassifier().eval(), _TinyAgent().eval(), torch.randn(4, 3, 12, 12)
    plain, aided = predict_both(classifier, agent, images, fill=-1.0)
    aiding = classifier(keep(images, choose_action(agent(images)), -1.0)).softmax(1)
    torch.testing.assert_close(aided, (classifier(images).softmax(1) + aiding) / 2)
    torch.testing.assert_close(plain.sum(1), torch.ones(4))
    torch.testing.assert_close(AidedClassifier(classifier, agent, -1.0)(images).softmax(1), aided)


def test_the_better_inference_is_chosen_and_ties_stay_plain() -> None:
    targets = torch.tensor([0, 1])
    right, wrong = torch.eye(2), torch.eye(2).flip(0)
    assert choose_inference(targets, wrong, right) == "aided"
    assert choose_inference(targets, right, right) == "plain"


def test_overlays_outline_the_mask_and_keep_the_size(tmp_path: Path) -> None:
    image = np.full((20, 30), 200, np.uint8)
    mask = np.zeros((20, 30), bool)
    mask[5:12, 6:18] = True
    drawn = overlay_mask(image, mask)
    assert drawn.shape == (20, 30, 3)
    assert drawn[0, 0].tolist() == [100] * 3 and drawn[8, 10].tolist() == [200] * 3
    assert drawn[5, 6].tolist() == [255, 64, 64]
    paths = save_overlays(tmp_path, torch.zeros(1, 3, 20, 30), torch.from_numpy(mask)[None, None], ["a"], 0.5, 0.25)
    assert cv2.imread(str(paths[0])).shape == (20, 30, 3)
    with pytest.raises(UsageError, match="one size"):
        overlay_mask(image, mask[:5])


@pytest.mark.parametrize(
    "arguments", [{"loss": "mse"}, {"reward": "pixel"}, {"action": "soft"}, {"lam": -1.0}, {"actions": 4}]
)
def test_unknown_options_are_refused(arguments: dict) -> None:
    with pytest.raises(UsageError):
        ApgaOptions(**arguments)
