"""The journal: a killed ingest goes on, a next one reads only what is new, and nobody moves."""

from __future__ import annotations

import gc
import multiprocessing
import os
import random
import shutil
import signal
import sys
import time
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock

from medsyn import tracking
from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.errors import DataError, EnvironmentFault
from medsyn.ingest import reading, stage
from medsyn.ingest.journal.file import JournalFile
from medsyn.workspace import Workspace, read_json

from .conftest import dicom, picture, png, table

Read = list[int]


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> Read:
    """Numbers of the files that were read."""
    numbers: Read = []
    real = reading.read_task

    def noting(task: list[reading.Group], recipe: object) -> object:
        numbers.extend(p.number for group in task for p in group.files)
        return real(task, recipe)  # type: ignore[arg-type]

    monkeypatch.setattr(reading, "read_task", noting)
    return numbers


def films(folder: Path, numbers: range) -> Path:
    for i in numbers:
        dicom(folder / f"{i:03d}", picture(i), patient=f"P{i // 2}")
    return folder


def labels(file: Path, folder: Path, classes: str = "ab") -> Path:
    names = sorted(p.name for p in folder.iterdir())
    return table(file, [{"file": n, "label": classes[int(n) // 2 % len(classes)]} for n in names])


def go(workspace: Workspace, folder: Path, csv: Path | None = None, **more: object) -> stage.IngestResult:
    values = {"paths": [str(folder)], "labels": csv and str(csv), "size": 32, "workers": 1}
    return stage.run(IngestOptions.model_validate({**values, **more}), workspace)


def splits(result: stage.IngestResult) -> dict[str, str]:
    rows = pd.read_parquet(result.path / "splits.parquet")
    return dict(zip(rows["subject"], rows["split"], strict=True))


def test_what_is_known_is_not_read_again(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    folder = films(tmp_path / "films", range(20))
    first = go(workspace, folder, labels(tmp_path / "l.csv", folder))
    assert sorted(read) == list(range(1, 21))
    read.clear()
    shutil.copytree(folder, tmp_path / "old")
    films(folder, range(20, 30))
    os.utime(folder / "003", ns=(1, 1))
    second = go(workspace, folder, labels(tmp_path / "l.csv", folder))
    assert sorted(read) == [4, *range(21, 31)]
    assert (first.images, second.images, second.files) == (20, 30, 30)
    before, after = splits(first), splits(second)
    assert {s: after[s] for s in before} == before
    clean = Workspace(tmp_path / "clean").create()
    shutil.copy(workspace.private / "project.key", clean.private)
    with tracking.off():
        go(clean, tmp_path / "old", labels(tmp_path / "old.csv", tmp_path / "old"))
        alone = go(clean, folder, labels(tmp_path / "l.csv", folder))
    assert Dataset.open(alone.path).digest == Dataset.open(second.path).digest


def test_a_second_ingest_into_a_name_adds(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    one, two = films(tmp_path / "one", range(20)), films(tmp_path / "two", range(18, 40))
    first = go(workspace, one, labels(tmp_path / "1.csv", one), name="both")
    read.clear()
    second = go(workspace, two, labels(tmp_path / "2.csv", two), name="both")
    assert len(read) == 22
    assert (second.images, second.files) == (40, 42)
    assert second.outcomes["duplicate"] == 2
    before, after = splits(first), splits(second)
    assert {s: after[s] for s in before} == before
    old, new = Dataset.open(first.path), Dataset.open(second.path)
    keys = old.table["image_key"]
    rows = new.table.reset_index().set_index("image_key").loc[keys, "image"].to_numpy()
    assert np.array_equal(new.stored(rows), old.stored(keys.index.to_numpy()))
    assert list(new.table.loc[rows, "label"]) == list(old.table["label"])
    ledger = pd.read_csv(second.ledger)
    assert list(ledger["input"]) == list(range(1, 43))
    assert ledger["images"].sum() == 40
    assert len(pd.read_csv(workspace.private / read_json(second.path / "dataset.json")["paths_list"])) == 42
    # Without a name, a dataset is what this run names.
    assert go(workspace, two, labels(tmp_path / "2.csv", two)).images == 22


def test_a_volume_of_which_slices_are_dropped_can_be_added_to(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    def volume(name: str, seed: int) -> Path:
        values = np.random.default_rng(seed).integers(0, 1000, (32, 32, 30)).astype(np.int16)
        values[..., 4] = values[..., 9]
        (tmp_path / name).mkdir()
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / name / "v.nii")
        return tmp_path / name

    more: dict[str, object] = {"modality": "mri", "subject_from": "file", "name": "v"}
    first = go(workspace, volume("one", 1), **more)
    assert (first.images, first.outcomes["duplicate"]) == (29, 1)
    shutil.rmtree(tmp_path / "one")
    for n, name in enumerate(("two", "three"), 2):  # pixels from the journal and from a dataset, then from datasets
        read.clear()
        result = go(workspace, volume(name, n), **more)
        assert len(read) == 1
        assert (result.images, result.outcomes["duplicate"]) == (29 * n, n)
        old, new = Dataset.open(first.path), Dataset.open(result.path)
        rows = new.table.reset_index().set_index("image_key").loc[old.table["image_key"], "image"].to_numpy()
        assert np.array_equal(new.stored(rows), old.stored(old.table.index.to_numpy()))


def test_other_labels_need_no_reading(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    folder = films(tmp_path / "films", range(20))
    go(workspace, folder, labels(tmp_path / "1.csv", folder))
    read.clear()
    result = go(workspace, folder, labels(tmp_path / "2.csv", folder, "xyz"))
    assert not read
    assert sorted(result.images_per_class) == ["x", "y", "z"]


def test_a_name_is_added_to_by_the_same_settings_alone(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    one, two = films(tmp_path / "one", range(20)), films(tmp_path / "two", range(20, 40))
    go(workspace, one, name="n")
    with pytest.raises(DataError, match="'n' holds 20 files that were read with other settings"):
        go(workspace, two, name="n", size=16)
    assert go(workspace, two, name="n").images == 40
    read.clear()
    both = IngestOptions(paths=[str(one), str(two)], name="n", size=16, workers=1)
    assert Dataset.open(stage.run(both, workspace).path).image_shape == (1, 16, 16)
    assert len(read) == 40


def test_a_run_that_fails_takes_nothing_away(tmp_path: Path, workspace: Workspace) -> None:
    one, two = films(tmp_path / "one", range(20)), films(tmp_path / "two", range(20, 40))
    go(workspace, one, labels(tmp_path / "1.csv", one), name="n")
    wrong = table(tmp_path / "wrong.csv", [{"file": "nowhere", "label": "a"}, {"file": "nothing", "label": "b"}])
    for folder in (one, two):
        with pytest.raises(DataError, match="no row fits"):
            go(workspace, folder, wrong, name="n")
    result = go(workspace, two, labels(tmp_path / "2.csv", two), name="n")
    assert (result.images, sum(map(sum, (s.values() for s in result.images_per_class.values())))) == (40, 40)


def test_labels_hold_until_others_come(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    """A second table names only what is new in a folder; the earlier files keep their labels and patients."""
    folder = tmp_path / "pictures"
    rows = []
    for i in range(12):
        png(folder / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
        rows.append({"file": f"{i}.png", "label": "ab"[i % 2], "patient_id": f"p{i}"})
    options = {"name": "n", "modality": "xray"}
    first = go(workspace, folder, table(tmp_path / "1.csv", rows), **options)
    for i in range(12, 20):
        png(folder / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
        rows.append({"file": f"{i}.png", "label": "ab"[i % 2], "patient_id": f"p{i}"})
    read.clear()
    second = go(workspace, folder, table(tmp_path / "2.csv", rows[12:]), **options)
    assert len(read) == 8
    assert (first.images, second.images, second.subjects) == (12, 20, 20)
    assert sum(map(sum, (s.values() for s in second.images_per_class.values()))) == 20


def test_segmentations_stay_with_their_images(tmp_path: Path, workspace: Workspace) -> None:
    folder = tmp_path / "pictures"
    for i in range(6):
        png(folder / "images" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
    for i in range(3):
        png(folder / "masks" / f"{i}.png", (picture(i, 32, 8) > 128).astype(np.uint8))
    options = {"name": "n", "modality": "xray", "subject_from": "file"}
    first, second = (Dataset.open(go(workspace, folder, **options).path) for _ in range(2))
    assert first.digest == second.digest
    assert first.table["has_mask"].sum() == second.table["has_mask"].sum() == 3
    rows = first.table.index.to_numpy()
    assert np.array_equal(first.masks(rows), second.masks(rows))
    second.verify()


def test_what_failed_is_tried_again(tmp_path: Path, workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = films(tmp_path / "films", range(20))
    real = reading.READERS["dicom"]

    def broken(found: object, recipe: object) -> object:
        if found.number == 7:  # type: ignore[attr-defined]
            raise OSError(5, "Input/output error")
        return real(found, recipe)  # type: ignore[arg-type]

    monkeypatch.setitem(reading.READERS, "dicom", broken)  # type: ignore[arg-type]
    assert go(workspace, folder, max_failures=0.5).outcomes["failed"] == 1
    monkeypatch.setitem(reading.READERS, "dicom", real)
    assert go(workspace, folder).images == 20


def test_another_project_key_reads_anew(tmp_path: Path, workspace: Workspace) -> None:
    folder = films(tmp_path / "films", range(20))
    go(workspace, folder)
    (workspace.private / "project.key").write_text("ab" * 32 + "\n")
    films(folder, range(20, 21))
    result = go(workspace, folder)
    assert (result.images, result.subjects) == (21, 11)


def test_a_deleted_dataset_is_read_anew(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    folder = films(tmp_path / "films", range(20))
    first = go(workspace, folder)
    digest = Dataset.open(first.path).digest
    shutil.rmtree(first.path)
    read.clear()
    second = go(workspace, folder)
    assert len(read) == 20
    assert Dataset.open(second.path).digest == digest


def test_a_new_slice_changes_its_whole_series(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    def slice_(series: int, z: int) -> None:
        place = {"ImagePositionPatient": [0, 0, float(z)], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        more = {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "SeriesInstanceUID": f"1.2.{series}"}
        dicom(tmp_path / "mr" / f"{series}-{z}", picture(10 * series + z), patient=f"P{series}", **place, **more)

    for series in (1, 2):
        for z in (1, 2, 3):
            slice_(series, z)
    go(workspace, tmp_path / "mr")
    read.clear()
    slice_(2, 0)
    result = go(workspace, tmp_path / "mr")
    assert len(read) == 4
    rows = Dataset.open(result.path).table
    assert sorted(rows["slice_index"]) == [0, 0, 1, 1, 2, 2, 3]
    assert rows.groupby("volume")["display_high"].nunique().max() == 1


def test_too_many_failures_keep_what_was_read(tmp_path: Path, workspace: Workspace, read: Read) -> None:
    folder = films(tmp_path / "films", range(20))
    for i in range(2):
        (folder / f"{100 + i}").write_bytes((folder / "000").read_bytes()[:-3000])
    with pytest.raises(
        DataError, match=r"2 of 22 files failed, more than --max-failures 0.05 allows \(corrupt 2\)"
    ) as e:
        go(workspace, folder)
    assert pd.read_csv(str(e.value).split(":")[0])["outcome"].value_counts().to_dict() == {"ingested": 20, "failed": 2}
    read.clear()
    assert go(workspace, folder, max_failures=0.1).images == 20
    assert read == [21, 22]  # what failed is tried again


def test_two_ingests_of_the_same_do_not_meet(tmp_path: Path, workspace: Workspace) -> None:
    folder = films(tmp_path / "films", range(4))
    go(workspace, folder, name="n")
    held = FileLock(workspace.private / "ingest" / "n" / ".lock")
    with held, pytest.raises(EnvironmentFault, match="another ingest"):
        go(workspace, folder, name="n")


def _ingest(workspace: Path, folder: Path, csv: Path) -> None:
    with tracking.off():
        go(Workspace(workspace), folder, csv, name="n")


def test_kills_at_random_moments(tmp_path: Path) -> None:
    """SIGKILL 20 times; what the last run leaves is what a run that was never disturbed leaves."""
    folder = films(tmp_path / "films", range(120))
    csv = labels(tmp_path / "l.csv", folder)
    fresh = multiprocessing.get_context("forkserver")
    fresh.set_forkserver_preload(["medsyn.ingest.stage", "ingest.test_journal"])
    clean, timed, disturbed = (Workspace(tmp_path / name).create() for name in ("clean", "timed", "disturbed"))

    def start(workspace: Workspace) -> multiprocessing.process.BaseProcess:
        process = fresh.Process(target=_ingest, args=(workspace.path, folder, csv))
        process.start()
        return process

    start(clean).join()  # the first one pays for the imports
    begun = time.monotonic()
    again = start(timed)
    again.join()
    whole = time.monotonic() - begun
    shutil.copy(clean.private / "project.key", disturbed.private)
    moments = random.Random(0)
    kills = 0
    for _ in range(20):
        process = start(disturbed)
        process.join(moments.uniform(0, 0.6 * whole))
        if process.is_alive():
            os.kill(process.pid or 0, signal.SIGKILL)
            kills += 1
        process.join()
    start(disturbed).join()
    assert kills >= 10
    digest = Dataset.open(clean.all(stage.DATASET)[-1]).digest
    found = disturbed.all(stage.DATASET)
    assert {Dataset.open(path).digest for path in found} == {digest}
    for path in found:
        Dataset.open(path).verify()
        ledger = pd.read_csv(path / "ledger.csv")
        assert (ledger["images"].sum(), len(ledger)) == (120, 120)
    disturbed.clean()
    assert not list(disturbed.path.rglob(".partial-*"))


def test_a_transaction_that_an_interrupt_has_left_open_ends_with_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C may come between the beginning of a transaction and its block, which then nothing ends."""
    told: list[object] = []
    monkeypatch.setattr(sys, "unraisablehook", told.append)
    journal = JournalFile(tmp_path / "journal.sqlite")
    left = journal._transaction()
    left.__enter__()
    journal.close()
    del left
    gc.collect()
    assert told == []
