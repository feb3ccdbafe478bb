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
from pydicom.pixels import apply_color_lut, apply_modality_lut, apply_voi_lut
from pydicom.uid import ComputedRadiographyImageStorage, DigitalXRayImageStorageForPresentation

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.ingest import stage
from medsyn.ingest.intensity import percentiles_of, quantise, tally
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


def one(path: Path, workspace: Workspace, size: int = 64, modality: str = "xray") -> Dataset:
    options = IngestOptions.model_validate({"paths": [str(path)], "size": size, "modality": modality, "workers": 1})
    return Dataset.open(stage.run(options, workspace).path)


def shown(data: Dataset) -> np.ndarray:
    return data.images(np.array([0]))[0, 0]


def by_percentiles(values: np.ndarray) -> np.ndarray:
    low, high = np.percentile(values, PERCENTILES)
    return np.clip((values - low) / (high - low), 0, 1)


def test_modality_lut_sequence(tmp_path: Path, workspace: Workspace) -> None:
    (item,) = voi_table(12)
    item.LUTDescriptor, item.ModalityLUTType = [4096, 0, 16], "OD"  # pydicom knows tables of 8 and 16 bits
    path = dicom(tmp_path / "film", picture(4), ModalityLUTSequence=[item])
    values = apply_modality_lut(pydicom.dcmread(path).pixel_array, pydicom.dcmread(path))
    assert len(np.unique(values)) > 100
    assert np.abs(shown(one(path, workspace)) - by_percentiles(values)).max() < 1e-4


def test_palette_colour(tmp_path: Path, workspace: Workspace) -> None:
    rng = np.random.default_rng(0)
    tables = {}
    for colour in ("Red", "Green", "Blue"):
        tables[f"{colour}PaletteColorLookupTableDescriptor"] = [256, 0, 16]
        tables[f"{colour}PaletteColorLookupTableData"] = rng.integers(0, 2**16, 256).astype("<u2").tobytes()
    path = dicom(
        tmp_path / "us",
        picture(5, 64, 8),
        bits=8,
        Modality="US",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.6.1",
        PhotometricInterpretation="PALETTE COLOR",
        **tables,
    )
    ds = pydicom.dcmread(path)
    rgb = apply_color_lut(ds.pixel_array, ds).astype(float)
    grey = rgb @ np.array([0.299, 0.587, 0.114])
    assert np.abs(shown(one(path, workspace, modality="ultrasound")) - by_percentiles(grey)).max() < 1e-4


def test_ybr_full(tmp_path: Path, workspace: Workspace) -> None:
    """The luminance of what YBR_FULL stands for is its Y (PS3.3 C.7.6.3.1.2), to the rounding of three channels."""
    rng = np.random.default_rng(0)
    luma = 60 + picture(6, 64, 8) // 2
    chroma = rng.integers(118, 138, (64, 64, 2))
    pixels = np.concatenate([luma[..., None], chroma], -1).astype(np.uint8)
    header = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "YBR_FULL"}
    header |= {"Modality": "US", "SOPClassUID": "1.2.840.10008.5.1.4.1.1.6.1", "PixelData": pixels.tobytes()}
    path = dicom(tmp_path / "us", pixels[..., 0], bits=8, **header)
    rgb = pydicom.pixels.convert_color_space(pixels, "YBR_FULL", "RGB").astype(float)
    image = shown(one(path, workspace, modality="ultrasound"))
    assert np.abs(image - by_percentiles(rgb @ np.array([0.299, 0.587, 0.114]))).max() < 1e-4
    low, high = np.percentile(luma, PERCENTILES)
    assert np.abs(image - by_percentiles(luma)).max() < 1.5 / (high - low)


def test_pixel_aspect_ratio(tmp_path: Path, workspace: Workspace) -> None:
    """Rows of one value each: squeezing them to half their width changes nothing."""
    pixels = np.repeat(np.random.default_rng(0).integers(0, 4096, (64, 1), dtype=np.uint16), 64, axis=1)
    data = one(dicom(tmp_path / "film", pixels, PixelAspectRatio=[2, 1]), workspace)
    image = shown(data)
    assert np.abs(image[:, 16:48] - by_percentiles(pixels)[:, :32]).max() < 1e-4
    assert image[:, :16].max() == image[:, 48:].max() == 0
    assert np.isnan(data.table.loc[0, "spacing_row"])


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("window", [{"WindowCenter": 2000, "WindowWidth": 2000}, {}])
@pytest.mark.parametrize("padding", [-32000, 32000])
def test_pixel_padding_is_black_and_takes_no_grey_values(
    tmp_path: Path, workspace: Workspace, photometric: str, window: dict[str, Any], padding: int
) -> None:
    pixels = picture(1, 128, 12).astype(np.int16)
    pixels[:, :40] = padding
    extra = {"PhotometricInterpretation": photometric, "PixelPaddingValue": padding, **window}
    data = one(dicom(tmp_path / "film", pixels, bits=16, **extra), workspace)
    image = shown(data)
    row = data.table.loc[0]
    assert image[:, :18].max() < 0.01
    assert row["slope"] * 65535 <= 4100
    # Nothing rings: beside the edge, values are those of the film.
    near = pixels[:, 44:].reshape(64, 2, 42, 2).mean((1, 3))
    expected = np.clip((near - row["display_low"]) / (row["display_high"] - row["display_low"]), 0, 1)
    expected = 1 - expected if photometric == "MONOCHROME1" else expected
    assert np.abs(image[:, 22:] - expected).mean() < 0.02


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
def test_the_fill_is_black_in_every_window(tmp_path: Path, workspace: Workspace, photometric: str) -> None:
    pixels = picture(3)[:, 16:48]
    film = one(
        dicom(tmp_path / "film", pixels, PhotometricInterpretation=photometric, WindowCenter=2000, WindowWidth=500),
        workspace,
    )
    ct = one(
        dicom(
            tmp_path / "ct",
            pixels,
            PhotometricInterpretation=photometric,
            Modality="CT",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
            RescaleSlope=1,
            RescaleIntercept=-1024,
        ),
        workspace,
        modality="ct",
    )
    lowest, highest = int(pixels.min()), int(pixels.max())
    for data, other in (
        (film, ((lowest + highest) / 2, highest - lowest)),
        (ct, (-600.0, 800.0)),
        (ct, (1500.0, 2000.0)),
    ):
        for window in (None, other):
            image = data.images(np.array([0]), window=window)[0, 0]
            if photometric == "MONOCHROME1" and data is ct and window == (1500.0, 2000.0):
                assert image[:, :16].max() <= image[:, 16:48].min() + 1e-4  # nothing in the film is darker
            else:
                assert image[:, :16].max() < 1e-4
                assert image[:, 48:].max() < 1e-4
    if photometric == "MONOCHROME2":
        assert ct.stored(np.array([0]))[0, 0, 0, 0] == -1024


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", ">i2"])
@pytest.mark.parametrize("size", [1, 2, 3, 10_007])
def test_percentiles_of_counts_are_those_of_the_values(dtype: str, size: int) -> None:
    rng = np.random.default_rng(size)
    for spread in (0, 1, 20, 500):
        ends = np.iinfo(dtype)
        stored = np.clip(rng.normal(10, spread, size), ends.min, ends.max).astype(dtype)
        values, counts = tally(stored)
        assert np.array_equal(np.repeat(values, counts), np.sort(stored))
        for percentiles in (PERCENTILES, (0, 100), (33.3, 50)):
            expected = np.percentile(stored.astype(np.float32) * np.float32(0.3), percentiles)
            assert percentiles_of(values.astype(np.float32) * np.float32(0.3), counts, percentiles) == list(expected)


def test_each_image_has_a_scale_of_its_own() -> None:
    images = (
        np.random.default_rng(0).normal(size=(4, 3, 8, 8)).astype(np.float32)
        * np.array([1, 10, 1e-3, 1e6], "f4")[:, None, None, None]
    )
    stored, slope, intercept = quantise(images)
    assert stored.dtype == np.uint16
    assert (stored.min(axis=(1, 2, 3)) == 0).all()
    assert (stored.max(axis=(1, 2, 3)) == 65535).all()
    for image, small, *scale in zip(images, stored, slope, intercept, strict=True):
        alone = quantise(image[None])
        assert np.array_equal(alone[0][0], small)
        assert [alone[1][0], alone[2][0]] == scale
        assert np.abs(small * scale[0] + scale[1] - image).max() <= 0.5001 * scale[0]
