"""Whether medsyn shows the same grey values as highdicom and as DCMTK, on every DICOM file of a folder.

Reads `dicom` in the folder of real scans (CONTRIBUTING.md). Every file is read three times at full
resolution: by medsyn's reader; by highdicom (whose grey value pipeline is its own, and whose decoders are pydicom's);
and by DCMTK's dcmj2pnm and dcml2pnm (apt install dcmtk; everything its own, no JPEG 2000). What is compared is the
image as it is shown, 0 to 1: for CT the window of the preset on Hounsfield units, else the VOI LUT or window of the
file, else the percentiles of the preset: of pydicom's or highdicom's values, and handed to DCMTK as a window; where
highdicom does not read a file, medsyn's.
Writes benchmarks/results/dicom_agreement.json.
"""

from __future__ import annotations

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image
from pydicom.pixels import apply_modality_lut
from pydicom.uid import UID
from real_data import REAL_DATA

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from medsyn.config import MODALITIES, Preset, load_preset  # noqa: E402
from medsyn.ingest import dicom  # noqa: E402
from medsyn.ingest.source import LookFor, Plane, Probe, Recipe, Refused, quiet  # noqa: E402

Array = NDArray[np.float64]
LIMIT = 1 / 255
KEY = bytes(32)
EXPLAINED = {
    "pydicom/mlut_18.dcm": "highdicom takes the first value mapped by a Modality LUT, -2048, for 63488; DCMTK agrees",
    "ctimage/JPEGProcess1TransferSyntax_1.2.840.10008.1.2.4.50.dcm": "lossy JPEG: decoders differ by one stored value, "
    "which is 32 HU here",
    "ctimage/JPEGProcess2_4TransferSyntax_1.2.840.10008.1.2.4.51.dcm": "lossy JPEG: decoders differ by one "
    "stored value, which is 2 HU here",
    "wg04/NM1_JPLY.dcm": "lossy JPEG: decoders differ by one stored value of 168 shown",
    "pydicom/examples_ybr_color.dcm": "lossy JPEG: decoders interpolate the subsampled colours differently",
}
"""Files of this corpus that another route shows differently, and why."""
GREY = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601


@dataclass
class Row:
    """What became of one file."""

    file: str
    syntax: str
    medsyn: str = "read"
    frames: int = 0
    highdicom: float | str | None = None  # largest difference of a shown value, or why there is none
    dcmtk: float | str | None = None


@dataclass
class Shown:
    """Frames of one file as medsyn shows them."""

    frames: list[Array] = field(default_factory=list)
    valid: list[NDArray[np.bool_] | None] = field(default_factory=list)
    unstated: tuple[float, float] | None = None  # values shown black and white where the file states none


def preset_of(modality: str) -> Preset:
    """The preset a file belongs to; where its Modality says nothing, one that takes any picture."""
    presets = [load_preset(name) for name in MODALITIES]
    return next((p for p in presets if modality in p.dicom_modalities), load_preset("ultrasound"))


def by_medsyn(path: Path) -> tuple[Shown, Preset]:
    """Read one file as ``medsyn ingest`` does, up to resizing.

    Raises:
        Refused: As the reader says.
    """
    found = Probe(1, str(path), kind="dicom")
    with open(path, "rb") as file:
        if not dicom.looks_like(file.read(132)):
            raise Refused("not_an_image", "not DICOM")
    dicom.probe(found, LookFor(KEY))
    preset = preset_of(found.modality)
    hounsfield = preset.storage == "hounsfield"
    read: list[Plane] = list(dicom.read(found, Recipe(KEY, preset, 64, hounsfield))[1])
    values = np.concatenate([(p.values if p.valid is None else p.values[p.valid]).ravel() for p in read])
    shown = Shown()
    for plane in read:
        if hounsfield:
            centre, width = preset.window or (0, 0)
            low, high = centre - width / 2, centre + width / 2
        elif plane.display:
            low, high = plane.display.low, plane.display.high
        else:
            low, high = (float(v) for v in np.percentile(values, preset.percentiles or (0, 100)))
        shown.unstated = None if plane.display else (low, high)
        grey = np.clip((plane.values.astype(float) - low) / ((high - low) or 1), 0, 1)
        shown.frames.append(1 - grey if plane.inverted else grey)
        shown.valid.append(plane.valid)
    return shown, preset


def cropped(header: pydicom.Dataset, frame: Array) -> Array:
    """The tissue of an ultrasound picture."""
    height, width = frame.shape[:2]
    boxes = []
    for item in header.get("SequenceOfUltrasoundRegions", []):
        x0, y0, x1, y1 = (item[f"RegionLocation{k}"].value for k in ("MinX0", "MinY0", "MaxX1", "MaxY1"))
        if (item.RegionSpatialFormat, item.RegionDataType) == (1, 1) and x1 <= 1.02 * width and y1 <= 1.02 * height:
            boxes.append(((x1 - x0) * (y1 - y0), frame[y0 : y1 + 1, x0 : x1 + 1]))
    return max(boxes, key=lambda box: box[0])[1] if boxes else frame


def by_highdicom(path: Path, preset: Preset) -> tuple[list[Array], tuple[float, float] | None]:
    """Frames as highdicom shows them, and the percentiles that show those without a window."""
    image = highdicom.imread(path)
    count = int(image.get("NumberOfFrames") or 1)
    plain: dict[str, Any] = {"as_index": True, "apply_real_world_transform": False}
    header = pydicom.dcmread(path)
    if preset.storage == "hounsfield":
        hu = [image.get_frame(i, **plain, apply_presentation_lut=False) for i in range(count)]
        centre, width = preset.window or (0, 0)
        low = centre - width / 2
        inverted = image.PhotometricInterpretation == "MONOCHROME1"
        frames = [np.clip((f - low) / width, 0, 1) for f in hu]
        return [1 - f if inverted else f for f in frames], (low, low + width)
    if image.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2"):
        rgb = [cropped(header, image.get_frame(i, **plain, apply_icc_profile=False)) for i in range(count)]
        values = [f.astype(float) @ GREY for f in rgb]
    elif states_display(header):
        return [cropped(header, image.get_frame(i, **plain, apply_voi_transform=True)) for i in range(count)], None
    else:
        values = [cropped(header, image.get_frame(i, **plain, apply_presentation_lut=False)) for i in range(count)]
    low, high = percentiles(header, values, preset)
    frames = [np.clip((f - low) / ((high - low) or 1), 0, 1) for f in values]
    inverted = image.PhotometricInterpretation == "MONOCHROME1"
    return [1 - f if inverted else f for f in frames], (low, high)


def percentiles(header: pydicom.Dataset, values: list[Array], preset: Preset) -> tuple[float, float]:
    """Of all frames without padding; of grey values without functional groups, by pydicom's Modality LUT."""
    every = np.stack(values)
    special = ("SharedFunctionalGroupsSequence", "SequenceOfUltrasoundRegions")
    grey = header.PhotometricInterpretation in ("MONOCHROME1", "MONOCHROME2")
    if grey and not any(keyword in header for keyword in special):
        every = np.asarray(apply_modality_lut(header.pixel_array, header), float).reshape(every.shape)
    kept = every[every != header.PixelPaddingValue] if "PixelPaddingValue" in header else every
    low, high = np.percentile(kept, preset.percentiles or (0, 100))
    return float(low), float(high)


def states_display(header: pydicom.Dataset) -> bool:
    """Whether a file brings a VOI LUT or a window, at the top or in its functional groups."""
    groups = [header]
    for sequence in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        groups += [inner for item in header.get(sequence, [])[:1] for inner in item.get("FrameVOILUTSequence", [])]
    return any("WindowCenter" in g or "VOILUTSequence" in g for g in groups)


def by_dcmtk(path: Path, display: tuple[float, float] | None, folder: Path) -> Iterator[Array]:
    """Frames as DCMTK shows them, grey 0 to 1, or colours as they are stored.

    Raises:
        RuntimeError: It does not read the file.
    """
    header = pydicom.dcmread(path, stop_before_pixels=True)
    colour = header.PhotometricInterpretation not in ("MONOCHROME1", "MONOCHROME2")
    if colour:
        window = []
    elif display is not None:
        low, high = display
        window = ["+Wfl", "+Ww", repr((low + high) / 2 + 0.5), repr(high - low + 1)]  # PS3.3 C.11.2.1.2.1
    else:
        window = ["+Wl", "1"] if "VOILUTSequence" in header else ["+Wi", "1"]
    written = []
    for tool in ("dcmj2pnm", "dcml2pnm"):
        for old in folder.glob("frame*"):
            old.unlink()
        command = [tool, "-q", "-O", "+Fa", *window, "+on" if colour else "+on2", str(path), str(folder / "frame")]
        done = subprocess.run(command, capture_output=True, check=False, timeout=120)
        written = sorted(folder.glob("frame.*.png"), key=lambda p: int(p.name.split(".")[1]))
        if done.returncode == 0 and written:
            break
    else:
        raise RuntimeError("not read")
    for file in written:
        pixels = np.asarray(Image.open(file)).astype(float)
        yield pixels if colour else pixels / 65535


def difference(shown: Shown, other: list[Array]) -> float | str:
    """Largest difference outside of pixel padding."""
    if len(shown.frames) != len(other):
        return f"{len(other)} frames for {len(shown.frames)}"
    worst = 0.0
    for mine, theirs, valid in zip(shown.frames, other, shown.valid, strict=True):
        if mine.shape != theirs.shape:
            return f"shape {theirs.shape} for {mine.shape}"
        apart = np.abs(mine - theirs)
        worst = max(worst, float((apart if valid is None else apart[valid]).max(initial=0)))
    return worst


def compare(path: Path, name: str, folder: Path) -> Row:
    """Read one file on all routes."""
    try:
        meta = pydicom.dcmread(path, stop_before_pixels=True).file_meta
        row = Row(name, UID(meta.TransferSyntaxUID).name)
    except Exception:
        row = Row(name, "unknown")
    try:
        shown, preset = by_medsyn(path)
        row.frames = len(shown.frames)
    except Refused as refused:
        row.medsyn = f"{refused.outcome}: {refused.reason}"
        return row
    except Exception as error:
        row.medsyn = f"failed: cannot be decoded ({type(error).__name__})"
        return row
    display = shown.unstated  # handed to DCMTK only where highdicom does not read the file
    try:
        frames, display = by_highdicom(path, preset)
        row.highdicom = difference(shown, frames)
    except Exception as error:
        row.highdicom = f"not read ({type(error).__name__})"
    try:
        header = pydicom.dcmread(path)
        frames = [cropped(header, f) for f in by_dcmtk(path, display, folder)]
        if frames[0].ndim == 3:
            grey = np.stack([f @ GREY for f in frames])
            low, high = np.percentile(grey, preset.percentiles or (0, 100))
            frames = list(np.clip((grey - low) / ((high - low) or 1), 0, 1))
        row.dcmtk = difference(shown, frames)
    except Exception as error:
        row.dcmtk = f"not read ({type(error).__name__})"
    return row


def agreement(base: Path, only: str = "*") -> list[Row]:
    """Compare all files below a folder."""
    files = sorted(p for p in base.rglob(only) if p.is_file())
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), quiet():
        warnings.simplefilter("ignore")
        return [compare(path, path.relative_to(base).as_posix(), Path(folder)) for path in files]


def summary(rows: list[Row]) -> dict[str, Any]:
    """Counts a transfer syntax, and every file that a route does not read or shows differently."""
    syntaxes: dict[str, Counter[str]] = defaultdict(Counter)
    for row in rows:
        if row.syntax == "unknown" or row.medsyn.startswith("skipped"):
            continue
        counts = syntaxes[row.syntax]
        counts["files"] += 1
        counts["medsyn"] += row.medsyn == "read"
        for route in ("highdicom", "dcmtk"):
            value = getattr(row, route)
            counts[f"{route}_reads"] += isinstance(value, float)
            counts[f"{route}_agrees"] += isinstance(value, float) and value <= LIMIT
    result: dict[str, Any] = {
        "files": len(rows),
        "read": sum(r.medsyn == "read" for r in rows),
        "left_out": dict(sorted(Counter(r.medsyn for r in rows if r.medsyn != "read").items())),
    }
    for route in ("highdicom", "dcmtk"):
        found = {r.file: getattr(r, route) for r in rows if r.medsyn == "read"}
        apart = {name: v for name, v in found.items() if isinstance(v, float)}
        result[route] = {
            "files_that_both_read": len(apart),
            "within_1_of_255": sum(v <= LIMIT for v in apart.values()),
            "largest_difference_of_those": max((v for v in apart.values() if v <= LIMIT), default=None),
            "others": {
                name: {"largest_difference": v, "why": EXPLAINED.get(name)} for name, v in apart.items() if v > LIMIT
            },
            "not_read": {name: v for name, v in found.items() if not isinstance(v, float)},
        }
    result["failed"] = {r.file: r.medsyn for r in rows if r.medsyn.startswith("failed")}
    result["transfer_syntaxes"] = {name: dict(counts) for name, counts in sorted(syntaxes.items())}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=REAL_DATA / "dicom")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "results" / "dicom_agreement.json")
    options = parser.parse_args()
    result = summary(agreement(options.data))
    version = subprocess.run(["dcmj2pnm", "--version"], capture_output=True, text=True, check=True).stdout
    result["versions"] = {
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("pydicom", "highdicom", "pylibjpeg", "pillow")},
        "dcmtk": version.split()[2].removeprefix("v"),
    }
    options.out.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({route: result[route] for route in ("highdicom", "dcmtk")}, indent=2))


if __name__ == "__main__":
    main()
