"""`medsyn status`: what hangs on what, what is stale, damaged, unfinished."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from augment.sets import Stopping, augment, contents, prepare
from filelock import FileLock
from gan.toy import Listener, toy  # noqa: F401
from helpers import SMALL
from typer.testing import CliRunner

import medsyn
from medsyn import generator as generators
from medsyn import terminal
from medsyn.augment import generation
from medsyn.cli import app
from medsyn.config import TrainOptions
from medsyn.data.schema import SCHEMA_VERSION as DATASETS
from medsyn.errors import MissingError
from medsyn.evaluate.results import SCHEMA_VERSION as EVALUATIONS
from medsyn.gan import run
from medsyn.operations.items import SCHEMAS
from medsyn.operations.status import status
from medsyn.synthetic import SCHEMA_VERSION as SETS
from medsyn.workspace import DATASET, EVALUATION, GENERATOR, SYNTHETIC, Workspace, read_json, write_json
from operations import shelves

Typed = Callable[..., tuple[int, str, str]]


@pytest.fixture
def typed(monkeypatch: pytest.MonkeyPatch) -> Typed:
    """Run medsyn on a terminal of 80 columns without colours; exit code, output, errors."""
    for console in (terminal.out, terminal.err):
        monkeypatch.setattr(console, "_width", 80)
        monkeypatch.setattr(console, "no_color", True)

    def run(*arguments: object) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, [*map(str, arguments)])
        return done.exit_code, done.stdout, done.stderr

    return run


def state_of(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


def test_every_result_hangs_on_what_it_was_made_from(workspace: Workspace) -> None:
    data, made_by, made, judged = shelves.chain(workspace)
    found = status(workspace)
    (root,) = found.results
    path = [root, *root.derived, *root.derived[0].derived, *root.derived[0].derived[0].derived]
    assert [item.path for item in path] == [data.path, made_by, made, judged]
    assert [item.kind for item in path] == ["dataset", "generator", "synthetic set", "evaluation"]
    assert not any(item.stale or item.damaged or item.notes for item in path)
    for item in path:
        assert item.bytes == sum(p.stat().st_size for p in item.path.rglob("*") if p.is_file())
    assert path[0].facts["images"] == 40
    assert path[3].facts["verdict"] == "helps"
    assert found.bytes == sum(p.stat().st_size for p in workspace.path.rglob("*") if p.is_file())


def test_another_tools_images_hang_on_the_dataset(workspace: Workspace) -> None:
    data, _, made, _ = shelves.chain(workspace)
    shelves.evaluation(workspace, data, made, name="theirs", checkpoint_digest="f" * 64, foreign=True)
    (root,) = status(workspace).results
    assert [item.kind for item in root.derived] == ["generator", "evaluation"]


def test_a_name_that_came_again_is_another_set(workspace: Workspace) -> None:
    data, _, made, _ = shelves.chain(workspace)
    shutil.rmtree(made)
    other = shelves.generator(workspace, data, contrast=0.5)
    assert shelves.synthetic(workspace, data, other).name == made.name
    (root,) = status(workspace).results
    assert [(item.kind, item.name) for item in root.derived] == [
        ("generator", "xray-001"),
        ("generator", "xray-002"),
        ("evaluation", "xray-001"),
    ]


def test_what_was_made_from_what_is_gone(workspace: Workspace) -> None:
    data, made_by, *_ = shelves.chain(workspace)
    shutil.rmtree(data.path)
    (root,) = status(workspace).results
    assert (root.path, root.notes) == (made_by, ["its dataset (xray-001) is not here"])
    shutil.rmtree(made_by)
    (root,) = status(workspace).results
    assert root.notes == ["its generator (xray-001) is not here"]


def test_more_scans_make_stale_what_came_from_fewer(workspace: Workspace) -> None:
    *_, judged = shelves.chain(workspace)
    more = shelves.dataset(workspace, 60)
    shelves.dataset(workspace, 40, modality="mri")  # of another name: no matter
    old, new, other = status(workspace).results
    assert (new.path, new.stale, other.stale) == (more.path, [], [])
    news = "xray-002 is newer, 20 images more"
    assert old.stale == [news]
    assert old.derived[0].stale == [f"dataset {news}"]
    assert old.derived[0].derived[0].stale == ["its generator is"]
    below = old.derived[0].derived[0].derived[0]
    assert below.path == judged
    assert below.stale == ["the set it judges is"]


def test_the_same_scans_again_make_nothing_stale(workspace: Workspace) -> None:
    shelves.chain(workspace)
    shelves.dataset(workspace)
    old, new = status(workspace).results
    assert old.notes == ["xray-002 is the same"]
    assert not old.stale + new.stale + old.derived[0].stale


def test_a_set_of_a_generator_that_was_trained_anew(workspace: Workspace) -> None:
    data, *_ = shelves.chain(workspace)
    shelves.generator(workspace, data, contrast=0.5)
    (root,) = status(workspace).results
    first, second = root.derived
    assert not first.stale + second.stale
    assert first.derived[0].stale == ["generator xray-002 is newer than xray-001"]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-3])


@pytest.mark.parametrize(
    ("place", "harm", "told"),
    [
        ("datasets/xray-001/images-00000.npy", cut, "images-00000.npy has"),
        ("datasets/xray-001/images-00000.npy", Path.unlink, "images-00000.npy is missing"),
        ("datasets/xray-001/splits.parquet", cut, "splits.parquet is cut short"),
        ("datasets/xray-001/dataset.json", Path.unlink, "dataset.json is missing"),
        ("generators/xray-001/config.json", cut, "config.json cannot be read as JSON"),
        ("generators/xray-001/generator.safetensors", cut, "generator.safetensors is cut short"),
        ("generators/xray-001/generator.safetensors", Path.unlink, "generator.safetensors is missing"),
        ("generators/xray-001/training.safetensors", cut, "training.safetensors is cut short"),
        ("synthetic/xray-001/manifest.parquet", cut, "manifest.parquet is cut short"),
        ("synthetic/xray-001/card.json", lambda file: file.write_text("[]"), "card.json is not a JSON object"),
        ("evaluations/xray-001/report.html", Path.unlink, "report.html is missing"),
        ("evaluations/xray-001/predictions.parquet", cut, "predictions.parquet is cut short"),
    ],
)
def test_what_is_damaged_is_named(
    workspace: Workspace, typed: Typed, place: str, harm: Callable[[Path], object], told: str
) -> None:
    shelves.chain(workspace)
    harm(workspace.path / place)
    found = status(workspace)
    (damaged,) = [item for item in found.all() if item.damaged]
    assert damaged.path == (workspace.path / place).parent
    assert damaged.damaged[0].startswith(told)
    code, out, err = typed("status", "-w", workspace.path)
    assert code == 3
    assert told in " ".join(out.replace("│", " ").split())
    assert f"1 damaged: {damaged.kind} xray-001" in " ".join(err.split())


def test_other_bytes_of_the_same_length_need_all_digests(workspace: Workspace) -> None:
    shelves.chain(workspace)
    for place, at in (
        ("datasets/xray-001/images-00000.npy", -1),
        ("datasets/xray-001/splits.parquet", 4),
        ("generators/xray-001/generator.safetensors", -1),
    ):
        file = workspace.path / place
        data = bytearray(file.read_bytes())
        data[at] ^= 1
        file.write_bytes(data)
    assert status(workspace).error() is None
    damaged = [item.damaged for item in status(workspace, check=True).all() if item.damaged]
    assert sorted(damaged) == [
        ["generator.safetensors is not the file that was committed"],
        ["images-00000.npy is not the file that was committed", "splits.parquet is not the file that was committed"],
    ]


def test_a_real_set_that_lost_or_changed_a_file(tmp_path: Path, empty_store: Path) -> None:
    workspace = prepare(tmp_path, empty_store)
    made = augment(workspace, n=6, keep_all=True)
    assert status(workspace, check=True).error() is None
    picture = next(made.glob("images/*/*.png"))
    content = picture.read_bytes()
    picture.write_bytes(content[:-1] + b"x")
    (item,) = [item for item in status(workspace, check=True).all() if item.damaged]
    assert item.damaged == [f"{picture.relative_to(made)} is not the file that was committed"]
    picture.unlink()
    (item,) = [item for item in status(workspace).all() if item.damaged]
    assert item.damaged[0].startswith("1 of ")
    assert str(picture.relative_to(made)) in item.damaged[0]


def test_the_schemas_are_those_of_the_readers(workspace: Workspace) -> None:
    expected = {DATASET: DATASETS, SYNTHETIC: SETS, EVALUATION: EVALUATIONS}
    assert {**expected, GENERATOR: generators.checkpoint.SCHEMA_VERSION} == {**SCHEMAS}
    _, made_by, *_ = shelves.chain(workspace)
    config = read_json(made_by / "config.json")
    write_json(made_by / "config.json", config | {"schema": 99})
    (item,) = [item for item in status(workspace).all() if item.path == made_by]
    assert item.notes == [f"made by another version of medsyn (schema 99, this one reads {SCHEMAS[GENERATOR]})"]


def test_an_unfinished_training_goes_on_with_the_command_that_is_told(
    workspace: Workspace,
    toy: Path,  # noqa: F811
    typed: Typed,
) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(TrainOptions(budget="2kimg", threads=1, knobs=SMALL), workspace, Listener(interrupt_after=12))
    (one,) = status(workspace).unfinished
    assert (one.kind, one.name, one.running, one.damaged) == ("training", "toy", False, "")
    assert one.total is not None
    assert one.done is not None
    assert 0 < one.done < one.total
    lock = one.path.with_name(one.path.name + ".lock")
    with FileLock(lock):
        (held,) = status(workspace).unfinished
        assert (held.running, held.go_on) == (True, "")
    code, out, _ = typed("status", "-w", workspace.path)
    assert code == 0
    assert f"goes on with {one.go_on}" in out
    code, _, err = typed(*shlex.split(one.go_on)[1:], "--threads", 1, "-w", workspace.path)
    assert code == 0, err
    assert not status(workspace).unfinished
    assert len(workspace.all(GENERATOR)) == 1


def _images(made: Path) -> dict[str, str]:
    """What a set holds, without the card and its sums, which name the run of MLflow."""
    return {name: digest for name, digest in contents(made).items() if name not in ("card.md", "SHA256SUMS")}


def test_an_unfinished_set_goes_on_with_the_command_that_is_told(
    tmp_path: Path, empty_store: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(generation, "PART", 8)
    workspace = prepare(tmp_path, empty_store)
    options = {"n": 24, "seed": 3, "truncation": 0.9, "formats": ["png", "npz"], "balance": "match"}
    undisturbed = _images(augment(workspace, **options))
    shutil.rmtree(workspace.path / "synthetic" / "xray-001")
    with pytest.raises(KeyboardInterrupt):
        augment(workspace, Stopping(13, KeyboardInterrupt), batch_size=8, **options)
    (one,) = status(workspace).unfinished
    assert (one.kind, one.name, one.total, one.running) == ("synthetic set", "xray", 24, False)
    assert one.done is not None
    assert 0 < one.done < 24
    code, _, err = typed(*shlex.split(one.go_on)[1:], "--threads", 1, "--workers", 1, "-w", workspace.path)
    assert code == 0, err
    assert f"Going on with an unfinished set: {one.done} of 24" in err
    assert _images(workspace.latest(SYNTHETIC)) == undisturbed
    assert not status(workspace).unfinished


def test_an_unfinished_ingest_is_told(workspace: Workspace, tmp_path: Path, typed: Typed) -> None:
    import numpy as np
    from PIL import Image

    folder = tmp_path / "films"
    folder.mkdir()
    for i in range(8):
        picture = np.random.default_rng(i).integers(0, 255, (24, 24), dtype=np.uint8)
        Image.fromarray(picture).save(folder / f"{i}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    rows = [f"{i}.png,{'ab'[i % 2]},p{i}" for i in range(8)] + ["broken.png,a,p9"]
    (folder / "labels.csv").write_text("\n".join(["file,label,patient_id", *rows]))
    command = ("ingest", folder, "--labels", folder / "labels.csv", "--modality", "xray", "--workers", 1)
    assert typed(*command, "--max-failures", 0, "-w", workspace.path)[0] == 3
    (one,) = status(workspace).unfinished
    assert (one.kind, one.running, one.go_on) == ("ingest", False, "the same 'medsyn ingest' command")
    assert one.done == 8
    code, _, err = typed(*command, "--max-failures", 0.5, "-w", workspace.path)
    assert code == 0, err
    assert not status(workspace).unfinished


def test_looking_changes_nothing(workspace: Workspace, toy: Path) -> None:  # noqa: F811
    shelves.chain(workspace)
    with pytest.raises(KeyboardInterrupt):
        run(TrainOptions(budget="2kimg", threads=1, knobs=SMALL), workspace, Listener(interrupt_after=12))
    before = state_of(workspace.path)
    status(workspace, check=True)
    assert state_of(workspace.path) == before


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_can_be_looked_at(workspace: Workspace) -> None:
    shelves.chain(workspace)
    folders = [workspace.path, *(p for p in workspace.path.rglob("*") if p.is_dir())]
    modes = {folder: folder.stat().st_mode for folder in folders}
    for folder in folders:
        folder.chmod(stat.S_IRUSR | stat.S_IXUSR)
    try:
        assert len([*status(workspace).all()]) == 4
    finally:
        for folder, mode in modes.items():
            folder.chmod(mode)


def test_no_workspace_is_made(tmp_path: Path, typed: Typed) -> None:
    with pytest.raises(MissingError, match="no workspace yet"):
        status(Workspace(tmp_path / "none"))
    assert typed("status", "-w", tmp_path / "none")[0] == 4
    assert not (tmp_path / "none").exists()


def test_the_tree_fits_80_columns(workspace: Workspace, typed: Typed) -> None:
    data, *_ = shelves.chain(workspace)
    shelves.dataset(workspace, 60)
    shelves.generator(workspace, data, contrast=0.5, monitor={"kid": 0.123, "coverage": 0.876})
    code, out, err = typed("status", "-w", workspace.path)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert max(len(line.rstrip()) for line in lines[1:]) <= 80
    for part in (
        "├── xray-001  dataset  ",
        "40 xray images of 40 subjects, 16 px: no_finding, pneumonia",
        "KID 0.12, coverage 0.88 on tune; latent-r3gan",
        "└── xray-001  evaluation",
        "helps: auroc +0.020 (+0.010 to +0.030)",
        "! stale: xray-002 is newer, 20 images more",
    ):
        assert part in out, out


def test_json_and_from_a_notebook(workspace: Workspace, typed: Typed) -> None:
    shelves.chain(workspace)
    code, out, _ = typed("status", "--json", "-w", workspace.path)
    assert code == 0
    told = json.loads(out)
    found = medsyn.status(workspace.path)
    assert told["workspace"] == str(found.workspace)
    names = []
    below = told["results"]
    while below:
        names.append((below[0]["kind"], below[0]["facts"]["modality"]))
        below = below[0]["derived"]
    assert names == [(k, "xray") for k in ("dataset", "generator", "synthetic set", "evaluation")]
