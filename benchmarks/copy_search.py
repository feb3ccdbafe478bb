"""What does the search for copies cost as training sets grow, and what does its shortlist spare?

    python benchmarks/copy_search.py --sizes 5000 20000 70000 200000

The images of `cost_curves.py`, 16 x 16 pixels; 128 queries that are none of them. Both ways are run on the same images
one after the other; what they find is compared.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from cost_curves import SIDE, images

from medsyn import compute
from medsyn.metrics import neighbours

RESULT = Path(__file__).parent / "results" / "copy_search.json"
QUERIES = 128
USED_FROM = neighbours.MANY


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[5000, 20_000, 70_000, 200_000])
    options = parser.parse_args()
    compute.device("cpu")
    rows = []
    for m in sorted(options.sizes):
        rows.append(measured(m))
        print(json.dumps(rows[-1]), flush=True)
    found = {
        "command": "python benchmarks/copy_search.py --sizes " + " ".join(str(row["references"]) for row in rows),
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "seed": 0,
        "side": SIDE,
        "queries": QUERIES,
        "used_from": USED_FROM,
        "measured": rows,
    }
    RESULT.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def measured(m: int) -> dict[str, Any]:
    """Both ways among m references."""
    with tempfile.TemporaryDirectory() as folder:
        images(Path(folder, "all.npz"), int(m / 0.7) + 10 * QUERIES)
        with np.load(Path(folder, "all.npz")) as arrays:
            references, queries = (arrays[f"{split}_images"][:, None] for split in ("train", "test"))
    gallery = neighbours.Gallery(scaled(references[:m]), np.arange(m).astype(str))
    found, seconds = {}, {}
    for way, least in (("whole", m + 1), ("shortlist", 1)):
        neighbours.MANY = least
        gallery.nearest(scaled(queries[:2]))
        begun = time.perf_counter()
        found[way] = gallery.nearest(scaled(queries[:QUERIES]))
        seconds[way] = time.perf_counter() - begun
    return {
        "references": m,
        "whole_ms": round(1e3 * seconds["whole"] / QUERIES, 2),
        "shortlist_ms": round(1e3 * seconds["shortlist"] / QUERIES, 2),
        "ratio": round(seconds["whole"] / seconds["shortlist"], 2),
        "same_nearest": float((found["whole"].rows == found["shortlist"].rows).mean()),
        "largest_difference": float(np.abs(found["whole"].ratio - found["shortlist"].ratio).max()),
    }


def scaled(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32) / 255


if __name__ == "__main__":
    main()
