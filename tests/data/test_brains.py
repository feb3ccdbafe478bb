"""The built-in brains: deterministic, well-formed, plausible, and a problem neither trivial nor hopeless."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medsyn.data.sample import write_brains
from medsyn.data.sample.brain import paint
from medsyn.data.sample.head import Exam, Head, sample_exam, sample_head, sample_masses
from medsyn.data.sample.nifti_files import MASS, OEDEMA, SLICES, grid
from medsyn.data.sample.relaxation import SEQUENCES, signals

SUBJECTS, SIZE = 120, 64


class Sample(NamedTuple):
    """Rows of the table, and in their order volumes and segmentations."""

    rows: list[dict[str, str]]
    scans: list[nibabel.Nifti1Image]
    masks: list[nibabel.Nifti1Image]

    @property
    def lesion(self) -> NDArray[np.bool_]:
        return np.array([row["label"] == "lesion" for row in self.rows])

    def axial(self) -> NDArray[np.float64]:
        """Slices [volume, slice, y, x] with x to the right and y to the front, scaled to their own percentiles."""
        out = []
        for scan in self.scans:
            values = nibabel.as_closest_canonical(scan).get_fdata()
            low, high = np.percentile(values, [1, 99.5])
            out.append(np.clip((values - low) / (high - low), 0, 1).T)
        return np.stack(out)


def _rows(table: Path) -> list[dict[str, str]]:
    with table.open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    folder = tmp_path_factory.mktemp("brains")
    rows = _rows(write_brains(folder, subjects=SUBJECTS, size=SIZE))
    scans, masks = (
        [nibabel.load(folder / row["file"].replace("images", name)) for row in rows] for name in ("images", "masks")
    )
    return Sample(rows, scans, masks)


def _subject(seed: int) -> tuple[Head, Exam]:
    return sample_head(np.random.default_rng(seed)), sample_exam(np.random.default_rng([seed, 1]))


# ---- files


def test_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    first, second = (write_brains(tmp_path / name, subjects=3, seed=3, size=32) for name in "ab")
    files = sorted(path.relative_to(first.parent) for path in first.parent.rglob("*.*"))
    assert len(files) == 2 * len(_rows(first)) + 1
    for file in files:
        assert (first.parent / file).read_bytes() == (second.parent / file).read_bytes()


def test_a_subject_does_not_depend_on_the_others_and_a_seed_changes_it(tmp_path: Path) -> None:
    few, many = (write_brains(tmp_path / str(n), subjects=n, size=32) for n in (2, 5))
    other = write_brains(tmp_path / "other", subjects=2, seed=1, size=32)
    assert _rows(many)[: len(_rows(few))] == _rows(few)
    for row in _rows(few):
        assert (few.parent / row["file"]).read_bytes() == (many.parent / row["file"]).read_bytes()
    name = _rows(few)[0]["file"]
    assert (few.parent / name).read_bytes() != (other.parent / name).read_bytes()


def test_the_table_names_every_volume_its_class_and_its_patient(sample: Sample) -> None:
    assert set(sample.rows[0]) == {"file", "label", "patient_id"}
    assert {row["label"] for row in sample.rows} == {"normal", "lesion"}
    assert 0.35 < sample.lesion.mean() < 0.6
    _, counts = np.unique([row["patient_id"] for row in sample.rows], return_counts=True)
    assert (len(counts), counts.min(), counts.max()) == (SUBJECTS, 1, 2)
    per_patient = {(row["patient_id"], row["label"]) for row in sample.rows}
    assert len(per_patient) == SUBJECTS


def test_headers_say_how_the_head_lies(sample: Sample) -> None:
    orders = {nibabel.aff2axcodes(scan.affine) for scan in sample.scans}
    assert len(orders) >= 3
    spacings = np.array([scan.header.get_zooms() for scan in sample.scans])
    assert np.allclose(spacings[:, 0], spacings[:, 1])
    assert len(np.unique(spacings[:, 2])) == 3
    assert np.all((spacings[:, 0] * SIZE > 200) & (spacings[:, 0] * SIZE < 240))
    for scan, mask in zip(sample.scans, sample.masks, strict=True):
        assert scan.get_data_dtype() == np.int16
        assert scan.shape == mask.shape == (SIZE, SIZE, SLICES)
        assert np.allclose(scan.affine, mask.affine)
        assert int(scan.header["sform_code"]) == int(scan.header["qform_code"]) == 1
    tilted = [np.count_nonzero(np.abs(scan.affine[:3, :3]) > 1e-6) for scan in sample.scans]
    assert min(tilted) > 3


def test_masks_are_of_lesions_in_every_slice_of_theirs(sample: Sample) -> None:
    seen = set()
    for mask, lesion in zip(sample.masks, sample.lesion, strict=True):
        values = np.asarray(mask.dataobj)
        seen |= set(np.unique(values).tolist())
        assert np.all((values == MASS).any(axis=(0, 1))) == lesion
        if not lesion:
            assert not values.any()
    assert seen == {0, MASS, OEDEMA}


def test_a_follow_up_shows_the_same_head_with_a_mass_that_did_not_shrink(sample: Sample) -> None:
    people = [row["patient_id"] for row in sample.rows]
    pairs = [(i - 1, i) for i in range(1, len(people)) if people[i] == people[i - 1]]
    shown = gaussian_filter(sample.axial()[:, 1], (0, 1, 1))
    same = [np.corrcoef(shown[i].ravel(), shown[j].ravel())[0, 1] for i, j in pairs]
    others = [np.corrcoef(shown[i].ravel(), shown[i - 7].ravel())[0, 1] for i, _ in pairs]
    assert np.median(same) > np.median(others)
    volumes = [np.count_nonzero(np.asarray(m.dataobj) == MASS) * np.prod(m.header.get_zooms()) for m in sample.masks]
    ratios = [volumes[j] / volumes[i] for i, j in pairs if volumes[i]]
    assert 0.95 < np.median(ratios) < 2


# ---- contrast


def test_sequences_order_the_tissues_as_radiologists_know_them() -> None:
    flair, t1, t2 = (signals(name) for name in ("flair", "t1", "t2"))
    assert flair["csf"] < 0.3 < 1 < flair["grey"] < flair["low_grade"] < flair["high_grade"] < flair["oedema"]
    assert t1["csf"] < t1["high_grade"] < t1["grey"] < 1 < t1["fat"]
    assert 1 < t2["grey"] < t2["high_grade"] < t2["necrosis"] < t2["csf"]
    for values in (flair, t1, t2):
        assert values["white"] == pytest.approx(1)
        assert values["bone"] < 0.1


def test_fluid_is_nulled_at_the_inversion_time() -> None:
    sequence = SEQUENCES["flair"]
    assert sequence.inversion is not None
    nulled = type(sequence)(sequence.repetition, sequence.echo, sequence.inversion / 1.06)
    assert nulled.signal(4300, 329, 1) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("contrast", SEQUENCES)
def test_ventricles_are_bright_on_t2_alone(contrast: str) -> None:
    head, exam = _subject(4)
    exam = Exam(**{**vars(exam), "level": 12.0, "tilt": (0, 0, 0), "oblique": (0, 0, 0), "shift": (0, 0)})
    values = signals(contrast)
    _, points = grid(exam, 96)
    image = paint(head, (), points, values, 1.0).signal[1]
    x, y, _ = points[:, 1]
    frontal = (np.abs(np.abs(x) - 8) < 2) & (np.abs(y - 26) < 3)
    white = (np.abs(np.abs(x) - 22) < 2) & (np.abs(y - 30) < 3)
    assert (image[frontal].mean() > image[white].mean()) == (contrast == "t2")


# ---- anatomy


def test_a_mass_displaces_brain_and_leaves_bone_alone() -> None:
    head, exam = _subject(1)
    _, points = grid(exam, 96)
    (mass, *_) = sample_masses(np.random.default_rng(5), head, exam)
    still, pushed = (
        paint(head, [type(mass)(**{**vars(mass), "push": push})], points, signals("flair"), 1.0) for push in (0.0, 0.5)
    )
    clear = paint(head, (), points, signals("flair"), 1.0)
    assert not clear.mass.any()
    assert np.abs(pushed.signal - still.signal).max() > 0.2
    radius = np.linalg.norm(points, axis=0)
    outside = radius > max(head.axes) + 8
    assert clear.signal[outside].max() > 0.5
    assert np.allclose(pushed.signal[outside], clear.signal[outside], atol=1e-3)
    assert (still.mass > 0.5).any(axis=(1, 2)).all()


def test_heads_differ_and_ventricles_grow_with_age() -> None:
    heads = [sample_head(np.random.default_rng(i)) for i in range(300)]
    ages, ventricles = np.array([h.age for h in heads]), np.array([h.ventricles for h in heads])
    assert np.corrcoef(ages, ventricles)[0, 1] > 0.35
    assert np.std([h.axes[0] for h in heads]) > 2
    assert np.mean([len(h.spots) > 0 for h in heads if h.age > 65]) > np.mean([len(h.spots) > 0 for h in heads])


def test_the_front_of_the_head_is_narrower_and_slices_are_nearly_symmetric(sample: Sample) -> None:
    shown = sample.axial()[:, 1]
    front, back = ((shown[:, rows] > 0.2).any(axis=1).sum(axis=1) for rows in (slice(40, 48), slice(16, 24)))
    assert np.mean(back >= front) > 0.75
    smooth = gaussian_filter(shown[~sample.lesion], (0, 2, 2))
    alike = [np.corrcoef(s.ravel(), s[:, ::-1].ravel())[0, 1] for s in smooth]
    assert np.median(alike) > 0.8


# ---- a problem worth solving


def test_acquisition_does_not_tell_the_label(sample: Sample) -> None:
    facts = np.array(
        [
            [
                scan.header.get_zooms()[0],
                scan.header.get_zooms()[2],
                scan.affine[0, 0] > 0,
                np.median(values[values > 99]),
            ]
            for scan in sample.scans
            for values in [np.asarray(scan.dataobj)]
        ]
    )
    gap = np.abs(facts[sample.lesion].mean(0) - facts[~sample.lesion].mean(0)) / facts.std(0)
    assert gap.max() < 0.6


def test_classes_are_learnable_but_not_from_brightness(sample: Sample) -> None:
    pytest.importorskip("sklearn")
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    shown = sample.axial()[:, 1]
    people = [row["patient_id"] for row in sample.rows]

    def auroc(features: NDArray) -> float:
        model = make_pipeline(StandardScaler(), LogisticRegression(C=0.02, max_iter=500))
        scores = cross_val_predict(
            model, features, sample.lesion, groups=people, cv=GroupKFold(5), method="predict_proba"
        )
        return float(roc_auc_score(sample.lesion, scores[:, 1]))

    # What is bright and round on one side and not on the other.
    parts = []
    for fine in (1.5, 3.0):
        blobs = gaussian_filter(shown, (0, fine, fine)) - gaussian_filter(shown, (0, 2 * fine, 2 * fine))
        lopsided = np.abs(blobs - blobs[:, :, ::-1])[:, 14:50, 18:46]
        parts.append(np.stack([lopsided.max((1, 2)), blobs[:, 14:50, 18:46].max((1, 2))], 1))
    assert 0.7 < auroc(np.concatenate(parts, axis=1)) < 0.97
    assert auroc(np.stack([shown.mean((1, 2)), shown.std((1, 2))], 1)) < 0.7


# ---- arguments


@pytest.mark.parametrize("bad", [{"subjects": 0}, {"seed": -1}, {"size": 8}, {"contrast": "pd"}])
def test_bad_arguments_are_named(tmp_path: Path, bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=next(iter(bad))):
        write_brains(tmp_path, **bad)  # type: ignore[arg-type]


def test_progress_counts_subjects(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    write_brains(tmp_path, subjects=3, size=32, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(1, 3), (2, 3), (3, 3)]
