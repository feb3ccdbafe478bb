"""Grey values against an independent route: pydicom's own functions, then the stated rule."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pydicom
import pytest
from PIL import Image
from pydicom.dataset import Dataset as Header
from pydicom.pixels import apply_modality_lut, apply_voi_lut
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.ingest import stage
from medsyn.workspace import Workspace

from .conftest import dicom, picture

CLASSES = {"CR": ComputedRadiographyImageStorage, "DX": DigitalXRayImageStorageForPresentation}
PERCENTILES = (0.5, 99.5)  # of configs/xray.yaml


def voi_table(bits: int) -> list[Header]:
    item = Header()
    entries = 2**bits
    item.add_new("LUTDescriptor", "US", [entries, 0, 12])
    curve = np.round(4095 * (np.arange(entries) / (entries - 1)) ** 1.7).astype("<u2")
    item.add_new("LUTData", "OW", curve.tobytes())
    return [item]


def elements(bits: int, transform: str) -> dict[str, Any]:
    top = 2**bits
    return {
        "window": {"WindowCenter": top * 0.45, "WindowWidth": top * 0.5},
        "exact": {"WindowCenter": [top * 0.4, 1], "WindowWidth": [top * 0.3, 1], "VOILUTFunction": "LINEAR_EXACT"},
        "rescaled": {"RescaleSlope": 2, "RescaleIntercept": -100, "WindowCenter": top * 0.8, "WindowWidth": top},
        "sigmoid": {"WindowCenter": top * 0.45, "WindowWidth": top * 0.5, "VOILUTFunction": "SIGMOID"},
        "lut": {"VOILUTSequence": voi_table(bits), "WindowCenter": 3, "WindowWidth": 5},
        "neither": {},
    }[transform]


def expected(path: Path) -> np.ndarray:
    """Shown grey values in [0, 1] at full resolution, by pydicom alone."""
    ds = pydicom.dcmread(path)
    values = apply_modality_lut(ds.pixel_array, ds)
    if "VOILUTSequence" in ds:
        shown = apply_voi_lut(values, ds) / 4095
    elif "WindowCenter" in ds:
        top = 2**ds.BitsStored - 1
        slope, intercept = float(ds.get("RescaleSlope", 1)), float(ds.get("RescaleIntercept", 0))
        shown = (apply_voi_lut(values, ds) - intercept) / (top * slope)
    else:
        low, high = np.percentile(values, PERCENTILES)
        shown = np.clip((values - low) / (high - low), 0, 1)
    return 1 - shown if ds.PhotometricInterpretation == "MONOCHROME1" else shown


def ingested(paths: list[Path], workspace: Workspace, size: int) -> dict[str, np.ndarray]:
    """File name -> image in [0, 1], as `Dataset` shows it."""
    result = stage.run(IngestOptions(paths=[str(p) for p in paths], size=size, workers=1), workspace)
    data = Dataset.open(result.path)
    ledger = pd.read_csv(result.ledger)
    names = {row.source_digest: sorted(map(str, paths))[row.input - 1] for row in ledger.itertuples()}
    rows = data.rows(labelled=False)
    images = data.images(rows)[:, 0]
    return {names[data.table.loc[row, "source_digest"]]: image for row, image in zip(rows, images, strict=True)}


def all_kinds(folder: Path, side: int = 64) -> list[Path]:
    paths = []
    for bits in (8, 12):
        for modality in CLASSES:
            for photometric in ("MONOCHROME1", "MONOCHROME2"):
                for transform in ("window", "exact", "rescaled", "sigmoid", "lut", "neither"):
                    path = folder / f"{bits}-{modality}-{photometric}-{transform}.dcm"
                    extra = elements(bits, transform)
                    paths.append(
                        dicom(
                            path,
                            picture(len(paths), side, bits),
                            bits=bits,
                            patient=path.name,
                            Modality=modality,
                            SOPClassUID=CLASSES[modality],
                            PhotometricInterpretation=photometric,
                            **extra,
                        )
                    )
    return paths


def test_every_kind_equals_pydicom_at_native_size(tmp_path: Path, workspace: Workspace) -> None:
    paths = all_kinds(tmp_path / "films")
    found = ingested(paths, workspace, 64)
    assert len(found) == len(paths) == 48
    worst = {p.name: float(np.abs(found[str(p)] - expected(p)).max()) for p in paths}
    assert max(worst.values()) < 1 / 255, worst


def test_resized_equals_an_area_average(tmp_path: Path, workspace: Workspace) -> None:
    """Windows are clipped after resizing here and before it there, so smooth pictures and a mean tolerance."""
    paths = all_kinds(tmp_path / "films", side=128)
    found = ingested(paths, workspace, 32)
    for path in paths:
        blocks = expected(path).reshape(32, 4, 32, 4).mean((1, 3))
        assert np.abs(found[str(path)] - blocks).mean() < 0.02, path.name


@pytest.mark.real
def test_real_films_wrapped_as_dicom(real_data: Path, tmp_path: Path, workspace: Workspace) -> None:
    films = sorted((real_data / "xray" / "images").iterdir())[::125]
    paths = []
    for i, film in enumerate(films):
        square = np.asarray(Image.open(film).convert("L"))[:256, :256]
        for bits, transform in ((8, "neither"), (12, "lut"), (12, "window")):
            pixels = square.astype(np.uint16) << (bits - 8)
            photometric = f"MONOCHROME{1 + i % 2}"
            path = tmp_path / "films" / f"{i}-{transform}"
            extra = elements(bits, transform)
            paths.append(dicom(path, pixels, bits=bits, patient=str(i), PhotometricInterpretation=photometric, **extra))
    found = ingested(paths, workspace, 256)
    # The same film in three wrappings is one picture or several, depending on its table: what was kept must be exact.
    assert len(found) >= len(films)
    for name, image in found.items():
        assert np.abs(image - expected(Path(name))).max() < 1 / 255, Path(name).name


def test_ct_is_stored_in_hounsfield_and_windowed_on_read(tmp_path: Path, workspace: Workspace) -> None:
    stored = picture(5, 64, 12)
    path = dicom(
        tmp_path / "ct",
        stored,
        Modality="CT",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        RescaleSlope=1,
        RescaleIntercept=-1024,
        WindowCenter=3,  # of the file: not used
        WindowWidth=7,
        PixelSpacing=[0.5, 0.5],
        ImagePositionPatient=[0, 0, 12.5],
        ImageOrientationPatient=[1, 0, 0, 0, 1, 0],
    )
    result = stage.run(IngestOptions(paths=[str(path)], size=64), workspace)
    data = Dataset.open(result.path)
    hu = stored.astype(int) - 1024
    assert np.array_equal(data.stored(np.array([0]))[0, 0], hu)
    row = data.table.loc[0]
    assert (row.value_unit, row.display_source, row.spacing_row, row.slice_position) == ("HU", "preset", 0.5, 12.5)
    assert np.allclose(data.images(np.array([0]))[0, 0], np.clip((hu + 160) / 400, 0, 1), atol=1e-6)
    lung = np.clip((hu + 1350) / 1500, 0, 1)
    assert np.allclose(data.images(np.array([0]), window=(-600, 1500))[0, 0], lung, atol=1e-6)


def test_padding_is_left_out_of_percentiles(tmp_path: Path, workspace: Workspace) -> None:
    pixels = picture(1, 64, 12).astype(np.int16)
    pixels[:, :20] = -2000
    path = dicom(tmp_path / "film", pixels, bits=16, PixelPaddingValue=-2000)
    result = stage.run(IngestOptions(paths=[str(path)], size=64), workspace)
    low, high = np.percentile(pixels[pixels != -2000], PERCENTILES)
    row = Dataset.open(result.path).table.loc[0]
    assert row.display_low == pytest.approx(low)
    assert row.display_high == pytest.approx(high)


def test_proportions_spacing_and_fill(tmp_path: Path, workspace: Workspace) -> None:
    """64 x 64 pixels of 2 x 1 mm are twice as high as wide; the sides are filled with black, also when inverted."""
    options = {"ImagerPixelSpacing": [2, 1], "WindowCenter": 2000, "WindowWidth": 1000}
    path = dicom(tmp_path / "film", picture(3) // 2 + 900, PhotometricInterpretation="MONOCHROME1", **options)
    result = stage.run(IngestOptions(paths=[str(path)], size=32), workspace)
    data = Dataset.open(result.path)
    row, image = data.table.loc[0], data.images(np.array([0]))[0, 0]
    assert (row.spacing_row, row.spacing_col) == (4.0, 4.0)
    assert image[:, :8].max() < 1e-4
    assert image[:, 24:].max() < 1e-4
    assert image[:, 8:24].max() > 0.5


def test_enhanced_frames_use_their_own_functional_groups(tmp_path: Path, workspace: Workspace) -> None:
    frames = np.stack([picture(1), picture(2)])
    groups = []
    for slope, z in ((1, 30.0), (3, 10.0)):
        value, plane, item = Header(), Header(), Header()
        value.RescaleSlope, value.RescaleIntercept, value.RescaleType = slope, 5, "US"
        plane.ImagePositionPatient = [0, 0, z]
        item.PixelValueTransformationSequence, item.PlanePositionSequence = [value], [plane]
        groups.append(item)
    shared, orientation, measures = Header(), Header(), Header()
    orientation.ImageOrientationPatient, measures.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.7, 0.7]
    shared.PlaneOrientationSequence, shared.PixelMeasuresSequence = [orientation], [measures]
    dicom(
        tmp_path / "mr" / "enhanced",
        frames,
        Modality="MR",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1",
        PerFrameFunctionalGroupsSequence=groups,
        SharedFunctionalGroupsSequence=[shared],
    )
    result = stage.run(IngestOptions(paths=[str(tmp_path / "mr")], size=64), workspace)
    data = Dataset.open(result.path)
    assert list(data.table["slice_position"]) == [30.0, 10.0]
    assert data.table["volume"].nunique() == 1
    assert list(data.table["spacing_row"]) == [0.7, 0.7]
    values = data.stored(np.array([0, 1]))[:, 0] * data.table["slope"].to_numpy()[:, None, None]
    values += data.table["intercept"].to_numpy()[:, None, None]
    assert np.allclose(values[0], frames[0] + 5.0, atol=0.1)
    assert np.allclose(values[1], frames[1] * 3.0 + 5, atol=0.2)
    low, high = np.percentile([frames[0] + 5.0, frames[1] * 3.0 + 5], (1, 99.5))
    assert np.allclose(data.table[["display_low", "display_high"]], [low, high], rtol=1e-5)
