"""README's commands and its notebook, run as they stand, only on less."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from commands import environment, medsyn
from PIL import Image

from medsyn.config import load_pipeline

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", README, re.S)
LESS = {"10m": "1kimg", "5000": "30", "--seeds 5": "--seeds 2 --steps 4 --batch 8", "seeds=5": "seeds=2, steps=4"}
# Hardly trained generators make nothing that a selection would keep.
LESS |= {"--balance equal": "--balance equal --keep-all", 'balance="equal"': 'balance="equal", keep_all=True'}

pytestmark = pytest.mark.system


def less(text: str) -> str:
    for much, little in LESS.items():
        text = text.replace(much, little)
    return text


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """README's folder of scans with its kind of labels.csv: two classes of 20 patients."""
    rng = np.random.default_rng(0)
    (tmp_path / "scans" / "images").mkdir(parents=True)
    header = next(body for kind, body in BLOCKS if kind == "csv").splitlines()[0]
    rows = [header]
    for i in range(60):
        label = ("normal", "pneumonia")[i % 2]
        image = rng.normal(90 + 60 * (i % 2), 25, (8, 8)).clip(0, 255).astype(np.uint8)
        Image.fromarray(image).resize((40, 40), Image.Resampling.BICUBIC).save(tmp_path / f"scans/images/{i:04}.png")
        rows.append(f"images/{i:04}.png,{label},p{i // 2 * 2 % 40 + i % 2}")
    (tmp_path / "scans" / "labels.csv").write_text("\n".join(rows) + "\n")
    (tmp_path / "labels.csv").write_text("\n".join(rows).replace("images/", "scans/images/") + "\n")
    return tmp_path


def test_the_four_commands(scans):
    commands = [
        shlex.split(less(line), comments=True)
        for kind, body in BLOCKS
        for line in body.splitlines()
        if kind == "sh" and line.startswith("medsyn ")
    ]
    assert [c[1] for c in commands] == ["ingest", "inspect", "train-gan", "explore", "augment", "evaluate"]
    for command in commands:
        done = medsyn(*command[1:], cwd=scans)
        assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"Verdict: (helps|hurts|equivalent|no evidence)", done.stdout)
    assert "report.html" in done.stdout


def test_the_notebook(scans):
    (code,) = (body for kind, body in BLOCKS if kind == "python")
    done = subprocess.run(
        [sys.executable, "-c", less(code)],
        cwd=scans,
        env=environment(),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "AUROC" in done.stdout


def test_the_make_targets_exist():
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M)
    named = re.findall(r"^make (\w+)", "\n".join(body for kind, body in BLOCKS if kind == "sh"), re.M)
    assert named
    assert set(named) <= set(targets)


def test_shipped_pipelines_are_valid():
    for name in ("demo", "chest_xray"):
        assert [stage for stage, _ in load_pipeline(name)] == ["ingest", "train-gan", "augment", "evaluate"]
