"""Does the watch over a training name the faults that are put in, and leave honest trainings alone?

    python benchmarks/health.py --data <folder with pneumoniamnist.npz>

The faults are those of tests/gan/faults.py, on the toy of the tests (squares, 16 px), each with other images and
another seed every time. Honest trainings: every recipe on the toy and on films of PneumoniaMNIST (28 px).
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))

from gan.faults import FAULTS, Alarm, begin, provoked, train  # noqa: E402
from gan.toy import toy_images, write_dataset  # noqa: E402
from real_data import REAL_DATA  # noqa: E402

from medsyn.gan.recipes import RECIPES  # noqa: E402
from medsyn.workspace import Workspace  # noqa: E402


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=REAL_DATA)
    parser.add_argument("--seeds", type=int, default=10, help="of every fault")
    parser.add_argument("--honest", type=int, default=2, help="seeds of every recipe and set of images")
    parser.add_argument("--films", type=int, default=400)
    parser.add_argument("--steps", type=int, default=40, help="of honest trainings, 16 images each")
    options = parser.parse_args()
    started, faults, honest = time.perf_counter(), [], []

    def write() -> None:
        numbers = {
            "command": " ".join(["python benchmarks/health.py", *sys.argv[1:]]),
            "faults": faults,
            "honest": honest,
            "honest_images": options.steps * 16,
            "films": options.films,
            "seconds": round(time.perf_counter() - started),
            "machine": f"{platform.machine()}, 1 thread, Python {platform.python_version()}",
        }
        (ROOT / "benchmarks" / "results" / "health.json").write_text(json.dumps(numbers, indent=2) + "\n")

    for name, fault in FAULTS.items():
        found: Counter[str] = Counter()
        for seed in range(options.seeds):
            with tempfile.TemporaryDirectory() as folder:
                workspace = Workspace(Path(folder)).create()
                write_dataset(workspace, *toy_images(40, seed))
                found.update(named(provoked(fault, workspace, seed, Alarm())))
        faults.append(
            {
                "fault": fault.about,
                "recipe": fault.recipe,
                "expected": fault.expected,
                "hits": found[fault.expected],
                "of": options.seeds,
                "named_otherwise": {k: n for k, n in found.items() if k not in (fault.expected, "nothing")},
            }
        )
        write()
        print(f"{name:20s} {fault.recipe:14s} {dict(found)}", flush=True)
    for data in ("toy", "PneumoniaMNIST"):
        for recipe in RECIPES:
            found = Counter()
            for seed in range(options.honest):
                with tempfile.TemporaryDirectory() as folder:
                    workspace = Workspace(Path(folder)).create()
                    write_dataset(
                        workspace,
                        *(toy_images(40, seed) if data == "toy" else films(options.data, seed, options.films)),
                    )
                    session = begin(workspace, recipe, options.steps, 4, seed, plan={})
                    train(session, workspace, Alarm())
                    found.update(named(session))
            alarms = {k: n for k, n in found.items() if k != "nothing"}
            honest.append({"data": data, "recipe": recipe, "alarms": alarms, "of": options.honest})
            write()
            print(f"{data:20s} {recipe:14s} {dict(found)}", flush=True)


def films(folder: Path, seed: int, count: int) -> tuple[np.ndarray, list[str | None]]:
    """Training films at random: uint16 ``[n, 1, 28, 28]`` and class names."""
    with np.load(folder / "pneumoniamnist.npz") as file:
        rows = np.random.default_rng(seed).permutation(len(file["train_labels"]))[:count]
        images, labels = file["train_images"][rows, None], file["train_labels"][rows].ravel()
    return images.astype(np.uint16) * 257, [("normal", "pneumonia")[label] for label in labels]


def named(session: object) -> list[str]:
    """The first problem of a training, or that there was none."""
    return [event["problem"] for event in session.recovery.events[:1]] or ["nothing"]


if __name__ == "__main__":
    main()
