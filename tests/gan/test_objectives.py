import math

import pytest
import torch

from medsyn.gan.objectives import OBJECTIVES, NonSaturating, RelativisticPairing, Wasserstein
from medsyn.gan.objectives.gradients import squared_norm

WEIGHT = torch.tensor([3.0, -4.0])


def line(x: torch.Tensor) -> torch.Tensor:
    """A discriminator whose slope is 5 everywhere."""
    return x.flatten(1) @ WEIGHT


def test_pairing_losses_by_hand() -> None:
    real, fake = torch.tensor([2.0, 0.0]), torch.tensor([0.0, 1.0])
    objective = RelativisticPairing()
    by_hand = (math.log1p(math.exp(-2)) + math.log1p(math.exp(1))) / 2
    assert objective.discriminator(real, fake).item() == pytest.approx(by_hand)
    other = (math.log1p(math.exp(2)) + math.log1p(math.exp(-1))) / 2
    assert objective.generator(real, fake).item() == pytest.approx(other)


def test_pairing_at_balance_is_log_2() -> None:
    scores = torch.tensor([0.3, -4.0])
    assert RelativisticPairing().discriminator(scores, scores).item() == pytest.approx(math.log(2))


def test_label_smoothing_punishes_certainty() -> None:
    objective, fake = NonSaturating(), torch.zeros(1)
    sure, right = (objective.discriminator(torch.tensor([s]), fake) for s in (9.0, math.log(9)))
    assert sure > right  # sigmoid(log 9) = 0.9
    assert objective.generator(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(math.log(2))


def test_wasserstein_is_a_difference_of_means() -> None:
    real, fake = torch.tensor([1.0, 3.0]), torch.tensor([0.5, 0.5])
    assert Wasserstein().discriminator(real, fake).item() == pytest.approx(-1.5, abs=0.01)
    assert Wasserstein().generator(real, fake).item() == pytest.approx(-0.5)


def test_penalties_of_a_line() -> None:
    real, fake, between = torch.randn(6, 1, 1, 2), torch.randn(6, 1, 1, 2), torch.rand(6)
    assert RelativisticPairing().penalty(line, real, fake, between).item() == pytest.approx(25, rel=1e-4)
    assert NonSaturating().penalty(line, real, fake, between).item() == pytest.approx(12.5, rel=1e-4)
    assert Wasserstein().penalty(line, real, fake, between).item() == pytest.approx(16, rel=1e-4)


def test_the_wasserstein_penalty_looks_between_the_two() -> None:
    seen = []

    def critic(x: torch.Tensor) -> torch.Tensor:
        seen.append(x.detach())
        return line(x)

    Wasserstein().penalty(critic, torch.zeros(3, 1, 1, 2), torch.ones(3, 1, 1, 2), torch.tensor([0.0, 0.25, 1.0]))
    assert torch.allclose(seen[0][:, 0, 0, 0], torch.tensor([1.0, 0.75, 0.0]))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_penalty_can_be_differentiated_again(name: str) -> None:
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(2, 4), torch.nn.Softplus(), torch.nn.Linear(4, 1))
    images = torch.randn(5, 1, 1, 2)
    OBJECTIVES[name]().penalty(lambda x: network(x)[:, 0], images, images + 1, torch.rand(5)).backward()
    assert network[1].weight.grad.abs().sum() > 0


def test_squared_norm_of_a_quadratic() -> None:
    images = torch.tensor([[[[1.0, 2.0]]], [[[0.0, 3.0]]]])
    assert squared_norm(lambda x: x.flatten(1).square().sum(1) / 2, images).tolist() == pytest.approx([5.0, 9.0])
