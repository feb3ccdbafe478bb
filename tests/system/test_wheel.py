"""What is built holds all that runs need, and works outside the checkout."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from commands import environment

from medsyn.config import MODALITIES

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.system


def test_the_wheel_has_presets_pipelines_and_templates(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="building a wheel needs hatchling")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        file.extractall(tmp_path / "installed")
    for modality in MODALITIES:
        assert f"medsyn/configs/{modality}.yaml" in names
    assert {"medsyn/pipelines/demo.yaml", "medsyn/pipelines/chest_xray.yaml", "medsyn/py.typed"} <= set(names)
    assert {"medsyn/evaluate/report/style.css", "medsyn/evaluate/report/plots.js"} <= set(names)
    for package in ("evaluate/report", "inspection", "page"):
        assert f"medsyn/{package}/style.css" in names
        assert any(n.startswith(f"medsyn/{package}/templates/") for n in names)
    code = (
        "import medsyn, medsyn.config as c; print(medsyn.__file__); "
        "[c.load_preset(m) for m in c.MODALITIES]; c.load_pipeline('demo')"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=environment(PYTHONPATH=str(tmp_path / "installed")),
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, ran.stderr
    assert "installed" in ran.stdout
