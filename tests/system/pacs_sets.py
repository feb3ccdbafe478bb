"""Synthetic sets with DICOM files, to be sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from ingest.conftest import dicom, picture
from orthanc import Proxy
from pydicom.uid import SecondaryCaptureImageStorage, generate_uid

from medsyn.augment.writers import Origin
from medsyn.augment.writers.dicom import DicomEncoder
from medsyn.pacs import sending
from medsyn.workspace import SYNTHETIC, Workspace


def make_set(workspace: Workspace, n: int = 12, **elements: object) -> Path:
    """A committed synthetic set with DICOM files, each a patient of its own."""
    with workspace.build(SYNTHETIC, "xray") as build:
        for i in range(n):
            given = {"SyntheticData": "YES", "SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT", **elements}
            file = build.path / "dicom" / "ab"[i % 2] / f"{i:08d}.dcm"
            dicom(file, picture(i % 7, 16), patient=f"SYN{i}", StudyInstanceUID=generate_uid(), **given)
        return build.commit({"schema": 2, "modality": "xray", "classes": ["a", "b"], "n": n})


def made_by_augment(workspace: Workspace) -> Path:
    """A set as `medsyn augment --format dicom` writes it: 8 and 16 bit, RGB, labels in any script."""
    encoder = DicomEncoder(Origin("c" * 64, 0, 1.0, None, "xray", "0.1.0"))
    rng = np.random.default_rng(0)
    with workspace.build(SYNTHETIC, "xray") as build:
        for i in range(12):
            kind = np.uint16 if i % 3 == 1 else np.uint8
            pixels = rng.integers(0, np.iinfo(kind).max, (3 if i % 3 == 2 else 1, 16, 16), kind, endpoint=True)
            for name, content in encoder.encode(pixels, ("normal", "Lungenödem 肺")[i % 2], i).items():
                (build.path / name).parent.mkdir(parents=True, exist_ok=True)
                (build.path / name).write_bytes(content)
        return build.commit({"schema": 2, "modality": "xray", "n": 12})


def files_of(path: Path) -> dict[str, bytes]:
    """SOP Instance UID -> content of the files of a set."""
    return {pydicom.dcmread(f).SOPInstanceUID: f.read_bytes() for f in path.rglob("*.dcm")}


def sent_uids(proxy: Proxy) -> list[str]:
    """UIDs in the bodies that were posted, as often as they were."""
    uids = []
    for request in proxy.asked("POST"):
        mark = request.headers["Content-Type"].partition('boundary="')[2].rstrip('"').encode()
        for part in request.body.split(b"--" + mark)[1:-1]:
            content = part.partition(b"\r\n\r\n")[2]
            uids.append(str(pydicom.dcmread(pydicom.filebase.DicomBytesIO(content)).SOPInstanceUID))
    return uids


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Sending needs no MLflow store."""
    return Workspace(tmp_path / "workspace").create()


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "BATCH_FILES", 5)


def one_line(done, code: int, *words: str) -> str:
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1, done.stderr
    assert done.returncode == code, done.stderr
    assert all(word in errors[0] for word in words), errors[0]
    return errors[0]
