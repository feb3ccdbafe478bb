"""Segmentations find their scans by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medsyn.ingest import masks
from medsyn.ingest.source import Probe


def probes(*paths: str) -> list[Probe]:
    kinds: dict[str, Any] = {".gz": "nifti", ".nii": "nifti", ".hdr": "nifti"}
    return [Probe(n, p, kind=kinds.get(Path(p).suffix, "raster")) for n, p in enumerate(paths, 1)]


def pairs(*paths: str, prefer: str | None = None) -> dict[str, str]:
    """Scan -> segmentation."""
    found = {p.number: p for p in probes(*paths)}
    made = masks.pair(lambda: iter(found.values()), prefer=prefer)
    assert {n for n, refused in made.refused.items() if refused.reason == "mask_of"} == set(made.masks.values())
    assert not made.refused.keys() & made.masks.keys()
    return {found[scan].path: found[mask].path for scan, mask in made.masks.items()}


@pytest.mark.parametrize(
    ("image", "mask"),
    [
        *(
            ("a/x.nii.gz", f"a/x_{s}.nii.gz")
            for s in ("mask", "seg", "segmentation", "label", "labels", "gt", "lesion")
        ),
        ("a/x.nii", "a/x-mask.nii.gz"),
        ("a/x.hdr", "a/x_mask.hdr"),
        ("a/x (1).png", "a/x (1)_mask.png"),
        ("a/x.jpg", "a/x_Mask.PNG"),
        ("a/x.png", "a/x_mask_1.png"),
        ("a/x_lesion.png", "a/x_lesion_mask.png"),
        ("imagesTr/x.nii.gz", "labelsTr/x.nii.gz"),
        ("imagesTr/x_0000.nii.gz", "labelsTr/x.nii.gz"),
        ("a/x_0000.nii.gz", "a/x_seg.nii.gz"),
        ("images/x.png", "masks/x.png"),
        ("images/x.jpg", "masks/x_mask.png"),
        ("train/images/x.png", "train/masks/x.png"),
        ("images/train/x.png", "masks/train/x.png"),
        ("data/Images/x.tif", "data/Labels/x.tif"),
        ("a/x.png", "a/masks/x.png"),
        ("b.zip/images/x.png", "b.zip/masks/x.png"),
        ("r/sub-01/anat/sub-01_T1w.nii.gz", "r/derivatives/lesions/sub-01/anat/sub-01_label-lesion_mask.nii.gz"),
        (
            "r/sub-1/ses-2/anat/sub-1_ses-2_acq-hi_FLAIR.nii.gz",
            "r/derivatives/m/sub-1/ses-2/anat/sub-1_ses-2_space-orig_desc-wm_dseg.nii.gz",
        ),
        ("r/sub-1/anat/sub-1_space-MNI_T1w.nii.gz", "r/sub-1/anat/sub-1_space-MNI_label-L_desc-T1lesion_mask.nii.gz"),
    ],
)
def test_names_that_belong_together(image: str, mask: str) -> None:
    assert pairs(image, mask) == {image: mask}
    assert pairs(*sorted((image, mask), reverse=True)) == {image: mask}


@pytest.mark.parametrize(
    "paths",
    [
        ("a/x.png", "b/x_mask.png"),
        ("images/x.png", "other/x.png"),
        ("images/1/x.png", "masks/2/x.png"),
        ("a/x.png", "a/masks2/x.png"),
        ("a/x_mask.png",),
        ("masks/x.png", "labels/x.png"),
        ("a/x.png", "a/x_mask.nii.gz"),
        ("home/labelled/a/x.png", "home/a/x.png"),
        ("mask/x.png", "no_mask/x.png"),  # classes of who wears one
        ("a/x.png", "a/x_0000.png"),
        ("r/sub-1/anat/sub-1_T1w.nii.gz", "r/sub-2/anat/sub-2_desc-brain_mask.nii.gz"),
        ("r/sub-1/func/sub-1_task-a_bold.nii.gz", "r/derivatives/p/sub-1/func/sub-1_task-b_desc-brain_mask.nii.gz"),
        ("r/sub-1/anat/sub-1_T1w.nii.gz", "r/derivatives/p/sub-1/func/sub-1_desc-brain_mask.nii.gz"),
    ],
)
def test_names_that_do_not(paths: tuple[str, ...]) -> None:
    assert pairs(*paths) == {}


def test_names_in_a_circle_end() -> None:
    a, b = "r/sub-1_mask.nii.gz", "r/sub-1_mask_gt.nii.gz"
    assert pairs(a, b) == {}
    assert pairs("r/x.png", "r/x_gt.png", "r/x_gt_mask.png") == {"r/x.png": "r/x_gt.png"}


def test_channels_share_a_segmentation() -> None:
    channels = [f"imagesTr/x_000{c}.nii.gz" for c in range(3)]
    assert pairs(*channels, "labelsTr/x.nii.gz") == dict.fromkeys(channels, "labelsTr/x.nii.gz")


def test_what_lies_beside_goes_before_what_it_was_derived_from() -> None:
    raw, made = "r/sub-1/anat/sub-1_T1w.nii.gz", "r/derivatives/p/sub-1/anat/sub-1_desc-preproc_T1w.nii.gz"
    mask = "r/derivatives/p/sub-1/anat/sub-1_desc-brain_mask.nii.gz"
    assert pairs(raw, mask) == {raw: mask}
    assert pairs(raw, made, mask) == {made: mask}


def test_of_several_segmentations_the_preferred_the_likeliest_or_none() -> None:
    paths = ["a/x.png", "a/x_lesion_mask.png", "a/x_organ_mask.png"]
    assert pairs(*paths) == {"a/x.png": "a/x_lesion_mask.png"}  # the other one is called as a scan's of its own
    paths = ["a/x.png", "a/x_lesion.png", "a/x_seg.png"]
    assert pairs(*paths) == {}
    assert pairs(*paths, prefer="lesion") == {"a/x.png": "a/x_lesion.png"}
    made = masks.pair(lambda: probes(*paths))
    assert {n: (r.reason, r.outcome) for n, r in made.refused.items()} == dict.fromkeys(
        (2, 3), ("mask_unused", "skipped")
    )
    made = masks.pair(lambda: probes("a/x.png", "a/x_mask.png", "a/x_mask_1.png"))
    assert {n: (r.reason, r.detail) for n, r in made.refused.items()} == {
        2: ("mask_of", "segmentation of input 1"),
        3: ("mask_unused", "a further segmentation of input 1, and not used"),
    }
