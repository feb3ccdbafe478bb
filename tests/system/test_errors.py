"""What a user sees when something is wrong: one line, an exit code, and the workspace as it was."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from commands import NARROW, medsyn, snapshot
from PIL import Image

from medsyn import stages, tracking
from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.workspace import DATASET, Workspace

pytestmark = pytest.mark.system


def films(folder: Path, labels: dict[str, tuple[str, str]], header: str = "file,label,patient_id") -> Path:
    """Write distinct small PNGs and their CSV: file -> (label, patient)."""
    folder.mkdir()
    rng = np.random.default_rng(0)
    for name in labels:
        Image.fromarray(rng.integers(0, 255, (24, 24), dtype=np.uint8)).save(folder / name)
    rows = [header, *(f"{name},{label},{patient}" for name, (label, patient) in labels.items())]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n")
    return folder


def two_classes(patients: int = 4) -> dict[str, tuple[str, str]]:
    return {f"{c}{i}.png": (c, f"{c}{i % patients}") for c in "ab" for i in range(8)}


def check(done: subprocess.CompletedProcess[str], code: int, *words: str) -> None:
    """One clear line on stderr, the documented exit code, no traceback."""
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert "bug" not in errors[0], errors[0]
    for word in words:
        assert word in errors[0]


def test_no_such_folder(tmp_path):
    check(medsyn("ingest", "nowhere", "--modality", "xray", cwd=tmp_path), 3, "nowhere")
    assert not snapshot(tmp_path / "medsyn-workspace")


def test_empty_folder(tmp_path):
    (tmp_path / "empty").mkdir()
    check(medsyn("ingest", "empty", "--modality", "xray", cwd=tmp_path), 3, "empty")
    assert not snapshot(tmp_path / "medsyn-workspace")


def test_csv_without_the_column(tmp_path):
    folder = films(tmp_path / "films", two_classes(), header="file,finding,patient_id")
    done = medsyn("ingest", folder, "--labels", folder / "labels.csv", "--modality", "xray", cwd=tmp_path)
    check(done, 3, "labels.csv", "'label'", "finding", "--label-column")
    assert not snapshot(tmp_path / "medsyn-workspace")


def test_unknown_label(tmp_path):
    folder = films(tmp_path / "films", two_classes() | {"typo.png": ("aa", "p9")})
    arguments = ("--labels", folder / "labels.csv", "--modality", "xray", "--classes", "a,b")
    done = medsyn("ingest", folder, *arguments, cwd=tmp_path)
    check(done, 3, "labels.csv", "'aa'", "a, b")
    assert not snapshot(tmp_path / "medsyn-workspace")


def test_one_class_only(tmp_path):
    folder = films(tmp_path / "films", {f"{i}.png": ("a", f"p{i}") for i in range(8)})
    done = medsyn("ingest", folder, "--labels", folder / "labels.csv", "--modality", "xray", cwd=tmp_path)
    check(done, 3, "labels.csv", "only the class 'a'")
    assert not snapshot(tmp_path / "medsyn-workspace")


def test_fewer_than_two_patients_a_class(tmp_path):
    folder = films(tmp_path / "films", two_classes(patients=1))
    done = medsyn("ingest", folder, "--labels", folder / "labels.csv", "--modality", "xray", cwd=tmp_path)
    check(done, 3, "'a'")
    assert not snapshot(tmp_path / "medsyn-workspace")


def test_broken_yaml_key(tmp_path):
    (tmp_path / "p.yaml").write_text("name: p\nstages:\n  - ingest: {sampel_subjects: 30}\n")
    check(medsyn("run", "p.yaml", cwd=tmp_path), 2, "p.yaml", "stage 1", "sampel_subjects", "sample_subjects")
    assert not (tmp_path / "medsyn-workspace").exists()


def test_broken_yaml(tmp_path):
    (tmp_path / "p.yaml").write_text("name: [p\n")
    check(medsyn("run", "p.yaml", cwd=tmp_path), 2, "p.yaml", "YAML")


@pytest.mark.parametrize(
    ("command", "first"),
    [("train-gan", "medsyn ingest"), ("augment", "medsyn train-gan"), ("evaluate", "medsyn augment")],
)
def test_nothing_to_work_on_yet(tmp_path, command, first):
    check(medsyn(command, "--modality", "xray", cwd=tmp_path), 4, first)
    assert not (tmp_path / "medsyn-workspace").exists()


def test_wrong_option_value(tmp_path):
    check(medsyn("train-gan", "--budget", "soon", cwd=tmp_path), 2, "budget", "soon", "10m")


@pytest.fixture
def small_disk(tmp_path, request):
    """A disk of so many MiB."""
    folder = tmp_path / "small"
    folder.mkdir()
    size = f"size={request.param}m"
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", size, "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("mounting a small tmpfs needs more rights than this machine gives")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


@pytest.mark.parametrize("small_disk", [6], indirect=True)
def test_disk_full_while_ingesting(tmp_path, small_disk):
    workspace = Workspace(small_disk / "workspace")
    arguments = ("--sample-subjects", 120, "--size", 64, "--workers", 1, "--workspace", workspace.path)
    check(medsyn("ingest", *arguments, cwd=tmp_path), 5, "full")
    assert not snapshot(workspace.path)
    subprocess.run(["mount", "-o", "remount,size=64m", small_disk], check=True)
    done = medsyn("ingest", *arguments, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    undisturbed = Workspace(tmp_path / "undisturbed").create()
    shutil.copy(workspace.private / "project.key", undisturbed.private)
    with tracking.off():
        alone = stages.run("ingest", IngestOptions(sample_subjects=120, size=64, workers=1), undisturbed)
    assert Dataset.open(workspace.latest(DATASET)).digest == Dataset.open(alone.path).digest


@pytest.mark.parametrize("small_disk", [64], indirect=True)
def test_disk_full_while_training_generating_and_evaluating(tmp_path, small_disk):
    workspace, filler = small_disk / "workspace", small_disk / "filler"
    stages = [
        ("ingest", "--sample-subjects", 60, "--size", 32, "--workers", 1),
        ("train-gan", "--budget", "1kimg", *NARROW),
        ("augment", "--n", 400, "--keep-all"),
        ("evaluate", "--seeds", 2, "--steps", 2, "--ratio", 0.5, "--bootstrap", 100),
    ]
    for number, (command, *options) in enumerate(stages):
        if number:
            before = snapshot(workspace)
            with open(filler, "wb") as file:
                file.write(b"x" * (shutil.disk_usage(small_disk).free - 100_000))
            check(
                medsyn(command, *options, "--workspace", workspace, cwd=tmp_path), 5, "full" if number != 2 else "GiB"
            )
            assert snapshot(workspace) == before
            filler.unlink()
        done = medsyn(command, *options, "--workspace", workspace, cwd=tmp_path)
        assert done.returncode == 0, done.stderr


def test_read_only_place(tmp_path):
    (tmp_path / "file").write_text("")
    check(medsyn("ingest", "--workspace", tmp_path / "file" / "w", cwd=tmp_path), 5, "file")
