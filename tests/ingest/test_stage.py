"""The stage as a whole: labels, ledger, splits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pandas as pd
import pytest
from filelock import FileLock, Timeout
from PIL import Image

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.errors import DataError
from medsyn.images import synthetic_png
from medsyn.ingest import stage
from medsyn.workspace import Workspace, read_json

from .conftest import dicom, picture, png, table
from .whole import Pictures, go


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
    paths = workspace.private / read_json(result.path / "dataset.json")["paths_list"]
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
    result = go(workspace, films, modality=None, subject_from="file")
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
    result = go(workspace, tmp_path / "v.nii.gz", modality="mri", size=24, subject_from="file")
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
        go(workspace, tmp_path / "m.nii", modality="mri", subject_from="file")


def test_sample_goes_through_the_same_door(workspace: Workspace) -> None:
    result = stage.run(IngestOptions(sample_subjects=30, size=32, workers=1), workspace)
    meta = read_json(result.path / "dataset.json")
    assert result.sample
    assert meta["source"] == "built-in sample"
    assert result.modality == "xray"
    assert set(meta["fingerprint"]["display_sources"]) == {"window", "voi_lut", "percentiles"}
    assert not list(workspace.path.glob(".partial-*"))


def units_of(result: stage.IngestResult) -> int:
    return pd.read_parquet(result.path / "splits.parquet")["unit"].nunique()


@pytest.mark.parametrize("column", [None, "patient_id"])
def test_patients_of_header_and_table_can_only_merge(tmp_path: Path, workspace: Workspace, column: str | None) -> None:
    """Header: 01 23 45 67; table: 0 12 3 4 5 6 7. Together: 0123 45 67."""
    rows = []
    for i in range(8):
        dicom(tmp_path / "films" / f"{i}.dcm", picture(i), patient=f"H{i // 2}")
        rows.append({"file": f"{i}.dcm", "label": "ab"[i // 2 % 2], "patient_id": f"csv{1 if i == 2 else i}"})
    rows[6]["label"] = rows[7]["label"] = rows[2]["label"] = "a"
    labels = table(tmp_path / "labels.csv", rows)
    with pytest.raises(DataError, match="class 'b' has fewer than 2 subjects"):
        go(workspace, tmp_path / "films", labels, subject_from=column)
    rows[6]["label"] = "b"
    result = go(workspace, tmp_path / "films", table(tmp_path / "labels.csv", rows), subject_from=column)
    assert (result.subjects, units_of(result)) == (4, 3)


def test_the_tables_name_of_a_patient_is_remembered(tmp_path: Path, workspace: Workspace) -> None:
    """A first ingest tells that header H2 is csv2; pictures of csv2 alone then go where H2 went."""
    films, rows = tmp_path / "films", []
    for i in range(40):
        dicom(films / f"{i}.dcm", picture(i), patient=f"H{i}")
        rows.append({"file": f"{i}.dcm", "label": "ab"[i % 2], "patient_id": f"csv{i}"})
    before = pd.read_parquet(
        go(workspace, films, table(tmp_path / "films.csv", rows)).path / "splits.parquet"
    ).set_index("also_subject")["split"]
    for i, row in enumerate(rows):
        png(tmp_path / "more" / f"{i}.png", picture(100 + i, 32, 8).astype(np.uint8))
        row["file"] = f"{i}.png"
    after = splits_of(go(workspace, tmp_path / "more", table(tmp_path / "more.csv", rows)))
    assert after == before.to_dict()
    assert set(after.values()) == {"train", "tune", "val", "test"}


def test_issuer_does_not_split_a_patient_and_a_study_is_one_unit(tmp_path: Path, workspace: Workspace) -> None:
    films = tmp_path / "films"
    dicom(films / "0", picture(0), patient="P1", IssuerOfPatientID="Hospital")
    dicom(films / "1", picture(1), patient="P1", StudyInstanceUID="1.2.3")
    dicom(films / "2", picture(2), patient="", StudyInstanceUID="1.2.3")
    dicom(films / "3", picture(3), patient="Q", StudyInstanceUID="1.2.3")
    dicom(films / "4", picture(4), patient="Anonymous")
    dicom(films / "5", picture(5), patient="Anonymous")
    result = go(workspace, films)
    assert list(Dataset.open(result.path).table.groupby("unit").size().sort_values()) == [1, 1, 4]
    assert any(c.startswith("3 images without patient id: each study") for c in result.caveats)


def test_an_image_of_an_earlier_dataset_brings_its_split(tmp_path: Path, workspace: Workspace) -> None:
    """The same pictures under other names, of no named patient."""
    for i in range(40):
        png(tmp_path / "one" / f"{i}.png", picture(i, 32, 8).astype(np.uint8))
        image = Image.fromarray(picture(i, 32, 8).astype(np.uint8))
        (tmp_path / "two").mkdir(exist_ok=True)
        image.save(tmp_path / "two" / f"{i}.bmp")
    first = Dataset.open(go(workspace, tmp_path / "one", subject_from="file").path).table.set_index("pixel_digest")
    second = Dataset.open(go(workspace, tmp_path / "two", subject_from="file").path).table.set_index("pixel_digest")
    assert not set(first["subject"]) & set(second["subject"])
    assert second["split"].to_dict() == first["split"].to_dict()
    assert set(first["split"]) == {"train", "tune", "val", "test"}


def test_synthetic_images_are_marked(tmp_path: Path, workspace: Workspace) -> None:
    films = tmp_path / "films"
    dicom(films / "a.dcm", picture(0), SyntheticData="YES")
    dicom(films / "b.dcm", picture(1), SyntheticData="NO")
    (films / "c.png").write_bytes(synthetic_png(picture(2, 32, 8).astype(np.uint8)[None], "a test"))
    png(films / "d.png", picture(3, 32, 8).astype(np.uint8))
    for folder, synthetic in (("made", True), ("real", False)):
        (films / folder).mkdir()
        arrays = np.random.default_rng(synthetic).integers(0, 255, (3, 32, 32), dtype=np.uint8)
        np.savez(films / folder / "images.npz", train_images=arrays)
        (films / folder / "card.json").write_text(json.dumps({"synthetic": synthetic}))
    options = IngestOptions(paths=[str(films)], modality="xray", size=32, workers=1, subject_from="file")
    result = stage.run(options, workspace)
    assert list(Dataset.open(result.path).table["synthetic"]) == [True, False, True, False, *[True] * 3, *[False] * 3]
    assert sum("5 images synthetic by their own word" in c for c in result.caveats) == 1


def test_kinds_that_show_a_name_or_a_face_are_told(tmp_path: Path, workspace: Workspace) -> None:
    films = tmp_path / "films"
    captured = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}
    dicom(films / "0", picture(0), **captured)
    dicom(films / "1", picture(1), BurnedInAnnotation="NO", **captured)
    dicom(films / "2", picture(2), Modality="OT")
    dicom(films / "3", picture(3), BodyPartExamined="HEAD")  # a film of a head shows no face
    result = go(workspace, films)
    (told,) = [c for c in result.caveats if "burned-in" in c]
    assert told.startswith("2 images of kinds")
    assert not any("faces" in c for c in result.caveats)
    for i, part in enumerate(("BRAIN", "Head", "KNEE")):
        dicom(tmp_path / "mr" / str(i), picture(i), Modality="MR", BodyPartExamined=part)
    result = go(workspace, tmp_path / "mr", modality="mri")
    assert sum(c.startswith("2 images of heads") for c in result.caveats) == 1
    assert "BRAIN" not in (result.path / "dataset.json").read_text()


def test_the_list_of_paths_goes_with_a_failed_commit(
    workspace: Workspace, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = pictures(4)
    first = go(workspace, folder, subject_from="file")
    lists = set(workspace.private.glob("*-paths.csv"))

    def fail(*_: object) -> Path:
        now = set(workspace.private.glob("*-paths.csv"))
        assert len(now) == len(lists) + 1  # it was there before the dataset
        raise KeyboardInterrupt

    monkeypatch.setattr(Workspace, "reserve", fail)
    with pytest.raises(KeyboardInterrupt):
        go(workspace, folder, subject_from="file")
    assert set(workspace.private.glob("*-paths.csv")) == lists
    assert lists == {workspace.private / read_json(first.path / "dataset.json")["paths_list"]}


def test_one_name_is_drawn_by_one_ingest_at_a_time(
    workspace: Workspace, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = pictures(4)
    seen = []

    def locked(function: Callable[..., object]) -> Callable[..., object]:
        def wrapped(*args: object) -> object:
            with pytest.raises(Timeout), FileLock(workspace.private / ".xray.lock", timeout=0):
                pass
            seen.append(function.__name__)
            return function(*args)

        return wrapped

    monkeypatch.setattr(stage.Earlier, "of", locked(stage.Earlier.of))
    monkeypatch.setattr(Workspace, "reserve", locked(Workspace.reserve))
    go(workspace, folder, subject_from="file")
    assert seen == ["of", "reserve"]
