"""A contact sheet of the simulated brains, and how long they take: writes docs/pages/figures/simulated_brains.png."""

from __future__ import annotations

import argparse
import csv
import json
import sys
import tempfile
import time
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from medsyn.data.sample import write_brains  # noqa: E402

PER_CLASS = 12
PERCENTILES = (1.0, 99.5)


def middle(file: Path) -> NDArray[np.uint8]:
    """The middle slice as radiologists look at it: front on top, the patient's right at the left."""
    values = nibabel.as_closest_canonical(nibabel.load(file)).get_fdata()
    low, high = np.percentile(values, PERCENTILES)
    shown = values[::-1, ::-1, values.shape[2] // 2].T
    return (np.clip((shown - low) / (high - low), 0, 1) * 255).astype(np.uint8)


def main() -> None:
    """Simulate, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--subjects", type=int, default=60)
    parser.add_argument("--contrast", default="flair")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "pages" / "figures" / "simulated_brains.png")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        begun = time.process_time()
        table = write_brains(Path(folder), subjects=arguments.subjects, contrast=arguments.contrast)
        seconds = time.process_time() - begun
        with table.open(encoding="utf-8") as stream:
            rows = {row["patient_id"]: row for row in csv.DictReader(stream)}.values()
        found = {
            label: [row["file"] for row in rows if row["label"] == label][:PER_CLASS] for label in ("normal", "lesion")
        }
        half = PER_CLASS // 2
        lines = [
            np.concatenate([middle(table.parent / file) for file in files[start : start + half]], axis=1)
            for files in found.values()
            for start in (0, half)
        ]
    Image.fromarray(np.concatenate(lines)).save(arguments.out, optimize=True)
    print(json.dumps({"subjects": arguments.subjects, "cpu_seconds": round(seconds, 2), "figure": arguments.out.name}))


if __name__ == "__main__":
    main()
