"""The scans that the pages speak of."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Sequence
from pathlib import Path

import nibabel
import numpy as np
from ingest.conftest import dicom, picture, png, table
from PIL import Image

CT = "1.2.840.10008.5.1.4.1.1.2"


def film(seed: int, label: int) -> np.ndarray:
    """An 8-bit picture whose brightness follows the label."""
    return (picture(seed, 40, 8) // 2 + 60 * label).astype(np.uint8)


def pictures(folder: Path, labels: Path) -> None:
    """A folder of PNG with its table, as README has it: two classes of 20 patients."""
    rows = []
    for i in range(60):
        png(folder / "images" / f"{i:04}.png", film(i, i % 2))
        patient = f"p{i // 2 * 2 % 40 + i % 2}"
        rows.append(
            {"file": f"images/{i:04}.png", "label": ("normal", "pneumonia")[i % 2], "patient_id": patient},
        )
    table(labels, [{**row, "file": f"{folder.name}/{row['file']}"} for row in rows])


def medmnist(file: Path, classes: int, each: int = 6, colour: bool = False, findings: int = 0) -> None:
    """An npz with official splits, as MedMNIST publishes them."""
    arrays = {}
    for offset, (split, n) in enumerate(
        {"train": 2 * each * classes, "val": each * classes, "test": each * classes}.items()
    ):
        labels = np.arange(n) % classes
        images = np.stack([film(1000 * offset + i, label % 2)[:28, :28] for i, label in enumerate(labels)])
        arrays[f"{split}_images"] = np.repeat(images[..., None], 3, 3) if colour else images
        several = np.stack([(np.arange(n) // 2**k) % 2 for k in range(findings)], 1) if findings else labels[:, None]
        arrays[f"{split}_labels"] = several
    np.savez(file, **arrays)


def npz(folder: Path) -> None:
    medmnist(folder / "pneumoniamnist.npz", 2)
    medmnist(folder / "chestmnist.npz", 4, findings=14)
    medmnist(folder / "pathmnist.npz", 9, colour=True)


def volume(file: Path, values: np.ndarray) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), file)
    return file


def head(seed: int) -> np.ndarray:
    """Ten slices with something in each."""
    return np.stack([picture(100 * seed + k, 32) for k in range(10)], 2).astype(np.int16)


def bids(folder: Path) -> None:
    """Participants with a diagnosis, and lesions segmented in derivatives."""
    root = folder / "bids"
    for i in range(20):
        subject = f"sub-{i:02}"
        volume(root / subject / "anat" / f"{subject}_T1w.nii.gz", head(i))
        mask = np.zeros((32, 32, 10), np.uint8)
        mask[10:20, 10:20, 5 * (i % 2) :] = i % 2
        volume(root / "derivatives" / "seg" / subject / "anat" / f"{subject}_desc-lesion_mask.nii.gz", mask)
    (root / "dataset_description.json").write_text(json.dumps({"Name": "Study", "BIDSVersion": "1.10.0"}))
    rows = [f"sub-{i:02}\t{('CN', 'AD')[i % 2]}\t{60 + i}" for i in range(20)]
    (root / "participants.tsv").write_text("\n".join(["participant_id\tdiagnosis\tage", *rows]) + "\n")


def volumes(folder: Path) -> None:
    """NIfTI without BIDS, and a table that names the patients."""
    rows = []
    for i in range(20):
        file = volume(folder / "volumes" / f"case_{i:03}.nii.gz", head(100 + i))
        rows.append({"file": file.name, "label": ("glioma", "meningioma")[i % 2], "patient_id": f"p{i}"})
    table(folder / "volumes.csv", rows)


def exports(folder: Path) -> None:
    """DICOM films with a table, later ones with theirs, and a zip of CT."""
    tables = []
    for name, patients in {"export": range(20), "new": range(20, 30)}.items():
        rows = []
        for i in patients:
            dicom(folder / name / f"IM{i}", picture(3000 + i), patient=f"P{i}")
            rows.append({"patient_id": f"P{i}", "label": ("normal", "pneumonia")[i % 2]})
        tables.append(rows)
    table(folder / "labels.csv", tables[0])
    table(folder / "new.csv", tables[1])
    with zipfile.ZipFile(folder / "ct.zip", "w") as archive:
        for i in range(20):
            file = folder / "slice.dcm"
            values = (picture(4000 + i).astype(np.int32) - 1024).astype(np.int16)
            part = ("CHEST", "ABDOMEN")[i % 2]
            more = {"SOPClassUID": CT, "Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": 0}
            dicom(file, values, patient=f"C{i}", bits=16, BodyPartExamined=part, **more)
            archive.write(file, f"C{i}/slice.dcm")
            file.unlink()


def folders(folder: Path) -> None:
    for i in range(20):
        png(folder / "folders" / ("benign", "malignant")[i % 2] / f"{i}.png", film(5000 + i, i % 2))


def elsewhere(folder: Path, classes: Sequence[str]) -> None:
    """What another tool has made: a folder with a table, and an npz beside it."""
    images = np.stack([film(6000 + i, i % 2)[:32, :32] for i in range(40)])
    rows = []
    for i, image in enumerate(images):
        folder.mkdir(exist_ok=True)
        Image.fromarray(image).save(folder / f"{i:04}.png")
        rows.append({"file": f"{i:04}.png", "label": classes[i % 2]})
    table(folder / "labels.csv", rows)
    labels = np.arange(40)[:, None] % 2
    np.savez(folder.with_suffix(".npz"), train_images=images, train_labels=labels)
