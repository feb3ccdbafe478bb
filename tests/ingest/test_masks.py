"""Segmentations lie on their scans pixel for pixel, and label slices."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
import pytest
from PIL import Image

from medsyn.config import IngestOptions, load_preset
from medsyn.data import Dataset
from medsyn.errors import UsageError
from medsyn.ingest import masks, nifti, raster, scan, stage
from medsyn.ingest.masks import MaskLabel
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe
from medsyn.workspace import Workspace

from .conftest import picture, png


def pair_found(folder: Path) -> list[Probe]:
    """Probes of the scans in a folder, their segmentations attached."""
    found = scan.probe_chunk(list(scan.find([str(folder)])), LookFor(b"key"))
    made = masks.pair(lambda: iter(found))
    by_number = {p.number: p for p in found}
    for number, mask in made.masks.items():
        by_number[number].mask = by_number[mask]
    return [p for p in found if p.number not in made.refused]


# ---- labels


@pytest.mark.parametrize(
    ("text", "values", "expected"),
    [
        ("lesion>0", [0, 1], "lesion"),
        ("lesion>0", [0, 0], "no_lesion"),
        ("lesion > 1", [0, 1], "no_lesion"),
        ("lesion>=2", [0, 2], "lesion"),
        ("lesion>=2", [0, 1], "no_lesion"),
        ("edema=2", [1, 3], "no_edema"),
        ("edema=2", [1, 2], "edema"),
        ("a.b-c_1=255", [255, 0], "a.b-c_1"),
    ],
)
def test_a_class_by_its_mask(text: str, values: list[int], expected: str) -> None:
    assert MaskLabel.parse(text).label(np.array([values], np.uint8)) == expected


@pytest.mark.parametrize("text", ["", "lesion", "lesion<2", "lesion>", ">0", "le sion>0", "lesion>0.5", "lesion>-1"])
def test_rules_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="not a rule"):
        MaskLabel.parse(text)


@pytest.mark.parametrize("text", ["lesion>255", "lesion=256", "lesion>=0"])
def test_rules_that_say_nothing(text: str) -> None:
    with pytest.raises(UsageError, match=r"every value|no value"):
        MaskLabel.parse(text)


# ---- volumes


def recipe(modality: str = "mri", **changes: Any) -> Recipe:
    return Recipe(b"key", load_preset(modality), 64, False, **changes)


def volume(tmp_path: Path, mask: np.ndarray, affine: np.ndarray | None = None) -> tuple[np.ndarray, Probe]:
    """A scan on a 2 x 3 x 4 mm grid and its segmentation: the scan's grey values over 100 where it is 1."""
    values = np.random.default_rng(0).random(mask.shape[:3]).astype(np.float32) * 50
    values[mask.reshape(*mask.shape[:3], -1)[..., 0] > 0] += 100
    grid = np.diag([2.0, 3.0, 4.0, 1.0])
    nibabel.save(nibabel.Nifti1Image(values, grid), tmp_path / "x.nii.gz")
    nibabel.save(nibabel.Nifti1Image(mask, grid if affine is None else affine), tmp_path / "x_mask.nii.gz")
    (found,) = pair_found(tmp_path)
    assert found.mask is not None
    return values, found


def blob(dtype: str = "u1") -> np.ndarray:
    """Off centre along every axis, so that no flip goes unseen; none in the slices at the ends."""
    mask = np.zeros((12, 10, 8), dtype)
    mask[2:5, 3:9, 1:5] = 1
    return mask


def check_aligned(planes: list[Plane]) -> None:
    for plane in planes:
        assert plane.mask is not None
        assert plane.mask.dtype == np.uint8
        assert np.array_equal(plane.mask > 0, plane.values > 75)
    assert sum(int(p.mask.any()) for p in planes if p.mask is not None) > 1


@pytest.mark.parametrize("modality", ["mri", "ultrasound"])
@pytest.mark.parametrize("rule", ["all", "every=2"])
def test_a_segmentation_lies_on_its_scan(tmp_path: Path, modality: str, rule: str) -> None:
    _, found = volume(tmp_path, blob("i2"))
    facts, planes = nifti.read(found, recipe(modality, slices=rule, mask_label="lesion>0"))
    slices = list(planes)
    check_aligned(slices)
    assert [p.label for p in slices] == [
        "lesion" if p.mask.any() else "no_lesion" for p in slices if p.mask is not None
    ]
    assert {p.label for p in slices} == {"lesion", "no_lesion"}
    assert facts.note == ""


def test_a_segmentation_that_is_stored_the_other_way_round(tmp_path: Path) -> None:
    turned = np.array([[2, 1], [0, -1], [1, 1]])
    affine = np.diag([2.0, 3.0, 4.0, 1.0]) @ nibabel.orientations.inv_ornt_aff(turned, (12, 10, 8))
    volume(tmp_path, blob())
    stored = nibabel.Nifti1Image(nibabel.apply_orientation(blob(), turned), affine)
    assert stored.shape != (12, 10, 8)
    nibabel.save(stored, tmp_path / "x_mask.nii.gz")
    found = Probe(1, str(tmp_path / "x.nii.gz"), kind="nifti", mask=Probe(2, str(tmp_path / "x_mask.nii.gz")))
    check_aligned(list(nifti.read(found, recipe())[1]))


def shifted(mm: float) -> np.ndarray:
    affine = np.diag([2.0, 3.0, 4.0, 1.0])
    affine[0, 3] = mm
    return affine


@pytest.mark.parametrize(
    ("mask", "affine", "reason"),
    [
        (blob(), shifted(1.0), "mask_mismatch"),
        (blob(), np.diag([2.0, 3.0, 4.2, 1.0]), "mask_mismatch"),
        (blob(), np.diag([-2.0, 3.0, 4.0, 1.0]), "mask_mismatch"),
        (blob("f4") * 0.5, None, "mask_values"),
        (blob("i2") * 300, None, "mask_values"),
        (blob("i2") * -1, None, "mask_values"),
        (np.where(blob(), np.nan, np.float32(0)), None, "mask_values"),
        (np.stack([blob(), blob()], -1), None, "mask_values"),
    ],
)
def test_a_segmentation_that_does_not_fit_is_told(
    tmp_path: Path, mask: np.ndarray, affine: np.ndarray | None, reason: str
) -> None:
    _, found = volume(tmp_path, mask, affine)
    facts, planes = nifti.read(found, recipe(mask_label="lesion>0"))
    assert [(p.mask, p.label) for p in planes] == [(None, None)] * 8
    assert f"its segmentation is not used ({reason}): " in facts.note
    assert facts.note.startswith("its segmentation is not used")
    assert facts.note.endswith("no segmentation, so no label")


def test_a_segmentation_of_another_shape_is_told(tmp_path: Path) -> None:
    _, found = volume(tmp_path, blob())
    assert found.mask is not None
    nibabel.save(nibabel.Nifti1Image(blob()[:-1], np.diag([2.0, 3.0, 4.0, 1.0])), found.mask.path)
    facts, planes = nifti.read(found, recipe())
    assert [p.mask for p in planes] == [None] * 8
    assert "its segmentation is not used (mask_mismatch): " in facts.note


def test_rounding_is_no_other_grid(tmp_path: Path) -> None:
    _, found = volume(tmp_path, blob(), shifted(0.01))
    check_aligned(list(nifti.read(found, recipe())[1]))


def test_a_truncated_segmentation_spares_its_scan(tmp_path: Path) -> None:
    _, found = volume(tmp_path, blob())
    assert found.mask is not None
    path = Path(found.mask.path)
    path.write_bytes(path.read_bytes()[:-40])
    facts, planes = nifti.read(found, recipe())
    assert len(list(planes)) == 8
    assert "its segmentation is not used (mask_unreadable): it cannot be decoded (EOFError)" in facts.note


def test_channels_of_one_case_are_one_subject(tmp_path: Path) -> None:
    for name in ("a_0000", "a_0001", "b_0000"):
        values = np.random.default_rng(len(name)).random((12, 10, 8)).astype(np.float32)
        (tmp_path / "imagesTr").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values + ord(name[-1]), np.eye(4)), tmp_path / f"imagesTr/{name}.nii.gz")
    for name in "ab":  # equal to the byte, as empty ones are
        (tmp_path / "labelsTr").mkdir(exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(blob(), np.eye(4)), tmp_path / f"labelsTr/{name}.nii.gz")
    found = pair_found(tmp_path)
    assert all(p.mask for p in found)
    subjects = [nifti.read(p, recipe())[0].subject for p in found]
    assert subjects[0] == subjects[1] != subjects[2]


# ---- pictures


def read_picture(tmp_path: Path, **changes: Any) -> tuple[Facts, list[Plane]]:
    (found,) = pair_found(tmp_path)
    assert found.mask is not None
    facts, planes = raster.read(found, recipe("ultrasound", **changes))
    return facts, list(planes)


def classes() -> np.ndarray:
    mask = np.zeros((24, 32), np.uint8)
    mask[3:9, 20:25], mask[12:, :4] = 1, 2
    return mask


def forms() -> Iterator[Any]:
    yield Image.fromarray(classes())
    yield Image.fromarray(classes()).convert("RGB")
    yield Image.fromarray(classes().astype(np.uint16))
    indexed = Image.fromarray(classes(), "P")
    indexed.putpalette([0, 0, 0, 200, 0, 0, 0, 200, 0])
    yield indexed
    yield Image.merge("LA", (Image.fromarray(classes()), Image.new("L", (32, 24), 255)))


@pytest.mark.parametrize("form", range(5))
def test_the_segmentation_of_a_picture(tmp_path: Path, form: int) -> None:
    png(tmp_path / "x.png", picture(0, 32, 8)[:24].astype(np.uint8))
    list(forms())[form].save(tmp_path / "x_mask.png")
    facts, (plane,) = read_picture(tmp_path, mask_label="b=2")
    assert plane.mask is not None
    assert plane.mask.dtype == np.uint8
    assert np.array_equal(plane.mask, classes())
    assert (plane.label, facts.note) == ("b", "")


def test_black_and_white(tmp_path: Path) -> None:
    png(tmp_path / "x.png", picture(0, 32, 8)[:24].astype(np.uint8))
    png(tmp_path / "x_mask.png", classes() > 0)
    _, (plane,) = read_picture(tmp_path, mask_label="lesion>0")
    assert np.array_equal(plane.mask, classes() > 0)
    assert plane.label == "lesion"


def test_pages_get_their_pages(tmp_path: Path) -> None:
    pages = [Image.fromarray(picture(i, 32, 16)) for i in range(3)]
    pages[0].save(tmp_path / "x.tif", save_all=True, append_images=pages[1:])
    segmented = [Image.fromarray(np.full((32, 32), i, np.uint8)) for i in range(3)]
    segmented[0].save(tmp_path / "x_mask.tif", save_all=True, append_images=segmented[1:])
    _, planes = read_picture(tmp_path, mask_label="late>1")
    assert [int(p.mask.max()) for p in planes if p.mask is not None] == [0, 1, 2]
    assert [p.label for p in planes] == ["no_late", "no_late", "late"]


@pytest.mark.parametrize(
    ("kind", "reason"), [("size", "mask_mismatch"), ("colour", "mask_values"), ("deep", "mask_values")]
)
def test_a_picture_keeps_without_a_segmentation_that_does_not_fit(tmp_path: Path, kind: str, reason: str) -> None:
    png(tmp_path / "x.png", picture(0, 32, 8)[:24].astype(np.uint8))
    wrong = {
        "size": classes().T.copy(),
        "colour": np.stack([classes(), classes() * 0, classes()], -1),
        "deep": classes().astype(np.uint16) * 300,
    }
    png(tmp_path / "x_mask.png", wrong[kind])
    facts, (plane,) = read_picture(tmp_path, mask_label="lesion>0")
    assert (plane.mask, plane.label) == (None, None)
    assert f"its segmentation is not used ({reason}): " in facts.note
    assert facts.note.count("no label") == 1


def test_a_lossy_segmentation_is_refused(tmp_path: Path) -> None:
    png(tmp_path / "x.png", picture(0, 32, 8)[:24].astype(np.uint8))
    Image.fromarray(classes() * 100).save(tmp_path / "x_mask.jpg")
    facts, _ = read_picture(tmp_path)
    assert "its segmentation is not used (mask_values): " in facts.note


# ---- the whole way


def cases(folder: Path, n: int = 8) -> Path:
    """Volumes of n patients in the layout of nnU-Net, half of them with a lesion."""
    for sub in ("imagesTr", "labelsTr"):
        (folder / sub).mkdir(parents=True)
    for i in range(n):
        rng = np.random.default_rng(i)
        mask = np.zeros((18, 14, 6), np.uint8)
        if i % 2:
            mask[2 : 6 + i // 2, 3:9, 2:4] = 1
        values = (rng.random(mask.shape) * 50 + 150 * mask).astype(np.float32)
        nibabel.save(nibabel.Nifti1Image(values, np.diag([1.0, 1.5, 4.0, 1.0])), folder / f"imagesTr/p{i}_0000.nii.gz")
        nibabel.save(nibabel.Nifti1Image(mask, np.diag([1.0, 1.5, 4.0, 1.0])), folder / f"labelsTr/p{i}.nii.gz")
    return folder


def test_masks_are_stored_and_label_slices(tmp_path: Path, workspace: Workspace) -> None:
    folder = cases(tmp_path / "scans")
    (folder / "labelsTr/p0.nii.gz").unlink()
    nibabel.save(nibabel.Nifti1Image(np.zeros((9, 9, 9), np.uint8), np.eye(4)), folder / "labelsTr/p2.nii.gz")
    options = IngestOptions(paths=[str(folder)], modality="mri", size=32, subject_from="file", mask_label="lesion>0")
    result = stage.run(options, workspace)
    data = Dataset.open(result.path)
    ledger = pd.read_csv(result.ledger)
    assert ledger["images"].sum() == result.images == 48
    assert (ledger["reason"] == "mask_of").sum() == 7
    assert ledger["detail"].str.contains("mask_mismatch", na=False).sum() == 6
    assert ledger["detail"].str.contains("no segmentation, so no label", na=False).sum() == 12
    rows = np.arange(result.images)
    assert data.table["has_mask"].sum() == 36
    shown, segmented = data.images(rows)[:, 0], data.masks(rows)
    lesions = segmented.any((1, 2))
    assert lesions.sum() == 8
    assert list(data.table["label"].fillna("")) == [
        "lesion" if lesion else "no_lesion" if has else ""
        for lesion, has in zip(lesions, data.table["has_mask"], strict=True)
    ]
    for image, mask in zip(shown[lesions], segmented[lesions], strict=True):
        # 1.5 mm rows become square pixels, so that edges are filtered.
        inside = mask > 0
        assert image[inside].mean() > 0.75
        assert image[~inside].mean() < 0.35


def test_a_wrong_rule_is_told_before_anything_is_read(tmp_path: Path, workspace: Workspace) -> None:
    options = IngestOptions(paths=[str(cases(tmp_path / "scans", 2))], modality="mri", mask_label="lesion>255")
    with pytest.raises(UsageError, match="no value of a mask"):
        stage.run(options, workspace)
