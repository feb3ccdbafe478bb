"""How close the simulated chest films come to real ones in grey levels and in power spectrum.

Real films are read from `xray/images` in the folder of real scans (CONTRIBUTING.md); only
their averages are drawn, never a film. Writes docs/pages/figures/simulator_realism.png, prints the distances as JSON.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import platform
import sys
import tempfile
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from real_data import REAL_DATA

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from medsyn.data.sample import write_sample  # noqa: E402

Array = NDArray[np.float64]
BINS = 64


def real_films(count: int, size: int, seed: int) -> Array:
    """Read a random subset of the real films.

    Args:
        count: how many.
        size: rows and columns after Lanczos resizing.
        seed: of the choice.

    Returns:
        float64 (count, size, size) in 0 to 1.

    Raises:
        FileNotFoundError: if no real film is found.
    """
    folder = REAL_DATA / "xray" / "images"
    files = sorted(folder.glob("*.jpg"))
    if not files:
        raise FileNotFoundError(f"no real films in {folder}; set MEDSYN_TEST_DATA to the data folder")
    chosen = np.random.default_rng(seed).permutation(len(files))[:count]
    films = [Image.open(files[i]).convert("L").resize((size, size), Image.Resampling.LANCZOS) for i in chosen]
    return np.stack([np.asarray(film, dtype=float) / 255 for film in films])


def simulated_films(count: int, size: int, seed: int) -> Array:
    """Write the sample and read it back through modality LUT, VOI LUT and inversion.

    Args:
        count: how many films.
        size: rows and columns.
        seed: of the sample.

    Returns:
        float64 (count, size, size) in 0 to 1.
    """
    films: list[Array] = []
    with tempfile.TemporaryDirectory() as folder:
        table = write_sample(Path(folder), subjects=count, seed=seed, size=size)
        with table.open(encoding="utf-8") as stream:
            names = [row["file"] for row in csv.DictReader(stream)]
        for name in np.random.default_rng(seed).permutation(names)[:count]:
            ds = pydicom.dcmread(Path(folder) / name)
            film = np.asarray(apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds), dtype=float)
            film = (film - float(ds.get("RescaleIntercept", 0))) / 4095
            films.append(1 - film if ds.PhotometricInterpretation == "MONOCHROME1" else film)
    return np.stack(films)


def histograms(films: Array) -> Array:
    """Grey-level histogram of each film, shares summing to 1, (films, BINS)."""
    edges = np.linspace(0, 1, BINS + 1)
    return np.stack([np.histogram(film, edges)[0] / film.size for film in films])


def spectra(films: Array) -> Array:
    """Radially averaged power spectrum of each film in dB (Hann window, mean removed), (films, size / 2 - 1)."""
    size = films.shape[1]
    window = np.hanning(size)[:, None] * np.hanning(size)[None, :]
    centred = films - films.mean(axis=(1, 2), keepdims=True)
    power = np.abs(np.fft.fft2(centred * window)) ** 2
    ring = np.rint(np.hypot(*np.meshgrid(np.fft.fftfreq(size), np.fft.fftfreq(size))) * size).astype(int).ravel()
    total = np.stack([np.bincount(ring, one.ravel()) for one in power]) / np.bincount(ring)
    return 10 * np.log10(total[:, 1 : size // 2] + 1e-12)


def draw(path: Path, groups: dict[str, tuple[Array, Array]], notes: tuple[str, str]) -> None:
    """Draw medians with quartile bands of both measures."""
    colours = {"real films": "#3b4252", "simulated films": "#d08020"}
    figure, axes = plt.subplots(1, 2, figsize=(10.5, 4.2), dpi=150, layout="constrained")
    for name, (levels, power) in groups.items():
        frequency = np.arange(1, power.shape[1] + 1) / (2 * (power.shape[1] + 1))
        for axis, x, values in ((axes[0], (np.arange(BINS) + 0.5) / BINS, 100 * levels), (axes[1], frequency, power)):
            low, middle, high = np.percentile(values, [25, 50, 75], axis=0)
            axis.fill_between(x, low, high, color=colours[name], alpha=0.22, linewidth=0)
            axis.plot(x, middle, color=colours[name], linewidth=1.8, label=name)
    axes[0].set(xlabel="grey level (0 black, 1 white)", ylabel="share of pixels (%)", title="Grey levels", xlim=(0, 1))
    axes[0].set_ylim(bottom=0)
    axes[1].set(
        xlabel="spatial frequency (cycles per pixel)", ylabel="power (dB)", title="Power spectrum", xscale="log"
    )
    for axis, note in zip(axes, notes, strict=True):
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False, loc="upper left" if axis is axes[0] else "lower left", title="median, quartile band")
        axis.text(0.98, 0.97, note, transform=axis.transAxes, ha="right", va="top", fontsize=9, color="#555555")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)


def main() -> int:
    """Run the comparison; returns the exit code, 2 without real films."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--films", type=int, default=200)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, default=ROOT / "docs" / "pages" / "figures" / "simulator_realism.png")
    options = parser.parse_args()
    try:
        real = real_films(options.films, options.size, options.seed)
    except FileNotFoundError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    simulated = simulated_films(options.films, options.size, options.seed)
    groups = {name: (histograms(x), spectra(x)) for name, x in (("real films", real), ("simulated films", simulated))}
    (real_levels, real_power), (levels, power) = groups.values()
    # In one dimension the Wasserstein distance is the area between the cumulative histograms.
    histogram = float(np.abs(np.cumsum(levels.mean(0) - real_levels.mean(0))).sum() / BINS)
    spectrum = float(np.sqrt(np.mean((power.mean(0) - real_power.mean(0)) ** 2)))
    notes = (f"Wasserstein distance {histogram:.3f} of full range", f"RMS difference {spectrum:.1f} dB")
    draw(options.figure, groups, notes)
    report = {
        "histogram_wasserstein": round(histogram, 4),
        "log_spectrum_rms_db": round(spectrum, 3),
        "films": [len(real), len(simulated)],
        "size": options.size,
        "seed": options.seed,
        "machine": {"architecture": platform.machine(), "cpus": os.cpu_count()},
        "command": f"python benchmarks/simulator_realism.py --films {options.films} --size {options.size} "
        f"--seed {options.seed}",
    }
    print(json.dumps(report, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
