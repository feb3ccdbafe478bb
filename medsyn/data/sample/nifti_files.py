"""Writes the simulated brains as NIfTI volumes with segmentations, and their labels in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from medsyn.data.sample.brain import Slab, paint
from medsyn.data.sample.head import Exam, Mass, rotation, sample_exam, sample_head, sample_masses
from medsyn.data.sample.relaxation import SEQUENCES, Contrast, signals

__all__ = ["BRAIN_LABELS", "write_brains"]

BRAIN_LABELS = ("normal", "lesion")
SLICES = 3
_SHARE_OF_LESIONS = 0.45
_FOLLOWED_UP = 0.25
_ORDERS = ("RAS", "LAS", "LPS", "RAS")
MASS, OEDEMA = 1, 2
"""Values of a segmentation."""


class _Volume(NamedTuple):
    """Stored values and segmentation (slices, rows, columns), their affine, and the order of axes in the file."""

    values: NDArray[np.int16]
    segmentation: NDArray[np.uint8]
    affine: NDArray[np.float64]
    order: str


def _generator(seed: int, *keys: int) -> np.random.Generator:
    """A stream that depends on the seed and the keys alone, so that no draw elsewhere can move it."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, 2, *keys])))


def grid(exam: Exam, size: int) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Where the voxels of a volume lie.

    Args:
        exam: How it is acquired.
        size: rows and columns.

    Returns:
        The affine from column, row and slice to the scanner in mm (RAS), and every voxel's place in the head frame,
        float32 (3, slices, rows, columns).
    """
    pixel = exam.field / size
    affine = np.eye(4)
    affine[:3, :3] = rotation(exam.oblique) * [pixel, pixel, exam.gap]
    affine[:3, 3] = -affine[:3, :3] @ [(size - 1) / 2, (size - 1) / 2, (SLICES - 1) / 2]
    place = np.indices((SLICES, size, size), np.float32)[::-1].reshape(3, -1)
    patient = affine[:3, :3] @ place + affine[:3, 3:]
    head = rotation(exam.tilt).T @ (patient - np.array([*exam.shift, 0.0])[:, None])
    head[2] += exam.level
    return affine, head.reshape(3, SLICES, size, size).astype(np.float32)


def _received(slab: Slab, exam: Exam, rng: np.random.Generator) -> NDArray[np.int16]:
    """What the scanner stores: blurred, weighted by the coil, with Rician noise (Gudbjartsson and Patz 1995)."""
    size = slab.signal.shape[-1]
    v, u = (np.mgrid[0:size, 0:size] - (size - 1) / 2) / (size / 2)
    x, y, xx, yy, xy = exam.bias
    coil = np.exp(x * u + y * v + xx * u**2 + yy * v**2 + xy * u * v)
    clean = gaussian_filter(slab.signal, (0, exam.blur, exam.blur)) * coil
    real, imaginary = rng.normal(0, exam.noise, (2, *clean.shape))
    magnitude = np.hypot(clean + real, imaginary)
    return np.clip(np.rint(magnitude * exam.gain), 0, 32767).astype(np.int16)


def _segmentation(slab: Slab) -> NDArray[np.uint8]:
    out = np.zeros(slab.signal.shape, np.uint8)
    out[slab.oedema > 0.5] = OEDEMA
    out[slab.mass > 0.5] = MASS
    return out


def _grown(mass: Mass, factor: float) -> Mass:
    x, y, z = mass.radii
    return replace(mass, radii=(x * factor, y * factor, z * factor))


def _exams(seed: int, index: int) -> list[Exam]:
    """One subject's examinations: a follow-up has the slices of the first, and nothing else of it."""
    first = sample_exam(_generator(seed, index, 1, 0))
    if _generator(seed, index, 2).random() >= _FOLLOWED_UP:
        return [first]
    second = sample_exam(_generator(seed, index, 1, 1))
    return [first, replace(second, level=first.level, gap=first.gap, tilt=first.tilt, oblique=first.oblique)]


def _subject(seed: int, index: int, size: int, contrast: Contrast) -> tuple[str, list[_Volume]]:
    """One subject's label and volumes."""
    head = sample_head(_generator(seed, index, 3))
    exams = _exams(seed, index)
    disease = _generator(seed, index, 4)
    label = BRAIN_LABELS[int(disease.random() < _SHARE_OF_LESIONS)]
    masses = sample_masses(disease, head, exams[0]) if label == "lesion" else ()
    growth = (1.0, float(disease.uniform(1.0, 1.25)))
    out = []
    for number, exam in enumerate(exams):
        draw = _generator(seed, index, 5, number)
        affine, points = grid(exam, size)
        values = signals(contrast)
        values["fat"] *= exam.fat
        slab = paint(head, [_grown(m, growth[number]) for m in masses], points, values, soft=exam.field / size / 2)
        order = str(draw.choice(_ORDERS))
        out.append(_Volume(_received(slab, exam, draw), _segmentation(slab), affine, order))
    return label, out


def _save(values: NDArray[np.generic], volume: _Volume, file: Path) -> None:
    """Write values or segmentation with the axes in the order that the volume asks for."""
    image = nibabel.Nifti1Image(np.transpose(values, (2, 1, 0)), volume.affine)
    wanted = nibabel.orientations.axcodes2ornt(volume.order)
    image = image.as_reoriented(nibabel.orientations.ornt_transform(nibabel.io_orientation(volume.affine), wanted))
    image.set_sform(image.affine, code="scanner")
    image.set_qform(image.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    nibabel.save(image, file)


def write_brains(
    folder: Path,
    *,
    subjects: int = 300,
    seed: int = 0,
    size: int = 128,
    contrast: Contrast = "flair",
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Simulate a labelled set of MR examinations of the brain and write it as NIfTI.

    Each subject has one or two volumes of three axial slices between basal ganglia and centrum semiovale (int16,
    gzip). Heads differ in size, shape, tilt, folding, age and its bright spots, scans in field of view, slice distance,
    obliqueness, order of axes, coil, gain and noise; none of this depends on the label. Every slice of a lesion
    volume meets a lesion. Subject i is the same whatever the number of subjects, and the same arguments give
    byte-identical files on one machine.

    Args:
        folder: where to write images/<name>.nii.gz, masks/<name>.nii.gz (uint8: 1 mass, 2 oedema) and labels.csv; made
            if missing.
        subjects: how many people to simulate, at least 1.
        seed: non-negative; a different seed gives other people.
        size: rows and columns of every slice, 32 to 512.
        contrast: flair, t1 or t2.
        progress: called after each subject with the number done and the total.

    Returns:
        Path of labels.csv, with columns file (path relative to folder, forward slashes), label (normal or lesion) and
        patient_id.

    Raises:
        ValueError: if subjects, seed, size or contrast is out of range.
        OSError: if the folder cannot be written.
    """
    if subjects < 1:
        raise ValueError(f"subjects must be at least 1, got {subjects}")
    if seed < 0:
        raise ValueError(f"seed must not be negative, got {seed}")
    if not 32 <= size <= 512:
        raise ValueError(f"size must be between 32 and 512 pixels, got {size}")
    if contrast not in SEQUENCES:
        raise ValueError(f"contrast must be one of {', '.join(SEQUENCES)}, got {contrast!r}")
    folder = Path(folder)
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)
    rows = []
    for index in range(subjects):
        label, volumes = _subject(seed, index, size, contrast)
        for number, volume in enumerate(volumes, 1):
            name = f"brain{index:05d}_{number}.nii.gz"
            _save(volume.values, volume, folder / "images" / name)
            _save(volume.segmentation, volume, folder / "masks" / name)
            rows.append((f"images/{name}", label, f"brain{index:05d}"))
        if progress is not None:
            progress(index + 1, subjects)
    table = folder / "labels.csv"
    with table.open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(("file", "label", "patient_id"))
        writer.writerows(rows)
    return table
