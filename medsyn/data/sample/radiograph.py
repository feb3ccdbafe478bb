"""From attenuation line integrals to a 12-bit computed radiograph: exposure, scatter, noise, blur and display tone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, zoom

__all__ = ["FULL_SCALE", "Film", "Technique", "expose", "sample_technique"]

Array = NDArray[np.float64]

FULL_SCALE = 4095


@dataclass(frozen=True)
class Technique:
    """Exposure and processing of one film.

    Attributes:
        kvp: tube voltage in kV, recorded in the header.
        quanta: detected quanta per pixel in the unattenuated beam at 128 px; scales with pixel area.
        scatter: scattered share of the detected signal behind the body, after the grid.
        blur: standard deviation of the detector and focal-spot blur in pixels at 128 px.
        vendor: 0 or 1, which of two display processings is used.
        air: presentation value of the open beam.
        dark: presentation value aimed at for the lungs' darkest twentieth.
        bright: presentation value aimed at for the densest hundredth of the body.
        gamma: curvature of the display tone.
        collimation: left, top, right and bottom widths of the shuttered border as shares of the field.
        shutter: presentation value of that border, 0 for black and 1 for white.
        marker: whether a lead side marker lies in the field.
    """

    kvp: int
    quanta: float
    scatter: float
    blur: float
    vendor: int
    air: float
    dark: float
    bright: float
    gamma: float
    collimation: tuple[float, float, float, float]
    shutter: float
    marker: bool


@dataclass(frozen=True)
class Film:
    """A processed film: what is stored and how to show it.

    Attributes:
        codes: uint16 (size, size), 0 to 4095, linear in log exposure, dense tissue high.
        tone: uint16 (4096,), non-decreasing; tone[codes] is the for-presentation image, bone bright.
    """

    codes: NDArray[np.uint16]
    tone: NDArray[np.uint16]


def sample_technique(rng: np.random.Generator, *, portable: bool, vendor: int) -> Technique:
    """Draw exposure and processing: a portable unit gives fewer quanta, more scatter and more blur.

    Args:
        rng: the film's own generator.
        portable: True for a bedside (AP) film.
        vendor: 0 or 1.

    Returns:
        The technique. Scatter fractions after a grid follow Niklason et al. 1981 (Radiology 138), about 0.3 to 0.5.

    Raises:
        ValueError: if vendor is neither 0 nor 1.
    """
    if vendor not in (0, 1):
        raise ValueError(f"vendor must be 0 or 1, got {vendor}")
    border = np.zeros(4)
    if rng.random() < 0.2:
        border = np.clip(rng.normal(0.0, 0.035, 4), 0.0, 0.09)
    return Technique(
        kvp=int(rng.choice([80, 85, 90]) if portable else rng.choice([110, 117, 120, 125])),
        quanta=float(10 ** rng.uniform(4.9, 5.4) if portable else 10 ** rng.uniform(5.3, 5.9)),
        scatter=float(rng.uniform(0.40, 0.52) if portable else rng.uniform(0.28, 0.42)),
        blur=float(rng.uniform(0.35, 0.6) if portable else rng.uniform(0.3, 0.45)),
        vendor=vendor,
        air=float(np.clip(rng.normal(0.05, 0.06), 0.0, 0.2)),
        dark=float(np.clip(rng.normal(0.32, 0.09), 0.12, 0.55)),
        bright=float(np.clip(rng.normal(0.90, 0.045), 0.75, 1.0)),
        gamma=float(np.exp(rng.normal(0.0, 0.14))),
        collimation=(float(border[0]), float(border[1]), float(border[2]), float(border[3])),
        shutter=float(rng.random() < 0.15),
        marker=bool(rng.random() < 0.6),
    )


def _detect(integrals: Array, technique: Technique, rng: np.random.Generator) -> Array:
    """Detected signal relative to the open beam: Beer-Lambert primary, wide scatter, quantum noise, blur."""
    size = integrals.shape[0]
    primary = np.exp(-integrals)
    # Scatter is so smooth that a quarter of the resolution loses nothing and saves the wide convolution.
    step = max(1, size // 32)
    side = size // step
    coarse = primary[: side * step, : side * step].reshape(side, step, side, step).mean(axis=(1, 3))
    # Capped where the beam passes beside the body: air scatters nothing, and glare from it would fog the skin line.
    wide = gaussian_filter(np.minimum(coarse, 0.35), side * 0.09, mode="nearest")
    scatter = zoom(wide, size / side, order=1, mode="nearest", grid_mode=True)
    ratio = technique.scatter / (1 - technique.scatter)
    behind = np.clip(integrals / 1.0, 0.0, 1.0)
    signal = primary + ratio * 0.5 * scatter[:size, :size] * behind
    signal = gaussian_filter(signal, technique.blur * size / 128, mode="nearest")
    quanta = technique.quanta * (128 / size) ** 2
    return np.maximum(rng.poisson(signal * quanta), 1.0) / quanta


def _marker(size: int) -> tuple[NDArray[np.bool_], int]:
    """Raster of a lead letter L and its side in pixels."""
    tall = max(4, size // 20)
    stroke = max(1, tall // 4)
    letter = np.zeros((tall, tall), dtype=bool)
    letter[:, :stroke] = True
    letter[-stroke:, : tall * 2 // 3] = True
    return letter, tall


def expose(integrals: Array, technique: Technique, rng: np.random.Generator) -> Film:
    """Take and process one film.

    Detection is Beer-Lambert attenuation plus low-frequency scatter, Gaussian blur and Poisson noise; processing is
    the usual for-presentation chain of log conversion, vendor edge enhancement, anchoring to the exposed body and an
    S-shaped display tone (DICOM PS3.3 C.11.2 describes where such a tone is stored).

    Args:
        integrals: float64 (size, size), non-negative attenuation line integrals in nepers.
        technique: exposure and processing.
        rng: the film's own generator.

    Returns:
        The film, codes and tone both in 0 to 4095.

    Raises:
        ValueError: if integrals is not square or has negative or non-finite values.
    """
    if integrals.ndim != 2 or integrals.shape[0] != integrals.shape[1]:
        raise ValueError(f"integrals must be square, got shape {integrals.shape}")
    if not np.isfinite(integrals).all() or integrals.min() < 0:
        raise ValueError("integrals must be finite and non-negative")
    size = integrals.shape[0]
    density = -np.log(_detect(integrals, technique, rng))
    if technique.vendor == 0:
        density = density + 0.35 * (density - gaussian_filter(density, 0.018 * size, mode="nearest"))
    else:
        # Multi-frequency processing: flattens the slow component, lifts the fine one.
        slow = gaussian_filter(density, 0.10 * size, mode="nearest")
        density = density - 0.15 * slow + 0.2 * (density - gaussian_filter(density, 0.01 * size, mode="nearest"))
    inside = density[integrals > 0.8]
    low, high = np.percentile(inside, [5, 99]) if inside.size > 50 else (0.0, 5.0)
    # Half a window of latitude below the lungs keeps skin and air on the scale.
    scale = max(high - low, 0.5) * 1.75
    codes = np.clip((density - (high - scale * 0.94)) / scale, 0.0, 1.0)
    rows = np.linspace(0, 1, size)
    left, top, right, bottom = technique.collimation
    closed = ((rows < top) | (rows > 1 - bottom))[:, None] | ((rows < left) | (rows > 1 - right))[None, :]
    codes[closed] = technique.shutter
    if technique.marker:
        letter, tall = _marker(size)
        row, column = int(rng.uniform(0.03, 0.2) * size), int(rng.uniform(0.88, 0.93) * size)
        patch = codes[row : row + tall, column : column + tall]
        patch[letter[:, : patch.shape[1]]] = 1.0
    # Codes place the 5th and 99th percentiles of the body at fixed marks; the tone maps these to the wanted values.
    marks = [0.0, 0.10, 0.94 - 1 / 1.75, 0.94, 1.0]
    levels = [technique.air * 0.6, technique.air, technique.dark, technique.bright, 1.0]
    grey = np.linspace(0, 1, FULL_SCALE + 1)
    tone = np.interp(grey, marks, levels)
    middle = np.clip((tone - technique.dark) / max(technique.bright - technique.dark, 1e-6), 0, 1)
    bent = technique.dark + (technique.bright - technique.dark) * middle ** (0.78 * technique.gamma)
    tone = np.where((tone > technique.dark) & (tone < technique.bright), bent, tone)
    return Film(
        codes=np.round(codes * FULL_SCALE).astype(np.uint16), tone=np.round(tone * FULL_SCALE).astype(np.uint16)
    )
