from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import blobs
from scipy.ndimage import gaussian_filter
from skimage.metrics import structural_similarity

from medsyn.metrics.diversity import SCALE_WEIGHTS, effective_diversity, ms_ssim_diversity, vendi


def test_vendi_counts_distinct_vectors():
    far = np.eye(8) * 100
    assert vendi(far, 1.0) == pytest.approx(8)
    assert vendi(np.repeat(far[:3], 5, 0), 1.0) == pytest.approx(3)
    assert vendi(np.ones((9, 4)), 1.0) == pytest.approx(1)


def test_diversity_falls_with_the_share_of_modes_kept():
    rng = np.random.default_rng(0)
    real, other = rng.normal(size=(2, 120, 10))
    ratios = [effective_diversity(real, other[np.arange(120) % kept]) for kept in (120, 60, 12, 1)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] == pytest.approx(1, abs=0.2)
    assert ratios[-1] < 0.05


def test_sets_of_different_size_are_refused():
    with pytest.raises(ValueError, match="one size"):
        effective_diversity(np.zeros((4, 2)), np.zeros((5, 2)))


def alike(side):
    """Two images that share most structure: every pair is these two, in one order or the other."""
    images, _ = blobs(2, classes=1, side=side, seed=side)
    images[1] = 0.7 * images[0] + 0.3 * images[1]
    return images


def by_definition(a, b, scales):
    """MS-SSIM (Wang et al. 2003, eq. 7) with SciPy's filter, only where the window lies inside the image."""
    product = 1.0
    weights = np.array(SCALE_WEIGHTS[:scales]) / sum(SCALE_WEIGHTS[:scales])
    for scale, weight in enumerate(weights):

        def mean(x):
            return gaussian_filter(x, 1.5, radius=5)[5 : x.shape[0] - 5, 5 : x.shape[1] - 5]

        ma, mb = mean(a), mean(b)
        va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
        value = (2 * cov + 0.03**2) / (va + vb + 0.03**2)
        if scale == scales - 1:
            value = value * (2 * ma * mb + 0.01**2) / (ma**2 + mb**2 + 0.01**2)
        product *= max(value.mean(), 0) ** weight
        a, b = (x[: len(x) // 2 * 2, : len(x) // 2 * 2].reshape(len(x) // 2, 2, -1, 2).mean((1, 3)) for x in (a, b))
    return product


@pytest.mark.parametrize(("side", "scales"), [(11, 1), (28, 2), (64, 3), (98, 3), (99, 4), (128, 4)])
def test_ms_ssim_agrees_with_its_definition(side, scales):
    images = alike(side)
    reference = by_definition(*images[:, 0].astype(float), scales)
    assert reference > 0.3
    assert ms_ssim_diversity(images, 0, pairs=4) == pytest.approx(reference, abs=1e-4)


def test_one_scale_is_the_ssim_of_scikit_image():
    images = alike(16)
    reference = structural_similarity(*images[:, 0], data_range=1, gaussian_weights=True, use_sample_covariance=False)
    assert ms_ssim_diversity(images, 0, pairs=4) == pytest.approx(reference, abs=1e-4)


def test_ms_ssim_agrees_with_torchmetrics():
    # It reflects the image beyond its edges where MONAI stays inside: the larger the image, the less it matters.
    functional = pytest.importorskip("torchmetrics.functional.image")
    images = alike(128)
    pair = (torch.from_numpy(images[i : i + 1]) for i in (0, 1))
    weights = tuple(np.array(SCALE_WEIGHTS[:4]) / sum(SCALE_WEIGHTS[:4]))
    reference = functional.multiscale_structural_similarity_index_measure(*pair, data_range=1.0, betas=weights)
    assert ms_ssim_diversity(images, 0, pairs=4) == pytest.approx(reference.item(), abs=0.01)


def test_ms_ssim_is_high_for_copies_and_low_for_variety():
    images, _ = blobs(40, classes=1, side=32)
    varied, alike = ms_ssim_diversity(images, 0), ms_ssim_diversity(np.repeat(images[:2], 20, 0), 0)
    assert varied < alike - 0.2
    assert ms_ssim_diversity(np.repeat(images[:1], 40, 0), 0) == pytest.approx(1, abs=1e-5)


def test_large_images_are_averaged_down():
    images, _ = blobs(2, classes=1, side=256)
    small = images.reshape(2, 1, 128, 2, 128, 2).mean((3, 5))
    assert ms_ssim_diversity(images, 0) == pytest.approx(ms_ssim_diversity(small, 0), abs=1e-5)


def test_pairs_of_one_subject_are_left_out():
    images, _ = blobs(3, classes=1, side=28)
    films = images[[0, 0, 1, 2]]
    units = np.array(["a", "a", "b", "c"])
    assert ms_ssim_diversity(films, 0, pairs=400) > ms_ssim_diversity(films, 0, pairs=400, units=units)
    assert ms_ssim_diversity(films[:2], 0, units=units[:2]) is None
    assert ms_ssim_diversity(films[:, :, :8, :8], 0) is None
