"""How far are the same images from each other when another instruction set makes them?

    python benchmarks/platforms.py

Generators of several recipes learn from the built-in films. `medsyn augment` makes a set of 8 and of 16 bits in
processes that are told to leave out newer instructions (of torch's own kernels, oneDNN and MKL), and `medsyn verify
--share 1` makes all of it again here.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

import medsyn
from medsyn.workspace import read_json

ROOT = Path(__file__).parent.parent
RECIPES = {"latent-r3gan": "25kimg", "autoencoder-r3gan": "25kimg", "r3gan": "2kimg"}
"""With budgets after which a network is kept, not the closed form."""
SIDE = 32
PLATFORMS = {
    "as here": {},
    "AVX2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_CBWR": "AVX2"},
    "SSE4": {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_CBWR": "COMPATIBLE"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--generators", type=Path, nargs="+", help="trained already, instead of those")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sources = options.generators or train(Path(folder) / "trained")
        rows = [row for source in sources for row in measure(source, Path(folder) / "made", options.n)]
    numbers = {
        "command": "python benchmarks/platforms.py" + " --generators ..." * bool(options.generators),
        "machine": f"{platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, torch {torch.__version__}",
        "n": options.n,
        "rows": rows,
    }
    (ROOT / "benchmarks" / "results" / "platforms.json").write_text(json.dumps(numbers, indent=2) + "\n")
    print(json.dumps(numbers, indent=2))


def train(folder: Path) -> list[Path]:
    """Generators of `RECIPES`."""
    medsyn.ingest(workspace=folder, sample_subjects=300, size=SIDE, workers=1)
    return [medsyn.train_gan(workspace=folder, budget=b, recipe=r).path for r, b in RECIPES.items()]


def measure(source: Path, folder: Path, n: int) -> list[dict[str, Any]]:
    """A row a platform and depth."""
    config = read_json(source / "config.json")
    rows = []
    for name, settings in PLATFORMS.items():
        for bits in (8, 16):
            command = ["augment", "-w", folder, "--n", n, "--bits", bits, "--format", "npz", "--keep-all"]
            command += ["--workers", 1, "--balance", "equal", "--generator", source]
            subprocess.run(
                [sys.executable, "-m", "medsyn", *map(str, command)],
                env={**os.environ, **settings},
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            found = medsyn.verify_synthetic(workspace=folder, generator=source, share=1)
            assert found.regenerated is not None
            rows.append(
                {
                    "recipe": config["recipe"],
                    "network": config["network"]["kind"],
                    "side": config["image_shape"][-1],
                    "platform": name,
                    "instructions": found.regenerated.made_on["instructions"],
                    "bits": bits,
                    "identical": found.regenerated.identical,
                    "largest": found.regenerated.largest,
                    "well": found.ok,
                }
            )
            print(rows[-1], flush=True)
    return rows


if __name__ == "__main__":
    main()
