"""The shortlist finds what all products find."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from medsyn.metrics import neighbours, shortlist
from medsyn.metrics.shortlist import Shortlist


def unit(vectors: np.ndarray) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.from_numpy(vectors.astype(np.float32)), dim=-1)


def smooth(rng: np.random.Generator, *shape: int, d: int = 90, noise: float = 0.02) -> np.ndarray:
    """Vectors that lie near a space of twelve dimensions, most of them near its first ones."""
    axes = np.linalg.qr(np.random.default_rng(9).normal(size=(d, 12)))[0]
    inner = rng.normal(size=(*shape, 12)) / np.arange(1, 13)
    return inner @ axes.T + rng.normal(0, noise / np.sqrt(d), (*shape, d))


@pytest.mark.parametrize("block", [7, 4096])
@pytest.mark.parametrize("clustered", [False, True])
def test_it_finds_the_best_and_no_others(monkeypatch: pytest.MonkeyPatch, block: int, clustered: bool) -> None:
    monkeypatch.setattr(shortlist, "BLOCK", block)
    rng = np.random.default_rng(0)
    references = smooth(rng, 3000)
    if clustered:  # many all but equal ones: the first look is too narrow, and must be widened
        references[:1500] = references[0] + smooth(rng, 1500, noise=0.2) * 0.02
    references[-1] = 0  # a flat picture
    views = smooth(rng, 5, 9)
    views[:, 0] = references[0]
    spared = Shortlist(unit(references))
    assert spared.pays
    out = rng.random((9, 3000)) < 0.3
    for excluded in (None, torch.from_numpy(out)):
        everything = (unit(views) @ unit(references).T).amax(0)
        if excluded is not None:
            everything[excluded] = -torch.inf
        places, products = spared.best(unit(views), 40, excluded)
        assert all(len(set(row.tolist())) == 40 for row in places)
        assert torch.allclose(products.sort(1).values, everything.topk(40).values.flip(1), atol=1e-5)
        assert torch.allclose(everything.gather(1, places), products, atol=1e-5)


def test_where_hardly_any_are_left_they_come_first() -> None:
    references = unit(smooth(np.random.default_rng(1), 500))
    excluded = torch.ones(1, 500, dtype=torch.bool)
    excluded[0, [3, 77]] = False
    places, products = Shortlist(references).best(references[None, 3:4], 10, excluded)
    assert set(places[0, torch.isfinite(products[0])].tolist()) == {3, 77}


def test_references_of_no_few_components_are_not_bounded() -> None:
    assert not Shortlist(unit(np.random.default_rng(0).normal(size=(2000, 90)))).pays


def test_of_many_references_the_nearest_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    coarse = rng.random((900, 1, 5, 5)).astype(np.float32)
    images = np.asarray(torch.nn.functional.interpolate(torch.from_numpy(coarse), (28, 28), mode="bicubic")).clip(0, 1)
    images[50:80] = images[:30, :, :, ::-1] * 0.9  # mirrored copies of another subject
    units = np.array([f"u{i // 2}" for i in range(900)])
    queries, own = np.concatenate([images[50:80], images[-60:]]), np.concatenate([units[50:80], units[-60:]])
    cases = [(queries[30:], None), (queries, own)]
    whole = [neighbours.nearest(asked, images, units, who) for asked, who in cases]
    monkeypatch.setattr(neighbours, "MANY", 1)
    monkeypatch.setattr(neighbours, "TOGETHER", 32)
    looked = []
    best = Shortlist.best
    monkeypatch.setattr(Shortlist, "best", lambda *given: looked.append(1) or best(*given))
    for expected, (asked, who) in zip(whole, cases, strict=True):
        found = neighbours.nearest(asked, images, units, who)
        assert found.distance == pytest.approx(expected.distance, abs=1e-4)
        assert found.ratio == pytest.approx(expected.ratio, abs=1e-4)
        assert found.second == pytest.approx(expected.second, abs=1e-4)
    assert len(looked) == 2 + 3
    assert np.array_equal(found.rows[:30], np.arange(30))
