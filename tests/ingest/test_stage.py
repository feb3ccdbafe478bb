"""The stage as a whole: labels, ledger, splits, errors."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.errors import DataError, MedsynError, UsageError
from medsyn.ingest import stage
from medsyn.workspace import DATASET, Workspace, read_json

from .conftest import dicom, picture, png, table

Pictures = Callable[..., tuple[Path, Path]]


def go(workspace: Workspace, folder: Path, labels: Path | None = None, **more: object) -> stage.IngestResult:
    values = {"paths": [str(folder)], "labels": labels and str(labels), "modality": "xray", "size": 32, "workers": 1}
    return stage.run(IngestOptions.model_validate({**values, **more}), workspace)


def splits_of(result: stage.IngestResult) -> dict[str, str]:
    rows = pd.read_parquet(result.path / "splits.parquet")
    return dict(zip(rows["subject"], rows["split"], strict=True))


def test_pictures_with_labels(workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(24)
    (folder / "notes.txt").write_text("hello")
    png(folder / "extra.png", picture(99, 32, 8).astype(np.uint8))
    result = go(workspace, folder, labels)
    assert result.outcomes == {"ingested": 24, "duplicate": 0, "quarantined": 0, "skipped": 2, "failed": 0}
    assert (result.images, result.subjects, result.name, result.sample) == (24, 12, "xray", False)
    assert {c: sum(s.values()) for c, s in result.images_per_class.items()} == {"a": 12, "b": 12}
    ledger = pd.read_parquet(result.path / "ledger.parquet")
    assert list(ledger["input"]) == list(range(1, 27))
    assert set(ledger["reason"].dropna()) == {"no_label", "not_an_image"}
    assert ledger["images"].sum() == 24
    paths = workspace.private / f"{result.path.name}-paths.csv"
    assert paths.stat().st_mode & 0o777 == 0o600
    assert len(pd.read_csv(paths)) == 26
    assert Dataset.open(result.path).images(np.arange(24)).max() == 1


def test_one_and_two_workers_agree(workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(70)
    one = go(workspace, folder, labels, name="one")
    two = go(workspace, folder, labels, name="two", workers=2)
    assert Dataset.open(one.path).digest == Dataset.open(two.path).digest
    assert (one.path / "ledger.csv").read_bytes() == (two.path / "ledger.csv").read_bytes()


def test_adding_data_moves_no_earlier_subject(workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(40)
    before = splits_of(go(workspace, folder, labels))
    folder, labels = pictures(80)
    after = splits_of(go(workspace, folder, labels))
    assert len(before) == 20
    assert len(after) == 40
    assert {s: after[s] for s in before} == before


def test_duplicates_and_conflicts(workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(20)
    rows = pd.read_csv(labels)
    same, other = picture(0, 32, 8), picture(1, 32, 8)
    png(folder / "same.png", same.astype(np.uint8))
    png(folder / "other.png", other.astype(np.uint8))
    rows.loc[len(rows)] = ["same.png", "a", "pat0"]
    rows.loc[len(rows)] = ["other.png", "b", "pat1"]
    rows.to_csv(labels, index=False)
    result = go(workspace, folder, labels)
    assert result.outcomes == {"ingested": 19, "duplicate": 1, "quarantined": 2, "skipped": 0, "failed": 0}
    assert result.images == 19 == pd.read_csv(result.ledger)["images"].sum()


def test_a_bad_file_ends_in_the_ledger_and_the_others_go_on(tmp_path: Path, workspace: Workspace) -> None:
    films = tmp_path / "films"
    good = [dicom(films / f"good{i}", picture(i), patient=str(i)) for i in range(3)]
    cut = good[0].read_bytes()
    (films / "cut").write_bytes(cut[: len(cut) - 3000])
    (films / "bare").write_bytes(good[1].read_bytes()[132:])  # no preamble, same pixels
    dicom(films / "burned", picture(8), BurnedInAnnotation="YES")
    dicom(films / "scout", picture(9), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    dicom(films / "flat", np.full((64, 64), 7, np.uint16))
    dicom(films / "report", picture(10), SOPClassUID="1.2.840.10008.5.1.4.1.1.88.11")
    dicom(films / "ct", picture(11), Modality="CT")
    broken = png(films / "broken.png", picture(12, 32, 8).astype(np.uint8))
    broken.write_bytes(broken.read_bytes()[:200])
    (films / "void.dcm").write_bytes(b"")
    result = go(workspace, films, modality=None)
    ledger = pd.read_csv(result.ledger).set_index("input")
    names = sorted(p.name for p in films.iterdir())
    got = {name: (ledger.loc[i, "outcome"], ledger.loc[i, "reason"]) for i, name in enumerate(names, 1)}
    assert got.pop("bare")[0] == "ingested"
    assert got.pop("good1") == ("duplicate", "duplicate")
    assert {got.pop(n)[0] for n in ("good0", "good2")} == {"ingested"}
    assert got == {
        "cut": ("failed", "corrupt"),
        "burned": ("quarantined", "burned_in"),
        "scout": ("skipped", "localiser"),
        "flat": ("skipped", "constant"),
        "report": ("skipped", "not_an_image_class"),
        "ct": ("skipped", "other_modality"),
        "broken.png": ("failed", "corrupt"),
        "void.dcm": ("failed", "empty"),
    }
    assert sum(result.outcomes.values()) == len(names)


def test_series_are_ordered_along_the_normal(tmp_path: Path, workspace: Workspace) -> None:
    common = {"Modality": "MR", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.4", "SeriesInstanceUID": "1.2.3"}
    for i, z in enumerate([30.0, 10.0, 20.0]):
        place = {"ImagePositionPatient": [0, 0, z], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        dicom(tmp_path / "mr" / f"{i}.dcm", picture(i), InstanceNumber=i, **common, **place)
    result = stage.run(IngestOptions(paths=[str(tmp_path / "mr")]), workspace)
    rows = Dataset.open(result.path).table
    assert result.modality == "mri"
    assert rows["volume"].nunique() == 1
    assert list(rows.sort_values("slice_position")["slice_index"]) == [0, 1, 2]
    assert rows["display_high"].nunique() == 1  # one range for the series


def test_nifti_becomes_axial_slices(tmp_path: Path, workspace: Workspace) -> None:
    """A volume stored with flipped axes: the bright corner is the patient's right front, shown left and up."""
    rng = np.random.default_rng(0)
    volume = rng.random((20, 24, 6)).astype(np.float32)
    volume[:, :, 5] = 0.5  # constant
    volume[15:, 19:, :5] += 3  # stored axes run to L and P: high numbers are left and back
    affine = np.diag([-2.0, -2.0, 4.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(volume, affine), tmp_path / "v.nii.gz")
    result = go(workspace, tmp_path / "v.nii.gz", modality="mri", size=24)
    data = Dataset.open(result.path)
    assert result.images == 5
    image = data.images(np.array([0]))[0, 0][:, 2:22]
    assert image[19:, 15:].mean() > 0.9
    assert image[:15, :10].mean() < 0.4
    assert list(data.table["slice_position"]) == [0.0, 4.0, 8.0, 12.0, 16.0]
    assert data.table.loc[0, "orientation"] == pytest.approx([1, 0, 0, 0, 1, 0])
    mask = nibabel.Nifti1Image((volume > 1).astype(np.uint8), affine)
    nibabel.save(mask, tmp_path / "m.nii")
    with pytest.raises(DataError, match="mask 1"):
        go(workspace, tmp_path / "m.nii", modality="mri")


def test_sample_goes_through_the_same_door(workspace: Workspace) -> None:
    result = stage.run(IngestOptions(sample_subjects=30, size=32, workers=1), workspace)
    meta = read_json(result.path / "dataset.json")
    assert result.sample
    assert meta["source"] == "built-in sample"
    assert result.modality == "xray"
    assert set(meta["fingerprint"]["display_sources"]) == {"window", "voi_lut", "percentiles"}
    assert not list(workspace.path.glob(".sample-*"))


def test_header_patient_wins_unless_a_column_is_named(tmp_path: Path, workspace: Workspace) -> None:
    rows = []
    for i in range(8):
        dicom(tmp_path / "films" / f"{i}.dcm", picture(i), patient=f"H{i // 2}")
        rows.append({"file": f"{i}.dcm", "label": "ab"[i // 4], "patient_id": f"csv{i}"})
    labels = table(tmp_path / "labels.csv", rows)
    assert go(workspace, tmp_path / "films", labels).subjects == 4
    assert go(workspace, tmp_path / "films", labels, subject_column="patient_id").subjects == 8


# ---- errors


def failing(workspace: Workspace, kind: type[MedsynError], match: str, *args: object, **more: object) -> None:
    before = sorted(p for p in (workspace.path / DATASET.folder).iterdir() if p.name != ".lock")
    with pytest.raises(kind, match=match) as caught:
        go(workspace, *args, **more)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    assert sorted(p for p in (workspace.path / DATASET.folder).iterdir() if p.name != ".lock") == before


def test_errors_of_folders(tmp_path: Path, workspace: Workspace) -> None:
    failing(workspace, DataError, "no such file or folder", tmp_path / "nowhere")
    (tmp_path / "empty").mkdir()
    failing(workspace, DataError, "no file in it", tmp_path / "empty")
    (tmp_path / "text").mkdir()
    (tmp_path / "text" / "a.txt").write_text("x")
    failing(workspace, DataError, "no readable image", tmp_path / "text")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"x" * 50)
    failing(workspace, DataError, "not one of 1 files", tmp_path / "bad")


def test_errors_of_labels(tmp_path: Path, workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(12)
    rows = pd.read_csv(labels)
    own = tmp_path / "own.csv"

    def with_table(frame: pd.DataFrame, match: str, **more: object) -> None:
        frame.to_csv(own, index=False)
        failing(workspace, DataError, match, folder, own, **more)

    failing(workspace, DataError, "no such file", folder, tmp_path / "none.csv")
    own.write_bytes(b"\xff\xfe\x00file,label")
    failing(workspace, DataError, "cannot be read as UTF-8", folder, own)
    with_table(rows[:0], "has no row")
    with_table(rows, "no label column 'diagnosis'; there are: file, label, patient_id", label_column="diagnosis")
    with_table(rows.rename(columns={"file": "x"}), "no column that names files; there are: x, label")
    with_table(rows, "no column 'who'", subject_column="who")
    with_table(rows.assign(label="a"), "only the class 'a'")
    with_table(rows.assign(label=""), "no label at all")
    with_table(rows.assign(label=["rare", *"ab" * 5, "a"]), "class 'rare' has fewer than 2 subjects")
    with_table(rows.assign(file="other_" + rows["file"]), "the CSV says 'other_im0.png', a file is 'im0.png'")
    with_table(pd.concat([rows, rows.assign(label="c")]), "two rows with different content name one file")
    png(folder / "copy" / "im3.png", picture(77, 32, 8).astype(np.uint8))
    png(folder / "copy2" / "im3.png", picture(78, 32, 8).astype(np.uint8))
    with_table(rows.assign(file="there/" + rows["file"]), "1 names fit more than one file: there/im3.png")


def test_missing_labels_are_skipped(workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(24)
    rows = pd.read_csv(labels, dtype=str)
    rows.loc[3, "label"] = "NaN"
    rows.loc[len(rows)] = ["gone.png", "a", "pat0"]
    rows.to_csv(labels, index=False)
    result = go(workspace, folder, labels)
    assert result.outcomes["skipped"] == 1
    assert set(result.images_per_class) == {"a", "b"}
    assert "1 rows of the labels name no file that was found" in result.caveats


def test_nothing_says_the_modality(workspace: Workspace, pictures: Pictures) -> None:
    folder, labels = pictures(12)
    failing(workspace, UsageError, "--modality xray|mri|ct|ultrasound", folder, labels, modality=None)


def test_npz_labels_out_of_range(tmp_path: Path, workspace: Workspace) -> None:
    images = np.random.default_rng(0).integers(0, 255, (20, 28, 28), dtype=np.uint8)
    np.savez(tmp_path / "pneumoniamnist.npz", train_images=images, train_labels=np.arange(20)[:, None] % 3)
    failing(workspace, DataError, "npz_labels", tmp_path / "pneumoniamnist.npz")
