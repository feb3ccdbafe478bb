import numpy as np
import pytest
import torch

from medsyn.generator import first_stage
from medsyn.generator.first_stage import PCA, AlignedPCA, Fitting
from medsyn.generator.first_stage.aligned_pca import align, field, inverse, warp

LABELS = np.arange(60) % 2


@pytest.fixture(scope="module")
def discs() -> np.ndarray:
    """Soft discs that differ in place and size only: 60 of 32 x 32."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:32, :32]
    made = []
    for _ in range(60):
        cy, cx, r = 15.5 + rng.normal(0, 1.5), 15.5 + rng.normal(0, 1.5), 8 + rng.normal(0, 0.8)
        made.append(1 / (1 + np.exp(np.hypot(y - cy, x - cx) - r)))
    return np.stack(made)[:, None].astype(np.float32)


def test_a_field_and_its_inverse_undo_each_other() -> None:
    controls = torch.randn(4, 2, 4, 4, generator=torch.Generator().manual_seed(0)) * 0.08
    d = field(controls, (32, 32))
    e = inverse(d)
    moved = warp(d.permute(0, 3, 1, 2), e, mode="bilinear").permute(0, 2, 3, 1)
    inside = slice(6, -6)
    assert (moved + e)[:, inside, inside].abs().max() < 2 / 32 / 4  # a quarter of a pixel


def test_alignment_makes_images_alike(discs: np.ndarray) -> None:
    images = torch.from_numpy(discs)
    aligned = warp(images, field(align(images)[0], (32, 32)))
    assert aligned.var(0).sum() < 0.7 * images.var(0).sum()


def test_codes_give_the_images_back(discs: np.ndarray) -> None:
    stage = AlignedPCA.fit(discs, LABELS, Fitting(explained=0.999, most=20))
    images = torch.from_numpy(discs)
    codes = stage.encode(images)
    assert codes.shape == (60, stage.noise - 1)
    assert (stage.decode(codes) - images).square().mean().sqrt() < 0.05
    rebuilt = first_stage.build(stage.sizes(), (1, 32, 32))
    rebuilt.load_state_dict(stage.state_dict())
    assert torch.equal(rebuilt.decode(codes), stage.decode(codes))


def test_half_a_disc_does_not_appear_where_plain_components_blend(discs: np.ndarray) -> None:
    """Aligned samples stay nearer to real discs than plain ones with as many components."""

    def gap(stage: PCA | AlignedPCA) -> float:
        noise = torch.randn(100, stage.noise, generator=torch.Generator().manual_seed(1))
        made = stage.decode(stage.sample(noise, torch.eye(2).repeat(50, 1)))
        return float(torch.cdist(made.flatten(1), torch.from_numpy(discs).flatten(1)).min(1).values.mean())

    aligned = AlignedPCA.fit(discs, LABELS, Fitting(explained=0.99, most=6))
    plain = PCA.fit(discs, LABELS, Fitting(explained=1.0, most=aligned.noise - 1))
    assert gap(aligned) < gap(plain)


def test_alignment_repeats_and_touches_no_global_randomness(discs: np.ndarray) -> None:
    images = torch.from_numpy(discs[:12])
    before = torch.get_rng_state()
    assert torch.equal(align(images)[0], align(images)[0])
    assert torch.equal(torch.get_rng_state(), before)
