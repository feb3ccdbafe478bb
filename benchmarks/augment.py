"""How fast is `medsyn augment`: bare sampling, selection, each format, one worker and two, against diffusion?

    python benchmarks/augment.py --data <folder with pneumoniamnist.npz> --budget 10m

PneumoniaMNIST at 32 px, a generator trained for the budget. "Bare sampling" is `Generator.sample` in a loop, the floor.
Everything else is the command as a user types it, in processes of its own, `--n` images in equal classes, its start
and the tables at the end included; "calibration" is what the first set of a dataset costs once. The baseline is MONAI's
class-conditional DDPM of the generators' benchmark, untrained (its weights change no time), sampled by DDIM in 50
steps. All figures are of one run, so that they can be compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from generators_networks import ddpm
from real_data import REAL_DATA

import medsyn
from medsyn import compute, generator
from medsyn.workspace import SYNTHETIC, Workspace

ROOT = Path(__file__).parent.parent
SIDE = 32
CASES = {
    "keeping all": ["--keep-all", "--format", "npz"],
    "selection, npz": ["--format", "npz"],
    "selection, png": ["--format", "png"],
    "selection, nifti": ["--format", "nifti"],
    "selection, dicom": ["--format", "dicom"],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--budget", default="10m", help="of the generator")
    parser.add_argument("--n", type=int, default=5000)
    parser.add_argument("--diffusion", type=int, default=128, help="images that the baseline makes")
    parser.add_argument("--workspace", type=Path, help="with a dataset and a generator that are there already")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder) / "workspace"
        if options.workspace:
            shutil.copytree(options.workspace, workspace, ignore=shutil.ignore_patterns("cache", "synthetic"))
        else:
            medsyn.ingest(options.data / "pneumoniamnist.npz", workspace=workspace, size=SIDE)
            medsyn.train_gan(workspace=workspace, budget=options.budget)
        numbers = {
            "command": " ".join(["python benchmarks/augment.py", *sys.argv[1:]]),
            "machine": f"{platform.machine()}, {compute.cores()} cores, Python {platform.python_version()}",
            "n": options.n,
            **measure(workspace, options.n, options.diffusion),
        }
    (ROOT / "benchmarks" / "results" / "augment.json").write_text(json.dumps(numbers, indent=2) + "\n")
    print(json.dumps(numbers, indent=2))


def measure(workspace: Path, n: int, diffusion: int) -> dict[str, Any]:
    """Seconds and images a second of everything."""
    torch.set_num_threads(1)
    (source,) = Workspace(workspace).all(medsyn.workspace.GENERATOR)
    model = generator.load(source)
    size, classes = model.batch, len(model.classes)
    index = np.arange(n)
    begun = time.perf_counter()
    for start in range(0, n, size * classes):
        part = index[start : start + size * classes]
        model.sample(part % classes, 0, part)
    floor = time.perf_counter() - begun
    images = torch.rand(64, 1, SIDE, SIDE)
    baseline = ddpm(images, torch.arange(64) % classes, "1s", 0)
    begun = time.perf_counter()
    baseline.sample(torch.arange(diffusion) % classes, 0)
    diffused = time.perf_counter() - begun
    calibration = timed(workspace, ["--n", "1", "--format", "npz", "--workers", "1"])
    start = timed(workspace, ["--n", "1", "--format", "npz", "--workers", "1"])
    found: dict[str, Any] = {
        "images_per_class": model.config["training"]["images_per_class"],
        "network": model.config["network"]["kind"],
        "bare_sampling_per_second": n / floor,
        "ddim_50_per_second": diffusion / diffused,
        "ddim_images": diffusion,
        "times_faster_bare": (n / floor) / (diffusion / diffused),
        "seconds_of_calibration": calibration - start,
        "seconds_to_start": start,
        "cases": [],
    }
    for name, given in CASES.items():
        for workers in (1, 2):
            command = ["--n", str(n), "--balance", "equal", "--workers", str(workers), *given]
            seconds = timed(workspace, command)
            made = Workspace(workspace).latest(SYNTHETIC)
            size_on_disk = sum(f.stat().st_size for f in made.rglob("*") if f.is_file())
            shutil.rmtree(made)
            found["cases"].append(
                {
                    "case": name,
                    "workers": workers,
                    "seconds": seconds,
                    "per_second": n / seconds,
                    "share_of_floor": (n / seconds) / (workers * n / floor),
                    "times_faster_than_ddim": (n / seconds) / (workers * diffusion / diffused),
                    "bytes_an_image": size_on_disk / n,
                }
            )
            print(found["cases"][-1], flush=True)
    return found


def timed(workspace: Path, given: list[str]) -> float:
    """Seconds of one command."""
    begun = time.perf_counter()
    command = [sys.executable, "-m", "medsyn", "augment", "--workspace", str(workspace), *given]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - begun


if __name__ == "__main__":
    main()
