"""Whole trainings on the toy."""

import json
import os
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import SMALL
from safetensors import safe_open
from safetensors.numpy import load_file

import medsyn
from gan.toy import CENTRES, SIDE, Listener, toy_images, write_dataset
from medsyn import generator
from medsyn.config import TrainOptions, load_preset
from medsyn.data import Dataset
from medsyn.errors import DataError, MissingError
from medsyn.gan import TrainResult, run
from medsyn.gan.material import Material
from medsyn.gan.unfinished import unfinished
from medsyn.workspace import GENERATOR, Workspace, read_json


def templates() -> tuple[np.ndarray, np.ndarray]:
    images, labels = [], []
    for label, name in enumerate(CENTRES):
        for y, x in CENTRES[name]:
            image = np.full((SIDE, SIDE), 0.15)
            image[y - 2 : y + 3, x - 2 : x + 3] += 0.7
            images.append(image)
            labels.append(label)
    return np.stack(images), np.array(labels)


def test_it_learns_classes_and_modes(trained: tuple[Workspace, TrainResult]) -> None:
    made = generator.load(trained[1].path)
    labels = np.repeat([0, 1], 200)
    images = made.sample(labels, seed=3, index=np.arange(400))[:, 0]
    modes, mode_label = templates()
    distance = np.sqrt(np.square(images[:, None] - modes).mean((2, 3)))
    nearest = distance.argmin(1)
    assert (mode_label[nearest] == labels).mean() >= 0.95
    clear = distance.min(1) < 0.12  # the nearest two modes lie 0.28 apart
    assert clear.mean() > 0.7
    assert (np.bincount(nearest[clear], minlength=6) >= 10).sum() >= 5
    # The first look is at coarse images that are hardly completed.
    start = json.loads((trained[1].path / "metrics.jsonl").read_text().splitlines()[0])
    assert trained[1].monitor["kid"] < start["kid"]
    assert unfinished(trained[0]) == []
    assert not list((trained[0].path / "generators").glob(".training-*"))


def test_the_checkpoint_tells_what_it_learnt_from(trained: tuple[Workspace, TrainResult]) -> None:
    workspace, result = trained
    dataset = Dataset.open(workspace.path / "datasets" / "toy-001")
    config = json.loads((result.path / "config.json").read_text())
    assert config["dataset"] == {"name": "toy-001", "content_digest": dataset.digest}
    assert config["plan"]["kimg"] == result.kimg == pytest.approx(6, abs=0.032)
    assert config["training"]["images"] == len(dataset.rows("train"))
    subjects = pd.read_parquet(result.path / "subjects.parquet")
    of_train = dataset.table.loc[dataset.rows("train")]
    assert set(subjects["subject"]) == set(of_train["subject"])
    assert set(subjects["unit"]) == set(of_train["unit"])
    held_out = dataset.table.loc[dataset.rows("tune", "val", "test")]
    assert not set(subjects["unit"]) & set(held_out["unit"])
    assert result.grid.is_file()


def test_val_and_test_are_out_of_reach(toy: Path) -> None:
    material = Material.open(toy)
    for split in ("val", "test"):
        with pytest.raises(PermissionError):
            material.dataset.rows(split)
    assert set(material.dataset.table["split"]) == {"train", "tune"}


@pytest.mark.parametrize(
    ("zoom", "prior_steps", "prior"),
    [(1, 500, "flow"), (3, 0, "mixture")],  # 16 pixels; 48, where alignment is tried
)
def test_interrupted_and_resumed_equals_unbroken(workspace: Workspace, zoom: int, prior_steps: int, prior: str) -> None:
    images, labels = toy_images(20)
    write_dataset(workspace, np.kron(images, np.ones((zoom, zoom), np.uint16)), labels)
    options = TrainOptions(budget="1.2kimg", threads=1, seed=5, knobs={**SMALL, "prior_steps": prior_steps})
    whole = run(options, workspace)
    with pytest.raises(KeyboardInterrupt):
        run(options, workspace, Listener(interrupt_after=9))
    assert len(unfinished(workspace, "xray")) == 1
    assert workspace.latest(GENERATOR) == whole.path, "an unfinished training must not show"
    resumed = run(options.model_copy(update={"resume": True}), workspace)
    assert resumed.resumed
    assert not whole.resumed
    # The generator that is kept may be a closed form, the training's own state never is.
    for file in ("generator.safetensors", "training.safetensors"):
        one, two = (load_file(r.path / file) for r in (whole, resumed))
        assert one.keys() == two.keys()
        for name, tensor in one.items():
            assert np.array_equal(tensor, two[name]), (file, name)
    with safe_open(resumed.path / "training.safetensors", framework="numpy") as training:
        assert json.loads(training.metadata()["state"])["first_stage"]["prior"]["kind"] == prior
    assert (whole.path / "metrics.jsonl").read_text() == (resumed.path / "metrics.jsonl").read_text()
    assert unfinished(workspace) == []


def test_a_new_training_leaves_an_unfinished_one_alone(workspace: Workspace, toy: Path) -> None:
    options = TrainOptions(budget="0.5kimg", threads=1, knobs=SMALL)
    with pytest.raises(KeyboardInterrupt):
        run(options, workspace, Listener(interrupt_after=2))
    (left,) = unfinished(workspace)
    listener = Listener()
    run(options, workspace, listener)
    assert unfinished(workspace) == [left]
    assert any("--resume" in line for line in listener.said)
    assert any(line.startswith("plan:") for line in listener.said)


def test_a_termination_signal_leaves_a_snapshot(workspace: Workspace, toy: Path) -> None:
    class Terminator(Listener):
        def update(self, done: float, note: str = "") -> None:
            super().update(done, note)
            if self.updates == 3:
                os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        run(TrainOptions(budget="1kimg", threads=1, knobs=SMALL), workspace, Terminator())
    assert signal.getsignal(signal.SIGTERM) is before
    (left,) = unfinished(workspace)
    assert read_json(left / "state.json")["images"] >= 3 * 32


def test_the_training_state_is_kept_without_the_images(trained: tuple[Workspace, TrainResult]) -> None:
    path = trained[1].path / "training.safetensors"
    with safe_open(path, framework="numpy") as file:
        names, state = set(file.keys()), json.loads(file.metadata()["state"])
    assert state["images"] == trained[1].kimg * 1000
    for part in ("trainer.generator.", "trainer.discriminator.", "trainer.average.", "trainer.adam.", "first_stage."):
        assert any(name.startswith(part) for name in names), part
    images = len(Dataset.open(trained[0].path / "datasets" / "toy-001").rows("train"))
    assert all(images not in tensor.shape for tensor in load_file(path).values())


def test_a_damaged_unfinished_training_stands_in_nobodys_way(workspace: Workspace, toy: Path) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(TrainOptions(budget="0.5kimg", threads=1, knobs=SMALL), workspace, Listener(interrupt_after=2))
    whole, cut = unfinished(workspace)
    (cut / "state.json").write_bytes((cut / "state.json").read_bytes()[:500])
    assert unfinished(workspace) == [whole]
    listener = Listener()
    run(TrainOptions(budget="0.1kimg", threads=1, knobs=SMALL), workspace, listener)
    assert any(str(cut) in line and "Delete that folder" in line for line in listener.said)
    (tensors,) = whole.glob("training-*.safetensors")
    tensors.write_bytes(tensors.read_bytes()[:500])
    with pytest.raises(DataError, match="Delete that folder"):
        run(TrainOptions(resume=True, threads=1), workspace)


def test_resume_keeps_to_the_dataset_that_is_named(workspace: Workspace, toy: Path) -> None:
    other = write_dataset(workspace, *toy_images(24, seed=1), name="other")
    with pytest.raises(KeyboardInterrupt):
        run(
            TrainOptions(budget="0.5kimg", threads=1, knobs=SMALL, dataset="toy"),
            workspace,
            Listener(interrupt_after=2),
        )
    with pytest.raises(MissingError, match="on that dataset"):
        run(TrainOptions(resume=True, dataset=other.name), workspace)
    assert run(TrainOptions(resume=True, dataset="toy", threads=1), workspace).resumed


def test_a_training_killed_before_its_first_snapshot_is_cleared_away(workspace: Workspace, toy: Path) -> None:
    dead = workspace.path / "generators" / ".training-toy-0"
    dead.mkdir()
    run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL), workspace)
    assert not dead.exists()


def test_diffaugment_follows_the_preset(workspace: Workspace, toy: Path) -> None:
    policy = load_preset("xray").diffaugment
    plan = read_json(
        run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL, diffaugment="preset"), workspace).path
        / "config.json"
    )
    assert plan["plan"]["diffaugment"] == policy
    assert "flip" not in policy


def test_nothing_to_resume(workspace: Workspace) -> None:
    with pytest.raises(MissingError, match="without --resume"):
        run(TrainOptions(resume=True), workspace)


def test_no_dataset(workspace: Workspace) -> None:
    with pytest.raises(MissingError, match="medsyn ingest"):
        run(TrainOptions(modality="xray"), workspace)


@pytest.mark.parametrize(
    ("labels", "synthetic", "count", "says"),
    [
        ("same", False, 12, "one class only"),
        (None, False, 12, "no labels"),
        ("toy", True, 12, "synthetic"),
        ("toy", False, 2, "training images"),
    ],
)
def test_data_that_cannot_be_learnt_from(
    workspace: Workspace, labels: str | None, synthetic: bool, count: int, says: str
) -> None:
    images, names = toy_images(count)
    given = names if labels == "toy" else [labels] * len(names)
    write_dataset(workspace, images, given, synthetic=synthetic)
    with pytest.raises(DataError, match=says):
        run(TrainOptions(budget="1kimg"), workspace)
    assert workspace.all(GENERATOR) == []


def test_synthetic_images_are_learnt_from_where_that_is_allowed_and_every_card_tells(workspace: Workspace) -> None:
    images, names = toy_images(10)
    real = write_dataset(workspace, images, names)
    made, made_names = toy_images(10, seed=1)
    mixed = write_dataset(
        workspace, np.concatenate([images, made]), [*names, *made_names], synthetic=[False] * 60 + [True] * 60
    )
    dataset = Dataset.open(mixed, splits=("train", "tune"))
    rows, tune = dataset.rows("train"), dataset.rows("tune")
    n = int(dataset.table.loc[rows, "synthetic"].sum())
    assert 0 < n < len(rows)
    with pytest.raises(DataError, match="--allow-synthetic"):
        run(TrainOptions(budget="1kimg"), workspace)
    result = run(TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL, allow_synthetic=True), workspace)
    says = f"learnt from {n} synthetic images among its {len(rows)} training images"
    assert says in result.caveats[0]
    assert says in (result.path / "card.md").read_text()
    assert f"{n} of these images are synthetic themselves" in (result.path / "card.md").read_text()
    assert read_json(result.path / "card.json")["training_data"]["synthetic_images"] == n
    assert read_json(result.path / "config.json")["training"]["synthetic_images"] == n
    material = Material.open(mixed, allow_synthetic=True)
    assert set(material.tune) == {row for row in tune if not dataset.table.loc[row, "synthetic"]} != set(tune)
    synthetic = medsyn.augment(8, workspace=workspace.path, threads=1, keep_all=True).path
    for card in ("card.json", "card.md"):
        assert says in (synthetic / card).read_text()
    assert (
        run(
            TrainOptions(budget="0.2kimg", threads=1, knobs=SMALL, dataset=str(real), allow_synthetic=True), workspace
        ).caveats
        == []
    )


def test_a_training_on_synthetic_images_is_resumed_without_asking_again(workspace: Workspace) -> None:
    images, names = toy_images(10)
    write_dataset(workspace, images, names, synthetic=True)
    with pytest.raises(KeyboardInterrupt):
        run(
            TrainOptions(budget="2kimg", threads=1, knobs=SMALL, allow_synthetic=True),
            workspace,
            Listener(interrupt_after=2),
        )
    assert run(TrainOptions(resume=True), workspace).caveats
