"""Volumes: every type, every orientation, every way to say where the patient is, against nibabel's own reading."""

from __future__ import annotations

import gzip
import itertools
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from medsyn.config import load_preset
from medsyn.data.digest import digest
from medsyn.ingest import nifti, reading, scan
from medsyn.ingest.block import unpack
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused


def recipe(modality: str = "mri", **changes: Any) -> Recipe:
    preset = load_preset(modality)
    return Recipe(b"key", preset, 64, preset.storage == "hounsfield", **changes)


def planes(path: Path, modality: str = "mri", **changes: Any) -> tuple[Facts, list[Plane]]:
    facts, slices = nifti.read(Probe(1, str(path), kind="nifti"), recipe(modality, **changes))
    return facts, list(slices)


def grey(shape: tuple[int, ...] = (9, 8, 7), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 100, shape)


def save(values: np.ndarray, path: Path, affine: np.ndarray | None = None, kind: type = nibabel.Nifti1Image) -> Path:
    nibabel.save(kind(values, np.diag([2.0, 3.0, 4.0, 1.0]) if affine is None else affine), path)
    return path


def seen(path: Path) -> np.ndarray:
    """Axial slices ``[n, H, W]`` as radiologists look at them, by nibabel alone."""
    image = nibabel.as_closest_canonical(nibabel.load(path))
    values = image.get_fdata()
    values = values.reshape(*values.shape[:3], -1)[..., 0]
    return np.flip(values, (0, 1)).transpose(2, 1, 0)


@pytest.mark.parametrize("kind", [nibabel.Nifti1Image, nibabel.Nifti2Image, nibabel.Nifti1Pair, nibabel.Nifti2Pair])
@pytest.mark.parametrize("packed", ["", ".gz"])
def test_both_versions_whole_or_in_two_files(tmp_path: Path, kind: type, packed: str) -> None:
    pair = "Pair" in kind.__name__
    path = save(grey().astype(np.int16), tmp_path / f"v{'.img' if pair else '.nii'}{packed}", kind=kind)
    path = tmp_path / f"v.hdr{packed}" if pair else path
    _, got = planes(path)
    assert np.array_equal(np.stack([p.values for p in got]), seen(path))
    probes = scan.probe_chunk(list(scan.find([str(tmp_path)])), LookFor(b"key"))
    told = {Path(p.path).name.split(".")[1]: p.refused.reason if p.refused else None for p in probes}
    assert told == ({"hdr": None, "img": "nifti_pair"} if pair else {"nii": None})


def test_both_files_of_a_pair_make_its_digest(tmp_path: Path) -> None:
    digests = set()
    for seed in (0, 1):
        save(grey(seed=seed).astype(np.int16), tmp_path / f"{seed}.img", kind=nibabel.Nifti1Pair)
        digests.add(planes(tmp_path / f"{seed}.hdr")[0].digest)
    assert (tmp_path / "0.hdr").read_bytes() == (tmp_path / "1.hdr").read_bytes()
    assert len(digests) == 2
    (tmp_path / "0.img").unlink()
    with pytest.raises(Refused, match="nifti_pair"):
        planes(tmp_path / "0.hdr")


@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", ">i2", ">f4"])
@pytest.mark.parametrize("scaled", [False, True])
def test_every_type(tmp_path: Path, dtype: str, scaled: bool) -> None:
    header = nibabel.Nifti1Header(endianness=">" if dtype.startswith(">") else "<")
    header.set_data_dtype(dtype)
    image = nibabel.Nifti1Image(grey().astype(dtype), np.eye(4), header, dtype=dtype)
    if scaled:
        image.header.set_slope_inter(0.25, -7)
    nibabel.save(image, tmp_path / "v.nii")
    header = nibabel.load(tmp_path / "v.nii").header
    assert header.get_data_dtype() == np.dtype(dtype)
    _, got = planes(tmp_path / "v.nii")
    assert np.abs(np.stack([p.values for p in got]) - seen(tmp_path / "v.nii")).max() < 1e-4
    assert np.ptp(got[0].values) > 5


def test_a_slope_of_nought_is_no_slope(tmp_path: Path) -> None:
    path = save(grey().astype(np.int16), tmp_path / "v.nii")
    raw = bytearray(path.read_bytes())
    raw[112:120] = np.array([0, 50], "<f4").tobytes()  # scl_slope, scl_inter
    path.write_bytes(raw)
    assert np.array_equal(np.stack([p.values for p in planes(path)[1]]), np.flip(grey(), (0, 1)).transpose(2, 1, 0))


def test_data_at_nought_of_a_single_file_come_after_the_header(tmp_path: Path) -> None:
    path = save(grey().astype(np.int16), tmp_path / "v.nii")
    expected = seen(path)
    raw = bytearray(path.read_bytes())
    raw[108:112] = np.float32(0).tobytes()  # vox_offset
    path.write_bytes(raw)
    assert np.array_equal(np.stack([p.values for p in planes(path)[1]]), expected)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_every_orientation(tmp_path: Path, order: tuple[int, ...]) -> None:
    for signs in itertools.product((1, -1), repeat=3):
        ornt = np.array(list(zip(order, signs, strict=True)))
        values = nibabel.apply_orientation(grey(), ornt).astype(np.int16)
        affine = np.diag([2.0, 3.0, 4.0, 1.0]) @ nibabel.orientations.inv_ornt_aff(ornt, (9, 8, 7))
        facts, got = planes(save(values, tmp_path / "v.nii.gz", affine))
        assert np.array_equal(np.stack([p.values for p in got]), np.flip(grey(), (0, 1)).transpose(2, 1, 0))
        assert got[0].spacing == pytest.approx((3, 2))
        assert got[0].orientation == pytest.approx([1, 0, 0, 0, 1, 0])
        assert [p.slice_position for p in got] == pytest.approx([4 * n for n in range(7)])
        assert facts.note == ""


def test_oblique_slices_keep_their_directions(tmp_path: Path) -> None:
    angle = np.deg2rad(20)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    affine = np.eye(4)
    affine[:3, :3] = turn @ np.diag([2.0, 3.0, 4.0])
    affine[:3, 3] = 5, -6, 7
    path = save(grey().astype(np.int16), tmp_path / "v.nii", affine)
    _, got = planes(path)
    assert np.array_equal(np.stack([p.values for p in got]), seen(path))
    # Columns run to the left; rows to the back and, turned by 20 degrees, to the feet. LPS.
    assert got[0].orientation == pytest.approx([1, 0, 0, 0, np.cos(angle), -np.sin(angle)], abs=1e-6)
    assert np.diff([p.slice_position for p in got]) == pytest.approx(4)
    # Of the plane's first pixel, which is voxel (8, 7, 0): its place along the normal.
    corner = (affine @ [8, 7, 0, 1])[:3] * [-1, -1, 1]
    assert got[0].slice_position == pytest.approx(np.dot([0, np.sin(angle), np.cos(angle)], corner), abs=1e-5)


def placed(path: Path, sform: np.ndarray | None, qform: np.ndarray | None) -> Path:
    image = nibabel.Nifti1Image(grey().astype(np.int16), None)
    image.header.set_zooms((2, 3, 4))
    image.header.set_qform(qform, code=0 if qform is None else 1)
    image.header.set_sform(sform, code=0 if sform is None else 2)
    path.write_bytes(image.header.binaryblock + bytes(4) + grey().astype(np.int16).tobytes("F"))
    return path


RAS, LAS, LPS = (np.diag([x * 2.0, y * 3.0, 4.0, 1.0]) for x, y in ((1, 1), (-1, 1), (-1, -1)))


@pytest.mark.parametrize(
    ("sform", "qform", "counts", "guess"),
    [
        (LPS, RAS, LPS, False),
        (None, LPS, LPS, False),
        (RAS, None, RAS, False),
        (np.zeros((4, 4)), LPS, LPS, False),
        (np.diag([2.0, 3.0, 0.0, 1.0]), RAS, RAS, False),
        (np.full((4, 4), np.nan), None, LAS, True),
        (None, None, LAS, True),  # as SPM and nibabel have it: Analyze files were stored from right to left
    ],
)
def test_sform_goes_before_qform(
    tmp_path: Path, sform: np.ndarray | None, qform: np.ndarray | None, counts: np.ndarray, guess: bool
) -> None:
    facts, got = planes(placed(tmp_path / "v.nii", sform, qform))
    x, y = (slice(None, None, -1 if counts[axis, axis] > 0 else 1) for axis in (0, 1))
    assert np.array_equal(np.stack([p.values for p in got]), grey()[x, y].transpose(2, 1, 0))
    assert ("left and right are a guess" in facts.note) == guess
    assert got[0].spacing == pytest.approx((3, 2))


@pytest.mark.parametrize("shape", [(9, 8, 7, 5), (9, 8, 7, 1, 3), (9, 8, 7, 1)])
def test_of_a_series_the_first_volume(tmp_path: Path, shape: tuple[int, ...]) -> None:
    path = save(grey(shape).astype(np.int16), tmp_path / "v.nii.gz")
    facts, got = planes(path)
    assert np.array_equal(np.stack([p.values for p in got]), seen(path))
    count = int(np.prod(shape[3:]))
    assert facts.note == (f"first of {count} volumes" if count > 1 else "")


def test_a_long_series_is_not_read_whole(tmp_path: Path) -> None:
    series = np.broadcast_to(grey((32, 32, 32)).astype(np.int16)[..., None], (32, 32, 32, 200))
    path = save(series, tmp_path / "v.nii.gz")
    tracemalloc.start()
    facts, _ = planes(path, slices="middle")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert facts.note == "first of 200 volumes"
    assert peak < series.size * 2 / 2  # 13 MB a series, 64 KiB a volume, and megabytes of blocks


def test_colour(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (9, 8, 7, 3), dtype=np.uint8)
    stored = rgb.view([("R", "u1"), ("G", "u1"), ("B", "u1")])[..., 0]
    path = save(np.asfortranarray(stored), tmp_path / "v.nii.gz")
    assert int(nibabel.load(path).header["datatype"]) == 128
    expected = np.flip(rgb, (0, 1)).transpose(2, 1, 0, 3)
    kept = planes(path, colour=True)[1]
    assert np.array_equal(np.stack([p.values for p in kept]), expected)
    lum = planes(path)[1]
    assert np.abs(np.stack([p.values for p in lum]) - expected @ [0.299, 0.587, 0.114]).max() < 1e-4
    assert {(p.display.low, p.display.high) for p in lum if p.display} == {(0, 255)}
    with pytest.raises(Refused, match="no_hounsfield"):
        planes(path, "ct")


def test_what_is_not_a_number_is_background(tmp_path: Path) -> None:
    values = grey((16, 16, 4)).astype(np.float64) + 0.5
    values[:4], values[..., 3] = np.nan, np.nan
    facts, got = planes(save(values, tmp_path / "v.nii"))
    assert "not a number" in facts.note
    shown = np.flip(values, (0, 1)).transpose(2, 1, 0)
    for plane, expected in zip(got, shown, strict=True):
        assert plane.valid is not None
        assert np.array_equal(plane.valid, ~np.isnan(expected))
        assert np.array_equal(plane.values[plane.valid], expected[plane.valid].astype(np.float32))
        assert np.isfinite(plane.values).all()
    low, high = np.nanpercentile(values, (1, 99.5))
    assert got[0].display is not None
    assert (got[0].display.low, got[0].display.high) == pytest.approx((low, high), rel=1e-6)
    with pytest.raises(Refused, match="not_finite"):
        planes(save(np.full((4, 4, 4), np.nan), tmp_path / "none.nii"))


@pytest.mark.parametrize(("rule", "numbers"), [("all", range(7)), ("middle", [3]), ("every=3", [0, 3, 6])])
def test_some_of_the_slices(tmp_path: Path, rule: str, numbers: Any) -> None:
    path = save(grey().astype(np.int16), tmp_path / "v.nii")
    _, everything = planes(path)
    _, some = planes(path, slices=rule)
    assert [p.slice_index for p in some] == [p.frame for p in some] == list(numbers)
    for plane in some:
        same = everything[plane.frame]
        assert np.array_equal(plane.values, same.values)
        assert (plane.display, plane.slice_position) == (same.display, same.slice_position)


def test_empty_slices_at_the_ends_are_constant(tmp_path: Path) -> None:
    values = np.zeros((16, 16, 6), np.float32)
    values[..., 2:4] = np.random.default_rng(0).random((16, 16, 2)) * 100
    values[..., 0] = np.random.default_rng(1).random((16, 16)) * 0.1  # noise of the air
    _, got = planes(save(values, tmp_path / "v.nii"))
    assert [np.ptp(p.values) > 0 for p in got] == [False, False, True, True, False, False]


def with_header(path: Path, place: int, value: np.generic) -> Path:
    raw = bytearray(path.read_bytes())
    raw[place : place + value.nbytes] = value.tobytes()
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (42, np.array([30000, 30000, 30000], "<i2"), "too_large"),
        (42, np.array([600, 600, 600], "<i2"), "truncated"),
        (42, np.array([0], "<i2"), "zero_size"),
        (42, np.array([-5], "<i2"), "zero_size"),
        (108, np.array([1e30], "<f4"), "too_large"),
        (68, np.array([1007], "<i2"), "not_grey_values"),
        (68, np.array([1002], "<i2"), "mask"),
    ],
)
def test_headers_that_lie(tmp_path: Path, place: int, value: Any, reason: str) -> None:
    path = with_header(save(grey().astype(np.int16), tmp_path / "v.nii"), place, value)
    tracemalloc.start()
    with pytest.raises(Refused, match=reason):
        planes(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # numpy counts what it reserves; pages that nobody writes to take no memory.
    assert peak < (2**29 + 2**25 if reason == "truncated" else 2**25)


def test_a_bomb_is_not_unpacked(tmp_path: Path) -> None:
    head = save(grey((16, 16, 16)).astype(np.int16), tmp_path / "v.nii").read_bytes()
    raw = bytearray(head)
    raw[108:112] = np.float32(2**27).tobytes()  # data behind 128 MiB of nothing
    path = tmp_path / "bomb.nii.gz"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(raw)
        for _ in range(32):
            file.write(bytes(2**20))
    with pytest.raises(Refused, match="too_large"):
        planes(path)
    raw[108:112], raw[42:48] = np.float32(352).tobytes(), np.array([200, 200, 200], "<i2").tobytes()
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(raw)
    with pytest.raises(Refused, match="too_large"):
        planes(path, max_pixels=2**20)


def test_complex_values_are_no_grey_values(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="not_grey_values"):
        planes(save(grey().astype(np.complex64), tmp_path / "v.nii"))


@pytest.mark.parametrize(("name", "taken"), [("scan", True), ("scan_seg", False), ("aparc+aseg", False)])
def test_many_classes_are_told_by_name(tmp_path: Path, name: str, taken: bool) -> None:
    path = save(grey().astype(np.int16), tmp_path / f"{name}.nii.gz")
    if taken:
        assert len(planes(path)[1]) == 7
    else:
        with pytest.raises(Refused, match="mask"):
            planes(path)


def test_hounsfield_units_are_doubted_where_nothing_is_below_water(tmp_path: Path) -> None:
    assert "Hounsfield" in planes(save(grey().astype(np.int16), tmp_path / "v.nii"), "ct")[0].note
    assert planes(save((grey() - 50).astype(np.int16), tmp_path / "w.nii"), "ct")[0].note == ""


@pytest.mark.parametrize("dtype", ["i2", "f4"])
def test_slices_of_a_volume_are_what_each_is_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dtype: str) -> None:
    values = np.random.default_rng(0).normal(500, 200, (90, 75, 20)).astype(dtype)
    values[..., 3] = 7  # empty: left out between others
    if dtype == "f4":
        values[:20, :, 5] = np.nan
        values[4, 4, 6] = np.inf
    group = reading.Group([Probe(1, str(save(values, tmp_path / "v.nii")), kind="nifti")], "")
    together = reading.read_task([group], recipe())[0]
    monkeypatch.setattr(reading, "BATCH", 1)
    alone = reading.read_task([group], recipe())[0]
    assert together.rows == alone.rows
    assert {row.reason for row in alone.rows} == {"", "constant"} | ({"not_finite"} if dtype == "f4" else set())
    assert len(together.blocks) < len(alone.blocks) == sum(row.outcome == "ingested" for row in alone.rows)
    for what in ("pixels", "thumbnails"):
        joined = (b"".join(getattr(block, what) for block in result.blocks) for result in (together, alone))
        assert next(joined) == next(joined)
    columns = [[unpack(block.columns, block.images) for block in result.blocks] for result in (together, alone)]
    for name in columns[0][0]:
        one, other = ([repr(v) for block in blocks for v in block[name]] for blocks in columns)
        assert one == other, name
    stored = np.frombuffer(b"".join(block.pixels for block in together.blocks), np.uint16).reshape(-1, 1, 64, 64)
    assert [d for block in columns[0] for d in block["pixel_digest"]] == [digest(image) for image in stored]
