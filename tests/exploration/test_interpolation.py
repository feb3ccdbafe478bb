"""The way between two images: it begins and ends at them, and does not jump."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medsyn.exploration.interpolation import Point, between, great_circle
from medsyn.generator import Generator


@pytest.fixture(params=["small", "flowing", "whole"])
def generator(request: pytest.FixtureRequest) -> Generator:
    return request.getfixturevalue(request.param)


@pytest.mark.parametrize(
    ("start", "end"),
    [(Point(0, 3), Point(0, 4)), (Point(0, 3), Point(2, 3)), (Point(1, 3, 8), Point(2, 9, 70))],
    ids=["walk", "morph", "both"],
)
def test_ends_are_the_samples(generator: Generator, start: Point, end: Point) -> None:
    made = between(generator, start, end, np.array([0.0, 0.5, 1.0]))
    for image, point in ((made[0], start), (made[2], end)):
        (asked,) = generator.sample(np.array([point.label]), point.seed, np.array([point.index]))
        assert np.allclose(image, asked, atol=1e-5)
    assert not np.allclose(made[1], made[0], atol=1e-3)
    assert not np.allclose(made[1], made[2], atol=1e-3)


def test_a_walk_does_not_jump(either: Generator) -> None:
    """Not even from kind to kind, where there are kinds."""
    either.first_stage.scale.fill_(0.05)  # dark and bright places are not clipped
    index = np.arange(40)
    kinds = either.draw(0, index)[:, 0] > 0  # two components of equal share: the sign picks
    a, b = int(index[kinds][0]), int(index[~kinds][0])
    way = between(either, Point(0, 0, a), Point(0, 0, b), np.linspace(0, 1, 101))
    steps = np.abs(np.diff(way, axis=0)).mean((1, 2, 3))
    assert 0 < steps.max() < 3 * steps.mean()


def test_more_images_than_a_batch(small: Generator) -> None:
    shares = np.linspace(0, 1, 40)
    made = between(small, Point(0, 0), Point(1, 1), shares)
    assert made.shape == (40, 1, 12, 12)
    assert np.allclose(made[20:], between(small, Point(0, 0), Point(1, 1), shares[20:]), atol=1e-5)


def test_the_circle_keeps_the_length_of_noise() -> None:
    a, b = torch.randn(2, 1, 4096, generator=torch.Generator().manual_seed(0))
    at = torch.linspace(0, 1, 9)[:, None]
    lengths = great_circle(a, b, at).norm(dim=1) / a.norm()
    assert (lengths - 1).abs().max() < 0.05
    assert torch.equal(great_circle(a, a, at), a.expand(9, -1))
    assert great_circle(a[:, :0], b[:, :0], at).shape == (9, 0)
