"""The tutorial, done: what the commands of docs/pages/tutorial.md say of PneumoniaMNIST, and its pictures.

All but evaluate, which benchmarks/real_sets.py and benchmarks/rare_class.py run on the same films.

Runs them as they stand there, in a folder that is thrown away (or --folder, kept), on pneumoniamnist.npz in
the folder of real scans (CONTRIBUTING.md). Prints what they say, and writes
docs/pages/figures/tutorial_*.png: films are generated, none is a patient's.

    python benchmarks/tutorial.py
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from real_data import REAL_DATA

from medsyn import Workspace
from medsyn.workspace import SYNTHETIC

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "pages" / "tutorial.md"
FIGURES = ROOT / "docs" / "pages" / "figures"
DATA = REAL_DATA / "pneumoniamnist.npz"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="keep everything here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(DATA, folder)
        lines = re.findall(r"^medsyn (?!evaluate).*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
        for line in lines:
            run(line, folder)
        workspace = Workspace(folder / "medsyn-workspace")
        shutil.copy(workspace.latest(SYNTHETIC) / "contact_sheet.png", FIGURES / "tutorial_set.png")
        (classes,) = workspace.path.glob("explorations/*/classes.png")
        shutil.copy(classes, FIGURES / "tutorial_classes.png")


def run(line: str, folder: Path) -> None:
    """One command, as a user calls it."""
    command = [sys.executable, "-m", *shlex.split(line, comments=True)]
    environment = {**os.environ, "NO_COLOR": "1", "COLUMNS": "110"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    print(f"$ {line}\n{done.stdout}{done.stderr}", flush=True)
    if done.returncode:
        sys.exit(done.returncode)


if __name__ == "__main__":
    main()
