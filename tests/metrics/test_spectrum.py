from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs
from scipy.ndimage import gaussian_filter
from scipy.stats import wasserstein_distance

from medsyn.metrics.spectrum import (
    LEVELS,
    grey_histograms,
    histogram_distance,
    log_spectra,
    spectrum_distance,
)


@pytest.mark.parametrize(("height", "width"), [(8, 8), (9, 12), (13, 7)])
def test_spectrum_is_the_sum_over_pixels(height, width):
    image = np.random.default_rng(0).random((1, 1, height, width), np.float32)
    window = np.outer(*(0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n) for n in (height, width)))
    grey = (image[0, 0].astype(float) - image.mean(dtype=float)) * window
    rings: dict[int, list[float]] = {}
    side = min(height, width)
    y, x = np.mgrid[:height, :width]
    for u in range(-((height - 1) // 2), height // 2 + 1):
        for v in range(-((width - 1) // 2), width // 2 + 1):
            wave = np.exp(-2j * np.pi * (u * y / height + v * x / width))
            ring = round(float(np.hypot(u / height, v / width)) * side)
            rings.setdefault(ring, []).append(abs((grey * wave).sum()) ** 2 / (window**2).sum())
    expected = [10 * np.log10(np.mean(rings[r]) + 1 / 255**2 / 12) for r in range(1, side // 2 + 1)]
    assert log_spectra(image)[0] == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("side", [28, 65])
def test_white_noise_of_twice_the_deviation_is_six_decibels_away(side):
    rng = np.random.default_rng(1)
    a, b = (rng.normal(0.5, s, (200, 1, side, side)).astype(np.float32) for s in (0.05, 0.1))
    assert log_spectra(a)[:, -5:].mean() == pytest.approx(20 * np.log10(0.05), abs=0.3)
    assert spectrum_distance(log_spectra(a), log_spectra(b)) == pytest.approx(20 * np.log10(2), abs=0.2)


def test_blur_moves_the_spectrum_further_than_another_draw_does():
    images, _ = blobs(120, side=32)
    rng = np.random.default_rng(0)
    images = images + rng.normal(0, 0.02, images.shape).astype(np.float32)
    first, second = log_spectra(images[:60]), log_spectra(images[60:])
    blurred = log_spectra(gaussian_filter(images[60:], (0, 0, 1, 1)))
    assert spectrum_distance(first, blurred) > 5 * spectrum_distance(first, second)


def test_histogram_distance_agrees_with_scipy():
    rng = np.random.default_rng(2)
    a, b = rng.beta(2, 3, (30, 1, 16, 16)).astype(np.float32), rng.beta(3, 2, (30, 1, 16, 16)).astype(np.float32)
    reference = wasserstein_distance(a.ravel(), b.ravel())
    assert histogram_distance(grey_histograms(a), grey_histograms(b)) == pytest.approx(reference, abs=1 / LEVELS)


def test_histogram_of_levels_at_the_ends():
    ends = np.array([-0.1, 0.0, 1.0, 1.2], np.float32).reshape(1, 1, 2, 2)
    assert grey_histograms(ends)[0, [0, -1]].tolist() == [0.5, 0.5]
    black, white = np.zeros((2, 1, 4, 4), np.float32), np.ones((2, 1, 4, 4), np.float32)
    assert histogram_distance(grey_histograms(black), grey_histograms(white)) == pytest.approx(1)
