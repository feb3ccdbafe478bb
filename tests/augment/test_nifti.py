"""NIfTI files: readable by others with rows as rows, made of nothing but their input, and synthetic by their word."""

from __future__ import annotations

import gzip
import json
from dataclasses import replace
from pathlib import Path

import nibabel
import numpy as np
import pytest
from augment.small import KINDS, ORIGIN, digest, digests_of_another_process, encode, pixels

all_kinds = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture
def file(tmp_path: Path, kind: str) -> Path:
    (tmp_path / "a.nii.gz").write_bytes(next(iter(encode("nifti", kind).values())))
    return tmp_path / "a.nii.gz"


def test_an_image_has_its_sidecar_beside_it() -> None:
    image, sidecar = encode("nifti", "grey8", "épanchement")
    assert (image, sidecar) == ("nifti/%e9panchement/00000123.nii.gz", "nifti/%e9panchement/00000123.json")
    said = json.loads(encode("nifti", "grey8", "épanchement")[sidecar])
    assert said == {
        "Synthetic": True,
        "Label": "épanchement",
        "Modality": "xray",
        "Generator": {
            "medsyn": "1.2.3",
            "run": "f" * 32,
            "checkpoint": ORIGIN.checkpoint_digest,
            "seed": 7,
            "truncation": 0.9,
            "index": 123,
        },
    }


@all_kinds
def test_the_header_says_that_it_is_synthetic_and_claims_no_geometry(file: Path) -> None:
    header = nibabel.load(file).header
    assert header["intent_name"].item() == b"synthetic"
    assert (
        header["descrip"].item().startswith(b"Synthetic, no patient; medsyn checkpoint 0123456789ab seed 7 index 123")
    )
    assert (header["sform_code"], header["qform_code"], header["xyzt_units"]) == (0, 0, 0)
    assert header.get_data_shape() == (17, 13, 1)


def test_a_long_description_is_cut_to_its_field() -> None:
    data = next(iter(encode("nifti", "grey8", origin=replace(ORIGIN, seed=10**18), index=10**17).values()))
    described = gzip.decompress(data)[148:228]
    assert described.startswith(b"Synthetic, no patient")
    assert described[-1] == 0  # the field is text that ends


@all_kinds
def test_the_same_input_makes_the_same_bytes_at_any_time_and_place(kind: str) -> None:
    assert encode("nifti", kind) == encode("nifti", kind)
    assert digests_of_another_process()[f"nifti {kind}"] == digest("nifti", kind)


@all_kinds
def test_nibabel_reads_the_pixels(file: Path, kind: str) -> None:
    found = np.asarray(nibabel.load(file).dataobj)[:, :, 0].T
    channels = [found[c] for c in found.dtype.names] if found.dtype.names else [found]
    assert np.array_equal(np.stack(channels), pixels(kind))


@all_kinds
def test_simpleitk_reads_the_pixels(file: Path, kind: str) -> None:
    sitk = pytest.importorskip("SimpleITK")
    found = sitk.ReadImage(file)
    assert np.array_equal(sitk.GetArrayFromImage(found)[0], pixels(kind).transpose(1, 2, 0).squeeze())
    # As ITK has it, columns run to the left and rows to the back: viewers of its family show it upright.
    assert found.GetDirection() == (1, 0, 0, 0, 1, 0, 0, 0, 1)
    assert found.GetMetaData("intent_name") == "synthetic"


@pytest.mark.parametrize("kind", ["grey8", "grey16"])
def test_monai_reads_the_pixels(file: Path, kind: str) -> None:
    from monai.transforms import LoadImage

    found = np.asarray(LoadImage(reader="NibabelReader", image_only=True)(file))  # [W, H, 1]
    assert np.array_equal(found[:, :, 0].T, pixels(kind)[0])
