"""How fast scans are read, beside a bare loop, MONAI and dcm2niix, and the parent's memory by the number of files.

    python benchmarks/ingest.py [--files 2000] [--volumes 300] [--memory 1000 10000 100000]

Simulated files, all different, made in a temporary folder (some 6 GB at the defaults):

- ``cr``: uncompressed 1024 x 1024 CR, 16 bit, with a window;
- ``ct``: 512 x 512 CT slices, JPEG 2000 lossless, in series of 100;
- ``nifti``: 96 x 96 x 48 int16 volumes, gzip, all slices.

Everything is read to 64 x 64 pixels. ``floor`` is the least anybody could do: pydicom (nibabel) decodes, Pillow
resizes, nothing is checked, scaled, hashed or written. ``monai`` is LoadImage and Resize (area). dcm2niix writes
volumes without resizing. Each reader runs alone, one after the other, all files in the page cache, in turns of the
same run; ratios compare, times do not. Needs dcm2niix in the path for its column.

Writes benchmarks/results/ingest.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import platform
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from medsyn import compute

ROOT = Path(__file__).resolve().parents[1]
SIZE = 64


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--volumes", type=int, default=300)
    parser.add_argument("--memory", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--child", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        print(json.dumps(_child(*json.loads(options.child))))
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        counts = {"cr": options.files, "ct": options.files, "nifti": options.volumes}
        speed = {}
        for kind, n in counts.items():
            scans = folder / kind
            MAKERS[kind](scans, n)
            speed[kind] = {"files": n} | race(kind, scans, folder / "work")
            print(kind, json.dumps(speed[kind]), flush=True)
            shutil.rmtree(scans)
        memory = []
        for n in options.memory:
            small(folder / "small", n)
            memory.append(child("memory", folder / "small", folder / "work") | {"files": n})
            print(json.dumps(memory[-1]), flush=True)
    found = {
        "command": f"python benchmarks/ingest.py --files {options.files} --volumes {options.volumes} --memory "
        + " ".join(map(str, options.memory)),
        "machine": f"{platform.machine()}, {compute.cores()} cores, no GPU",
        "seed": 0,
        "speed": speed,
        "memory": memory,
    }
    file = ROOT / "benchmarks" / "results" / "ingest.json"
    file.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")


def race(kind: str, scans: Path, work: Path) -> dict[str, Any]:
    """Files a second of every reader."""
    for path in sorted(scans.rglob("*")):  # into the page cache
        if path.is_file():
            path.read_bytes()
    seconds: dict[str, float] = {}
    for reader in ("floor", "monai", "medsyn, 1 worker", "medsyn, 2 workers", "dcm2niix"):
        if reader == "dcm2niix" and (kind == "nifti" or shutil.which("dcm2niix") is None):
            continue
        seconds[reader] = child(reader, scans, work)["seconds"]
    files = sum(p.is_file() for p in scans.rglob("*"))
    return {
        "per_second": {name: round(files / s, 2) for name, s in seconds.items()},
        "of_floor": {name: round(seconds["floor"] / s, 3) for name, s in seconds.items()},
        "of_monai": {name: round(seconds["monai"] / s, 3) for name, s in seconds.items()},
        "two_workers_of_one": round(seconds["medsyn, 1 worker"] / seconds["medsyn, 2 workers"], 3),
    }


def child(what: str, scans: Path, work: Path) -> dict[str, Any]:
    """Run one reader in a process of its own."""
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir()
    command = [sys.executable, __file__, "--child", json.dumps([what, str(scans), str(work)])]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _child(what: str, scans: str, work: str) -> dict[str, Any]:
    run = READERS[what]
    run = run(Path(scans), Path(work))  # imports first
    begun = time.monotonic()
    run()
    seconds = time.monotonic() - begun
    return {"seconds": round(seconds, 3), "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}


# ---- readers


def floor(scans: Path, work: Path) -> Callable[[], None]:
    import nibabel
    import pydicom

    def resize(values: np.ndarray) -> None:
        Image.fromarray(values.astype(np.float32)).resize((SIZE, SIZE), Image.Resampling.LANCZOS)

    def run() -> None:
        for path in files(scans):
            if path.suffix == ".gz":
                values = np.asarray(nibabel.load(path).dataobj)
                for k in range(values.shape[2]):
                    resize(values[:, :, k])
            else:
                resize(pydicom.dcmread(path).pixel_array)

    return run


def monai(scans: Path, work: Path) -> Callable[[], None]:
    from monai.transforms import Compose, EnsureChannelFirst, LoadImage, Resize

    def run() -> None:
        for path in files(scans):
            volume = path.suffix == ".gz"
            reader = "NibabelReader" if volume else "PydicomReader"
            size = (SIZE, SIZE, -1) if volume else (SIZE, SIZE)
            Compose([LoadImage(reader=reader, image_only=True), EnsureChannelFirst(), Resize(size)])(str(path))

    return run


def medsyn(workers: int) -> Callable[[Path, Path], Callable[[], None]]:
    def prepare(scans: Path, work: Path) -> Callable[[], None]:
        from medsyn import tracking
        from medsyn.config import IngestOptions
        from medsyn.ingest import stage
        from medsyn.workspace import Workspace

        modality = {"cr": "xray", "ct": "ct", "nifti": "mri", "small": "xray"}[scans.name]
        options = IngestOptions(
            paths=[str(scans)],
            modality=modality,
            size=SIZE,
            workers=workers,
            subject_from="file",  # type: ignore[arg-type]
        )

        def run() -> None:
            with tracking.off():
                result = stage.run(options, Workspace(work))
            assert result.outcomes["failed"] == 0

        return run

    return prepare


def dcm2niix(scans: Path, work: Path) -> Callable[[], None]:
    def run() -> None:
        command = ["dcm2niix", "-b", "n", "-z", "n", "-o", str(work), str(scans)]
        subprocess.run(command, capture_output=True, check=True)

    return run


READERS: dict[str, Callable[[Path, Path], Callable[[], None]]] = {
    "floor": floor,
    "monai": monai,
    "medsyn, 1 worker": medsyn(1),
    "medsyn, 2 workers": medsyn(2),
    "dcm2niix": dcm2niix,
    "memory": medsyn(2),
}


def files(scans: Path) -> list[Path]:
    return sorted(p for p in scans.rglob("*") if p.is_file())


# ---- files


@cache
def texture(side: int) -> np.ndarray:
    """A periodic field with the spectrum of an image, float64 ``[side, side]`` in [0, 1]."""
    f = np.hypot(*np.meshgrid(np.fft.fftfreq(side), np.fft.fftfreq(side)))
    f[0, 0] = np.inf
    field = np.fft.ifft2(np.fft.fft2(np.random.default_rng(0).normal(size=(side, side))) / f**1.2).real
    return (field - field.min()) / (field.max() - field.min())


def picture(side: int, seed: int) -> np.ndarray:
    """Two parts of the field, another pair for every seed; float64 in [0, 1.3]."""
    rng = np.random.default_rng(seed)
    one, other = (np.roll(texture(side), rng.integers(0, side, 2), (0, 1)) for _ in range(2))
    return one * rng.uniform(0.7, 1) + other.T * 0.3


def header(modality: str, sop_class: str, seed: int) -> Any:
    from pydicom.dataset import FileDataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian, generate_uid

    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid(entropy_srcs=["sop", modality, str(seed)])
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.Modality, ds.PatientID, ds.PhotometricInterpretation = modality, f"P{seed}", "MONOCHROME2"
    ds.StudyInstanceUID = generate_uid(entropy_srcs=["study", modality, str(seed)])
    ds.SeriesInstanceUID = generate_uid(entropy_srcs=["series", modality, str(seed)])
    ds.SamplesPerPixel, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 16, 12, 11
    return ds


def save(ds: Any, pixels: np.ndarray, path: Path) -> None:
    ds.Rows, ds.Columns = pixels.shape
    ds.PixelRepresentation = int(pixels.dtype.kind == "i")
    ds.add_new("PixelData", "OW", pixels.astype(f"<{pixels.dtype.kind}2").tobytes())
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)


def cr(folder: Path, n: int, side: int = 1024) -> None:
    for i in range(n):
        ds = header("CR", "1.2.840.10008.5.1.4.1.1.1", i)
        ds.WindowCenter, ds.WindowWidth = 2000, 3600
        save(ds, (picture(side, i) * 3000).astype(np.uint16), folder / f"{i // 1000:03d}" / f"{i:06d}")


def ct(folder: Path, n: int) -> None:
    from pydicom.uid import JPEG2000Lossless, generate_uid

    for i in range(n):
        ds = header("CT", "1.2.840.10008.5.1.4.1.1.2", i)
        ds.PatientID, ds.SeriesInstanceUID = f"P{i // 100}", generate_uid(entropy_srcs=["ct", str(i // 100)])
        ds.StudyInstanceUID = generate_uid(entropy_srcs=["ct study", str(i // 100)])
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, 2.0 * (i % 100)]
        ds.InstanceNumber, ds.PixelSpacing, ds.SliceThickness = i % 100 + 1, [0.7, 0.7], 2
        ds.RescaleSlope, ds.RescaleIntercept, ds.RescaleType = 1, -1024, "HU"
        save(ds, (picture(512, i) * 2000).astype(np.uint16), path := folder / f"{i:06d}")
        ds.compress(JPEG2000Lossless)
        ds.save_as(path, enforce_file_format=True)


def nifti(folder: Path, n: int) -> None:
    import nibabel

    folder.mkdir(parents=True, exist_ok=True)
    for i in range(n):
        values = np.stack([picture(96, 100 * i + k) for k in range(48)], axis=2)
        image = nibabel.Nifti1Image((values * 1000).astype(np.int16), np.diag([2, 2, 3, 1]))
        (folder / f"{i:04d}.nii.gz").write_bytes(gzip.compress(image.to_bytes(), 4))


def small(folder: Path, n: int) -> None:
    """Small films, beside those of an earlier call."""
    have = sum(p.is_file() for p in folder.rglob("*")) if folder.exists() else 0
    for i in range(have, n):
        ds = header("CR", "1.2.840.10008.5.1.4.1.1.1", i)
        save(ds, (picture(64, i) * 3000).astype(np.uint16), folder / f"{i // 1000:03d}" / f"{i:06d}")


MAKERS: dict[str, Callable[[Path, int], None]] = {"cr": cr, "ct": ct, "nifti": nifti}

if __name__ == "__main__":
    main()
