"""Every number that README and the pages claim, once more: each benchmark, then the page.

    make bench

Each is called as its result in results/ says that it was made, but those of `OTHERWISE`, which tells how they were.
Takes about a day on two cores.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
OFTEN = "latent-r3gan mixture gaussian smote copy"
"""Arms of `generators.py` that were run with three seeds."""
COMMANDS = (
    "pneumonia_baseline.py --threads 2",
    "statistics_simulation.py",
    "null_end_to_end.py --runs 300",
    "filter_null.py",
    "detection_rates.py",
    "fidelity_rule.py",
    f"generators.py --sets pneumoniamnist --threads 1 --arms {OFTEN}",
    "generators.py --sets pneumoniamnist --threads 1 --seeds 0 --arms autoencoder-r3gan r3gan dcgan wgan-gp ddpm",
    f"generators.py --sets pneumoniamnist --train 300 --budget 5m --threads 1 --arms {OFTEN}",
    "generators.py --sets xray mri --threads 1 --seeds 0 --arms latent-r3gan ddpm plain-dcgan gaussian smote copy",
    "health.py --honest 3",
    "selection.py --budget 60s",
    "selection_worth.py --budget 10m",
    "augment.py",
    "platforms.py",
    "rare_class.py",
    "real_sets.py pneumoniamnist",
    "ingest.py --files 2000 --volumes 300 --memory 1000 10000 100000",
    "dicom_agreement.py",
    "fuzz_ingest.py --cases 50000",
    "fuzz_ingest.py --only labels --cases 50000",
    "fuzz_foreign.py --cases 20000",
    "near_duplicates.py",
    "train_speed.py",
    "copy_search.py --sizes 5000 20000 70000 200000",
    "cost_curves.py --sizes 1000 10000 30000",
    "cost_curves.py --sizes 100000 --stages ingest train-gan --keep",
    "demo.py",
    "help_time.py --runs 20",
    "simulator_realism.py",
    "simulated_brains.py",
    "tutorial.py",
    "page.py",
)
OTHERWISE = {
    "augment": "with a dataset and a generator that were there already",
    "cost_curves": "size by size, as its command says",
    "generators": "set by set; its commands leave out arms and seeds, which its figures name",
    "platforms": "with generators of 32 and 64 px that were there already",
    "real_sets": "of pneumoniamnist alone, which its command leaves out",
}
"""Results whose own command is not among `COMMANDS`, and how they were made."""


def main() -> None:
    for command in COMMANDS:
        print(f"== python benchmarks/{command}", flush=True)
        script, *arguments = command.split()
        if code := subprocess.run([sys.executable, FOLDER / script, *arguments]).returncode:
            raise SystemExit(code)


if __name__ == "__main__":
    main()
