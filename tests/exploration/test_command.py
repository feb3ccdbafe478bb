"""`medsyn explore` as a user types it, and from a notebook."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import medsyn
from medsyn.cli import app
from medsyn.errors import ExitCode, UsageError
from medsyn.exploration.drawing import SMALLEST, Row, sheet
from medsyn.workspace import Workspace

NAMES = ["classes.png", "morph.gif", "morph.png", "truncation.png", "walk.gif", "walk.png"]


def test_all_pictures_are_drawn(checkpoint_folder: Path, workspace: Workspace) -> None:
    done = CliRunner().invoke(app, ["explore", "--columns", "3", "--frames", "4", "-w", str(workspace.path)])
    assert done.exit_code == 0, done.output
    folder = workspace.path / "explorations" / checkpoint_folder.name
    assert sorted(p.name for p in folder.iterdir()) == NAMES
    assert all(name in done.stdout for name in NAMES)
    for name in NAMES:
        with Image.open(folder / name) as picture:
            assert min(picture.size) > 3 * SMALLEST
            if name.endswith(".png"):
                assert picture.text["Synthetic"] == "true"
            else:
                assert picture.n_frames == {"walk.gif": 4 * 4, "morph.gif": 3 * 4}[name]
                assert picture.info["loop"] == 0
                assert b"not patients" in picture.info["comment"]


def test_from_a_notebook_the_same_again(checkpoint_folder: Path, workspace: Workspace, tmp_path: Path) -> None:
    def pictures(name: str, **options: object) -> dict[str, bytes]:
        found = medsyn.explore(
            "xray", out=tmp_path / name, columns=2, frames=2, threads=1, workspace=workspace.path, **options
        )
        assert found.path == tmp_path / name
        assert found.generator == checkpoint_folder.name
        return {file.name: file.read_bytes() for file in found.files}

    one = pictures("one")
    assert sorted(one) == NAMES
    assert pictures("two") == one
    other = pictures("three", seed=5)
    assert all(other[name] != one[name] for name in NAMES)


def test_two_classes_are_one_morph_and_back(small, workspace: Workspace, tmp_path: Path) -> None:
    from medsyn.generator import Generator, checkpoint
    from medsyn.workspace import GENERATOR

    names = ["one", "two"]
    stage = small.config["first_stage"] | {"prior": {"kind": "mixture", "classes": 2, "components": 4}}
    made = Generator(
        small.config
        | {"classes": names, "condition_schema": {"class": {"kind": "categorical", "values": names}}}
        | {"first_stage": stage}
    )
    with workspace.build(GENERATOR, "xray") as build:
        build.commit(made.config | {"modality": "xray", "digest": checkpoint.save(made, build.path)})
    found = medsyn.explore(columns=2, frames=3, out=tmp_path, workspace=workspace.path)
    with Image.open(found.path / "morph.gif") as picture:
        assert picture.n_frames == 2 * 3


def test_errors_are_one_line_with_the_documented_code(workspace: Workspace, tmp_path: Path) -> None:
    def fails(code: ExitCode, *arguments: object) -> str:
        done = CliRunner().invoke(app, ["explore", *map(str, arguments)])
        assert (done.exit_code, done.stdout) == (code, "")
        assert done.stderr.startswith("Error: ")
        return " ".join(done.stderr.split())

    assert "no generator yet" in fails(ExitCode.MISSING, "-w", workspace.path)
    assert "no generator 'other'" in fails(ExitCode.MISSING, "other", "-w", workspace.path)
    assert "columns" in fails(ExitCode.USAGE, "--columns", 1, "-w", workspace.path)
    assert "device" in fails(ExitCode.USAGE, "--device", "tpu", "-w", workspace.path)
    with pytest.raises(UsageError, match="colums"):
        medsyn.explore(colums=3, workspace=workspace.path)


def test_a_folder_that_cannot_be(checkpoint_folder: Path, workspace: Workspace, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    done = CliRunner().invoke(app, ["explore", "--out", str(tmp_path / "file" / "x"), "-w", str(workspace.path)])
    assert done.exit_code == ExitCode.ENVIRONMENT
    assert "lies below a file" in " ".join(done.stderr.split())


@pytest.mark.parametrize(("side", "shown"), [(12, 120), (28, 112), (200, 200), (512, 224)])
def test_tiles_are_of_a_size_to_look_at(side: int, shown: int) -> None:
    images = np.random.default_rng(0).random((3, 1, side, side), np.float32)
    one, two = (sheet("title", "note", [Row("a", images)] * n) for n in (1, 2))
    assert two.size[0] == one.size[0]
    assert two.size[1] - one.size[1] == shown + 4


def test_colour_stays_colour() -> None:
    red = np.zeros((1, 3, 16, 16), np.float32)
    red[:, 0] = 1
    pixels = np.asarray(sheet("title", "", [Row("", red)]))
    assert (pixels == (255, 0, 0)).all(2).sum() == 112**2
