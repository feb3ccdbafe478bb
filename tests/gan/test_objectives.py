import math

import pytest
import torch

from medsyn.gan.objectives import discriminator_loss, generator_loss, gradient_penalty


def test_pairing_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])
    by_hand = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2
    assert discriminator_loss(real, fake).item() == pytest.approx(by_hand)
    assert generator_loss(real, fake).item() == pytest.approx((math.log1p(math.exp(2)) + math.log1p(math.exp(-1))) / 2)


def test_losses_at_balance_are_log_2() -> None:
    scores = torch.tensor([0.3, -4.0])
    assert discriminator_loss(scores, scores).item() == pytest.approx(math.log(2))
    assert generator_loss(scores, scores).item() == pytest.approx(math.log(2))


def test_penalty_of_a_linear_discriminator_is_its_squared_weight() -> None:
    weight = torch.tensor([3.0, -4.0], requires_grad=True)
    inputs = torch.randn(5, 2, requires_grad=True)
    penalty = gradient_penalty(inputs @ weight, inputs)
    assert penalty.item() == pytest.approx(25.0)
    penalty.backward()  # differentiable again: d |w|^2 / dw = 2 w
    assert torch.allclose(weight.grad, 2 * weight.detach())


def test_penalty_of_a_quadratic_discriminator() -> None:
    inputs = torch.tensor([[1.0, 2.0], [0.0, 3.0]], requires_grad=True)
    penalty = gradient_penalty(inputs.square().sum(1) / 2, inputs)
    assert penalty.item() == pytest.approx((1 + 4 + 9) / 2)
