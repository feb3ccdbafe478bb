"""A generator on a journey: a folder or a zip file with which another workspace goes on."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import zipfile
from pathlib import Path

import pytest
from augment.sets import augment, contents
from gan.toy import toy, trained  # noqa: F401
from helpers import SMALL, fresh_workspace
from operations import shelves
from typer.testing import CliRunner

from medsyn import generator as generators
from medsyn import portable, tracking
from medsyn.cli import app
from medsyn.config import TrainOptions
from medsyn.errors import DataError
from medsyn.gan import TrainResult, run
from medsyn.workspace import Workspace, read_json

WHOLE = {"config.json", "generator.safetensors", "training.safetensors", "SHA256SUMS"}


@pytest.fixture
def source(workspace: Workspace) -> Path:
    return shelves.generator(workspace, shelves.dataset(workspace))


@pytest.fixture
def elsewhere(tmp_path: Path, empty_store: Path) -> Workspace:
    return fresh_workspace(tmp_path / "elsewhere", empty_store)


def test_a_folder_holds_what_is_needed_and_no_patient(source: Path, tmp_path: Path) -> None:
    made = portable.export(source, tmp_path / "there" / "films")
    there = {p.name for p in made.path.iterdir()}
    assert there == set(made.files) == WHOLE
    assert not made.subjects
    sums = subprocess.run(["sha256sum", "-c", "SHA256SUMS"], cwd=made.path, capture_output=True, text=True)
    assert sums.returncode == 0, sums.stdout
    assert len(sums.stdout.splitlines()) == len(WHOLE) - 1
    assert generators.load(made.path).config["digest"] == made.digest
    assert portable.export(source, tmp_path / "b", training=False).files == [
        "config.json",
        "generator.safetensors",
        "SHA256SUMS",
    ]
    assert "subjects.parquet" in portable.export(source, tmp_path / "c", subjects=True).files


def test_a_zip_file_has_the_same_content_and_always_the_same_bytes(source: Path, tmp_path: Path) -> None:
    made = portable.export(source, tmp_path / "a.zip")
    again = portable.export(source, tmp_path / "b.zip")
    assert made.path.read_bytes() == again.path.read_bytes()
    folder = portable.export(source, tmp_path / "folder").path
    with zipfile.ZipFile(made.path) as archive:
        assert {n: archive.read(n) for n in archive.namelist()} == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert not [p for p in tmp_path.iterdir() if p.name.startswith(".")]


@pytest.mark.parametrize("name", ["films", "films.zip"])
def test_the_same_images_come_out_of_it_elsewhere(
    source: Path, workspace: Workspace, elsewhere: Workspace, tmp_path: Path, name: str
) -> None:
    exported = portable.export(source, tmp_path / name).path
    options = {"n": 12, "keep_all": True, "seed": 5}
    here = contents(augment(workspace, **options))
    there = contents(augment(elsewhere, generator=str(exported), **options))
    # With the dataset at hand candidates are scored, and the manifest has the scores.
    pictures = {name: digest for name, digest in here.items() if name.startswith("images/")}
    assert len(pictures) == 12
    assert pictures.items() <= there.items()
    assert not [*elsewhere.private.glob("subjects-*")]


def test_a_training_starts_from_it_elsewhere(
    trained: tuple[Workspace, TrainResult],  # noqa: F811
    toy: Path,  # noqa: F811
    workspace: Workspace,
    tmp_path: Path,
) -> None:
    _, result = trained
    exported = portable.export(result.path, tmp_path / "films.zip")
    assert {"card.json", "card.md"} <= set(exported.files)
    digest = read_json(result.path / "config.json")["digest"]
    for place in (exported.path, portable.export(result.path, tmp_path / "films").path):
        with tracking.off():
            made = run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL, init_from=str(place)), workspace)
        assert read_json(made.path / "config.json")["plan"]["init_from"] == digest
    bare = portable.export(result.path, tmp_path / "bare", training=False).path
    with pytest.raises(DataError, match=r"training\.safetensors"):
        run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL, init_from=str(bare)), workspace)


def test_zipped_again_with_a_folder_before_the_names(source: Path, elsewhere: Workspace, tmp_path: Path) -> None:
    folder = portable.export(source, tmp_path / "films").path
    again = Path(shutil.make_archive(str(tmp_path / "again"), "zip", tmp_path, "films"))
    opened = portable.chosen(elsewhere, again)
    assert {p.name: p.read_bytes() for p in opened.iterdir()} == {p.name: p.read_bytes() for p in folder.iterdir()}
    assert portable.chosen(elsewhere, again) == opened
    assert (elsewhere.path / "cache").stat().st_mode & 0o777 == 0o700, "features of patients will lie there"


def rewritten(file: Path, change: dict[str, bytes | None], place: Path) -> Path:
    """The zip file with other content of some names; None leaves one out."""
    with zipfile.ZipFile(file) as archive, zipfile.ZipFile(place, "w") as out:
        for name in archive.namelist():
            if change.get(name, b"") is not None:
                out.writestr(name, change.get(name) or archive.read(name))
        for name in set(change) - set(archive.namelist()):
            out.writestr(name, change[name] or b"")
    return place


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"config.json": b"{}"}, "holds a config.json that SHA256SUMS does not know"),
        ({"generator.safetensors": b"other"}, "holds a generator.safetensors that SHA256SUMS does not know"),
        ({"subjects.parquet": b"added"}, "holds a subjects.parquet that SHA256SUMS does not know"),
        ({"SHA256SUMS": None}, "holds no SHA256SUMS"),
        ({"config.json": None}, "holds no config.json"),
    ],
)
def test_a_zip_file_that_was_changed_is_refused(
    source: Path, elsewhere: Workspace, tmp_path: Path, change: dict[str, bytes | None], told: str
) -> None:
    file = rewritten(portable.export(source, tmp_path / "a.zip").path, change, tmp_path / "b.zip")
    with pytest.raises(DataError, match=told):
        portable.chosen(elsewhere, file)
    assert not [p for p in (elsewhere.path / "cache").rglob("*") if p.is_file()]


def test_names_that_lead_outside_are_not_followed(source: Path, elsewhere: Workspace, tmp_path: Path) -> None:
    evil = {"../../../evil.txt": b"evil", "/tmp/evil.txt": b"evil", "code.pkl": b"\x80\x04."}
    file = rewritten(portable.export(source, tmp_path / "a.zip").path, dict(evil), tmp_path / "b.zip")
    opened = portable.chosen(elsewhere, file)
    assert {p.name for p in opened.iterdir()} == WHOLE
    assert not [*tmp_path.rglob("evil.txt"), *tmp_path.rglob("*.pkl")]


def test_no_zip_file_and_a_damaged_one(source: Path, elsewhere: Workspace, tmp_path: Path) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(DataError, match="cannot be unpacked"):
        portable.chosen(elsewhere, tmp_path / "text.zip")
    whole = portable.export(source, tmp_path / "a.zip").path
    data = bytearray(whole.read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "flipped.zip").write_bytes(data)
    with pytest.raises(DataError):
        portable.chosen(elsewhere, tmp_path / "flipped.zip")


def test_what_cannot_be_exported(source: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match="exists already"):
        portable.export(source, tmp_path / "there")
    weights = source / "generator.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    with pytest.raises(DataError, match="not the file that was committed"):
        portable.export(source, tmp_path / "films")
    assert not (tmp_path / "films").exists()


def test_as_typed(source: Path, workspace: Workspace, tmp_path: Path) -> None:
    at = ["-w", str(workspace.path)]
    done = CliRunner().invoke(app, ["models", "export", source.name, str(tmp_path / "a.zip"), *at])
    assert done.exit_code == 0, done.stderr
    assert "Whom it learnt from is not in it" in " ".join(done.stdout.split())
    told = json.loads(CliRunner().invoke(app, ["models", "export", "xray", str(tmp_path / "b"), "--json", *at]).stdout)
    assert told["digest"] == hashlib.sha256((tmp_path / "b" / "generator.safetensors").read_bytes()).hexdigest()
    assert CliRunner().invoke(app, ["models", "export", "xray", str(tmp_path / "b"), *at]).exit_code == 3
