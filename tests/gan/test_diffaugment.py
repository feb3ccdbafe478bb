import pytest
import torch

from medsyn.compute import counter_uniform, keyed_seed
from medsyn.config import load_preset
from medsyn.gan.diffaugment import DRAWS, MOST, POLICIES, adapted, diffaugment


def draws(n: int) -> torch.Tensor:
    return counter_uniform(keyed_seed("test"), torch.arange(n), DRAWS)


RAMP = torch.linspace(0.2, 0.8, 16).expand(32, 1, 16, 16)  # dark left, bright right


@pytest.mark.parametrize("modality", ["xray", "ct"])
def test_a_chest_is_never_mirrored(modality: str) -> None:
    policy = [p for p in load_preset(modality).diffaugment if p not in ("translation", "cutout")]
    out = diffaugment(RAMP, policy, draws(32))
    assert "flip" not in policy
    assert (out[..., -1] > out[..., 0]).all()


def test_flip_mirrors_about_half() -> None:
    out = diffaugment(RAMP, ["flip"], draws(32))
    mirrored = (out[..., -1] < out[..., 0]).all((1, 2)).sum()
    assert 6 <= mirrored <= 26


def test_translation_moves_by_an_eighth_at_most_and_fills_with_black() -> None:
    point = torch.zeros(64, 1, 16, 16)
    point[:, :, 8, 8] = 1
    out = diffaugment(point, ["translation"], draws(64))
    _, _, y, x = out.nonzero(as_tuple=True)
    assert len(y) == 64
    assert ((y - 8).abs() <= 2).all()
    assert ((x - 8).abs() <= 2).all()
    assert len(set(zip(y.tolist(), x.tolist(), strict=True))) > 10


def test_cutout_blackens_at_most_a_quarter() -> None:
    out = diffaugment(torch.ones(64, 1, 16, 16), ["cutout"], draws(64))
    gone = (out == 0).float().mean((1, 2, 3))
    assert gone.max() <= 0.25 + 1e-6
    assert gone.min() > 0


@pytest.mark.parametrize("name", POLICIES)
def test_every_policy_passes_gradients_and_repeats(name: str) -> None:
    images = torch.rand(8, 1, 16, 16, requires_grad=True)
    out = diffaugment(images, [name], draws(8))
    out.sum().backward()
    assert images.grad.abs().sum() > 0
    assert torch.equal(out, diffaugment(images, [name], draws(8)))


def test_strength_is_the_share_of_images_that_change() -> None:
    images = torch.rand(400, 1, 16, 16)
    changed = (diffaugment(images, ["brightness"], draws(400), 0.3) != images).any(3).any(2).any(1)
    assert 0.2 < changed.float().mean() < 0.4
    assert torch.equal(diffaugment(images, ["brightness"], draws(400), 0.0), images)


def test_all_policies_together_have_enough_numbers() -> None:
    assert 1 + sum(takes for _, takes in POLICIES.values()) <= DRAWS


def test_strength_follows_the_discriminators_memory() -> None:
    assert adapted(0.2, 0.9) > 0.2 > adapted(0.2, 0.1)
    assert adapted(MOST, 0.9) == MOST
    assert adapted(0.0, -1.0) == 0.0
