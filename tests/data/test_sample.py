"""The built-in sample: deterministic, well-formed DICOM, and a problem that is neither trivial nor hopeless."""

from __future__ import annotations

import csv
import warnings
from itertools import combinations
from pathlib import Path

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from scipy.ndimage import gaussian_filter

from medsyn.data.sample import write_sample
from medsyn.data.sample.anatomy import sample_anatomy, sample_lesions, sample_pose
from medsyn.data.sample.radiograph import expose, sample_technique
from medsyn.data.sample.thorax import project

LABELS = {"normal", "opacity", "nodule"}
SUBJECTS, SIZE = 150, 64


def _shown(ds: pydicom.Dataset) -> NDArray[np.float64]:
    """The film as it should look: modality LUT, VOI LUT, then inversion of MONOCHROME1, on 0 to 1."""
    out = np.asarray(apply_voi_lut(apply_modality_lut(ds.pixel_array, ds), ds), dtype=float)
    out = (out - float(ds.get("RescaleIntercept", 0))) / 4095
    return 1 - out if ds.PhotometricInterpretation == "MONOCHROME1" else out


def _kind(ds: pydicom.Dataset) -> str:
    return "window" if "WindowCenter" in ds else "lut" if "VOILUTSequence" in ds else "none"


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, str]], list[pydicom.Dataset], NDArray]:
    folder = tmp_path_factory.mktemp("sample")
    rows = _rows(write_sample(folder, subjects=SUBJECTS, size=SIZE))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        films = [pydicom.dcmread(folder / row["file"]) for row in rows]
        shown = np.stack([_shown(ds) for ds in films])
    return rows, films, shown


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_sample(tmp_path / name, subjects=4, seed=3, size=48) for name in "ab")
    assert first.read_bytes() == second.read_bytes()
    for row in _rows(first):
        assert (first.parent / row["file"]).read_bytes() == (second.parent / row["file"]).read_bytes()


def test_a_subject_does_not_depend_on_the_others_and_a_seed_changes_it(tmp_path: Path) -> None:
    few = write_sample(tmp_path / "few", subjects=2, size=32)
    many = write_sample(tmp_path / "many", subjects=5, size=32)
    other = write_sample(tmp_path / "other", subjects=2, seed=1, size=32)
    assert _rows(many)[: len(_rows(few))] == _rows(few)
    for row in _rows(few):
        assert (few.parent / row["file"]).read_bytes() == (many.parent / row["file"]).read_bytes()
    name = _rows(few)[0]["file"]
    assert (few.parent / name).read_bytes() != (other.parent / name).read_bytes()


def test_table_lists_every_film_and_class(sample, tmp_path: Path) -> None:
    rows, films, _ = sample
    assert set(rows[0]) == {"file", "label"}
    shares = {label: np.mean([row["label"] == label for row in rows]) for label in LABELS}
    assert {row["label"] for row in rows} == LABELS
    assert 0.4 < shares["normal"] < 0.6
    assert 0.2 < shares["opacity"] < 0.4
    assert 0.12 < shares["nodule"] < 0.3
    _, counts = np.unique([ds.PatientID for ds in films], return_counts=True)
    assert len(counts) == SUBJECTS
    assert counts.min() == 1
    assert counts.max() == 4


def test_some_subjects_change_over_time(sample) -> None:
    rows, films, _ = sample
    seen: dict[str, set[str]] = {}
    for row, ds in zip(rows, films, strict=True):
        seen.setdefault(ds.PatientID, set()).add(row["label"])
    changed = np.mean([len(labels) > 1 for labels in seen.values()])
    assert 0.02 < changed < 0.3


def test_files_are_computed_radiographs_with_an_identity_to_remove(sample) -> None:
    _, films, shown = sample
    assert len({ds.SOPInstanceUID for ds in films}) == len(films)
    for ds in films:
        assert ds.file_meta.MediaStorageSOPClassUID == pydicom.uid.ComputedRadiographyImageStorage
        assert (ds.BitsAllocated, ds.BitsStored, ds.HighBit) == (16, 12, 11)
        assert ds.pixel_array.shape == (SIZE, SIZE)
        assert ds.pixel_array.max() <= 4095
        assert ds.BurnedInAnnotation == "NO"
        assert ds.ViewPosition in ("PA", "AP")
        for keyword in (
            "PatientName",
            "PatientBirthDate",
            "ReferringPhysicianName",
            "InstitutionName",
            "ImageComments",
        ):
            assert ds.get(keyword)
        assert any(element.tag.is_private for element in ds)
    assert shown.min() >= 0
    assert shown.max() <= 1


def test_photometrics_voi_kinds_views_and_vendors_all_occur(sample) -> None:
    _, films, _ = sample
    combos = {(ds.PhotometricInterpretation, _kind(ds)) for ds in films}
    assert combos == {(p, k) for p in ("MONOCHROME1", "MONOCHROME2") for k in ("window", "lut", "none")}
    assert {ds.ViewPosition for ds in films} == {"PA", "AP"}
    assert len({ds.Manufacturer for ds in films}) == 2


def test_both_photometrics_look_alike_after_the_pipeline(sample) -> None:
    _, films, shown = sample
    alike = []
    for i, j in combinations(range(len(films)), 2):
        same, photometrics = films[i].PatientID == films[j].PatientID, (films[i][0x280004], films[j][0x280004])
        if same and photometrics[0].value != photometrics[1].value:
            alike.append(np.corrcoef(shown[i].ravel(), shown[j].ravel())[0, 1])
    assert len(alike) > 20
    assert np.median(alike) > 0.7
    assert np.mean(np.array(alike) > 0.3) > 0.95


def test_lung_is_darker_than_mediastinum(sample) -> None:
    _, _, shown = sample
    rows = slice(int(0.40 * SIZE), int(0.52 * SIZE))
    middle = shown[:, rows, int(0.47 * SIZE) : int(0.53 * SIZE)].mean(axis=(1, 2))
    lungs = shown[:, rows, int(0.26 * SIZE) : int(0.36 * SIZE)].mean(axis=(1, 2))
    assert np.mean(middle > lungs) > 0.95
    assert np.mean(middle - lungs) > 0.1


def test_acquisition_does_not_tell_the_label(sample) -> None:
    rows, films, _ = sample
    labels = np.array([row["label"] for row in rows])
    for trait in ("ViewPosition", "PhotometricInterpretation", "Manufacturer"):
        values = np.array([str(ds.get(trait)) for ds in films])
        first = values == values[0]
        rates = [first[labels == label].mean() for label in sorted(LABELS)]
        assert np.ptp(rates) < 0.25, trait


def test_classes_are_learnable_but_not_from_brightness(sample) -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rows, films, shown = sample
    labels, people = [row["label"] for row in rows], [ds.PatientID for ds in films]
    flat = shown.reshape(len(shown), -1)
    brightness = np.column_stack([flat.mean(1), flat.std(1), *np.percentile(flat, [5, 25, 50, 75, 95], axis=1)])

    def auroc(features: NDArray) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
        folds = GroupKFold(5)
        scores = cross_val_predict(model, features, labels, groups=people, cv=folds, method="predict_proba")
        return float(roc_auc_score(labels, scores, multi_class="ovr"))

    # Position varies too much for raw pixels: ask how blob-like and how lopsided each part of the lung fields is.
    count, parts = len(shown), []
    level = (shown - shown.mean((1, 2), keepdims=True)) / shown.std((1, 2), keepdims=True)
    for fine in (1.0, 2.5):
        blobs = gaussian_filter(level, (0, fine, fine)) - gaussian_filter(level, (0, 2 * fine, 2 * fine))
        parts.append(blobs[:, 10:50, 8:56].reshape(count, 5, 8, 6, 8).max(axis=(2, 4)).reshape(count, -1))
    smooth = gaussian_filter(level, (0, 3, 3))
    lopsided = np.abs(smooth - smooth[:, :, ::-1])[:, 12:52, 8:32]
    parts.append(lopsided.reshape(count, 5, 8, 4, 6).mean(axis=(2, 4)).reshape(count, -1))
    assert 0.65 < auroc(np.concatenate(parts, axis=1)) < 0.97
    assert auroc(brightness) < 0.7


def test_disease_only_adds_attenuation_inside_the_chest() -> None:
    rng = np.random.default_rng(0)
    anatomy = sample_anatomy(rng, age=60, sex="F")
    pose = sample_pose(rng, "PA")
    clear = project(anatomy, pose, (), size=96)
    for label in ("opacity", "nodule"):
        change = project(anatomy, pose, sample_lesions(rng, label), size=96) - clear
        assert change.max() > 0.02
        assert change.min() > -0.2
        assert np.mean(np.abs(change) > 1e-9) < 0.5


def test_heart_is_larger_on_the_ap_film() -> None:
    from medsyn.data.sample.thorax import _magnification

    rng = np.random.default_rng(1)
    anatomy = sample_anatomy(rng, age=60, sex="M")
    ap, pa = (_magnification(sample_pose(rng, view), anatomy, np.array(4.0)) for view in ("AP", "PA"))
    assert ap > pa > 1


def test_exposure_brightens_what_attenuates() -> None:
    rng = np.random.default_rng(2)
    ramp = np.tile(np.linspace(0.0, 5.0, 64), (64, 1))
    film = expose(ramp, sample_technique(rng, portable=False, vendor=0), rng)
    assert np.all(np.diff(film.tone.astype(int)) >= 0)
    shown = film.tone[film.codes].mean(axis=0)
    assert shown[50] > shown[30] > shown[5]


@pytest.mark.parametrize(
    "bad",
    [{"subjects": 0}, {"seed": -1}, {"size": 8}],
)
def test_bad_arguments_are_named(tmp_path: Path, bad: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        write_sample(tmp_path, **bad)


def test_bad_parts_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="sex"):
        sample_anatomy(rng, age=40, sex="X")
    with pytest.raises(ValueError, match="view"):
        sample_pose(rng, "LL")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="label"):
        sample_lesions(rng, "fracture")
    with pytest.raises(ValueError, match="square"):
        expose(np.zeros((4, 5)), sample_technique(rng, portable=True, vendor=1), rng)


def test_progress_counts_subjects(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_sample(tmp_path, subjects=3, size=16, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
