"""What grey levels and spatial frequencies a set of images holds; no network."""

from __future__ import annotations

import numpy as np

LEVELS = 1024
"""Bins of a grey-level histogram: a distance is exact to 1 / LEVELS of the range."""

CHUNK = 64
_QUANTISATION = (1 / 255) ** 2 / 12
"""Variance of rounding to 8 bits: power below it is storage, not picture."""


def log_spectra(images: np.ndarray) -> np.ndarray:
    """Radially averaged power spectrum of every image, in decibels.

    The mean is taken out and a Hann window laid over, else the jump between opposite edges fills all frequencies.
    White noise of variance v comes to ``10 log10(v + 8-bit rounding)`` at every frequency, whatever the size.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1], H and W >= 4; channels are averaged.

    Returns:
        float64 ``[n, F]``, F = min(H, W) // 2: from the lowest frequency (one cycle a side) to Nyquist.
    """
    height, width = images.shape[-2:]
    window = np.outer(_hann(height), _hann(width))
    # Frequency in cycles per shorter side, so that bins are rings whatever the shape.
    side = min(height, width)
    fy, fx = np.fft.fftfreq(height)[:, None] * side, np.fft.rfftfreq(width)[None] * side
    ring = np.rint(np.hypot(fy, fx)).astype(int)
    # rfft keeps one of each conjugate pair; the pairs count twice in a ring's mean.
    weight = np.full(ring.shape, 2.0)
    weight[:, 0] = 1
    if width % 2 == 0:
        weight[:, -1] = 1
    bins = side // 2
    inside = (ring >= 1) & (ring <= bins)
    size = np.bincount(ring[inside], weight[inside], bins + 1)[1:]
    out = np.empty((len(images), bins))
    for start in range(0, len(images), CHUNK):
        grey = images[start : start + CHUNK].mean(1, dtype=np.float64)
        grey = (grey - grey.mean((1, 2), keepdims=True)) * window
        power = np.abs(np.fft.rfft2(grey)) ** 2 / (window**2).sum() * weight
        for i, image in enumerate(power, start):
            out[i] = np.bincount(ring[inside], image[inside], bins + 1)[1:] / size
    return 10 * np.log10(out + _QUANTISATION)


def _hann(n: int) -> np.ndarray:
    return 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(n) + 0.5) / n)


def spectrum_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Root mean square difference of two sets' mean log spectra over frequencies, in decibels.

    3 dB is half, or twice, the power. Smoothing takes power from the high frequencies, noise and grid artefacts add
    some (Durall et al. 2020).

    Args:
        real: `log_spectra` of a set.
        fake: The same of another.
    """
    return float(np.sqrt(np.mean((real.mean(0) - fake.mean(0)) ** 2)))


def grey_histograms(images: np.ndarray) -> np.ndarray:
    """Share of pixels at each of `LEVELS` grey levels, float32 ``[n, LEVELS]``.

    Args:
        images: float32 ``[n, C, H, W]`` in [0, 1].
    """
    out = np.empty((len(images), LEVELS), np.float32)
    for row, image in zip(out, images, strict=True):
        level = np.clip(np.rint(image.ravel() * (LEVELS - 1)), 0, LEVELS - 1).astype(int)
        row[:] = np.bincount(level, minlength=LEVELS) / len(level)
    return out


def histogram_distance(real: np.ndarray, fake: np.ndarray) -> float:
    """Wasserstein-1 distance of the pooled grey levels, in units of the whole range (0 to 1).

    Args:
        real: `grey_histograms` of a set.
        fake: The same of another.
    """
    gap = np.cumsum(real.mean(0, dtype=np.float64) - fake.mean(0, dtype=np.float64))
    return float(np.abs(gap[:-1]).sum() / (LEVELS - 1))
