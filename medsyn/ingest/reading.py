"""One task of a worker: files in, stored images with their records out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from medsyn.data.resize import pad, shrink
from medsyn.data.schema import ImageRecord
from medsyn.ingest import dicom, isolation, medmnist, nifti, raster
from medsyn.ingest.deidentify import keyed
from medsyn.ingest.intensity import Display, Percentiles, darkest, quantise
from medsyn.ingest.source import NOT_A_FILES_FAULT, Facts, Plane, Probe, Recipe, Refused, quiet

Reader = Callable[[Probe, Recipe], tuple[Facts, Iterator[Plane]]]
READERS: dict[str, Reader] = {
    "dicom": dicom.read,
    "nifti": nifti.read,
    "raster": raster.read,
    "npz": medmnist.read,
}
CHUNK = 32

Task = list[list[Probe]]
"""Groups of files; the files of a group share one display range where none is stated."""


@dataclass
class Image:
    """One stored image: its description, pixels ``[C, H, W]`` and segmentation ``[H, W]`` uint8, or None."""

    record: ImageRecord
    pixels: np.ndarray
    mask: np.ndarray | None = None


@dataclass
class FileResult:
    """What became of one file."""

    number: int
    outcome: str = "ingested"
    reason: str = ""
    detail: str = ""
    facts: Facts | None = None
    images: list[Image] = field(default_factory=list)


def plan(probes: Sequence[Probe], by_series: bool) -> list[Task]:
    """Cut the files into tasks of about `CHUNK` files, a series (``by_series``) in one piece."""
    groups: dict[str, list[Probe]] = {}
    for p in probes:
        name = f"series {p.series}" if by_series and p.kind == "dicom" and p.series else f"file {p.number}"
        groups.setdefault(name, []).append(p)
    tasks: list[Task] = [[]]
    for group in groups.values():
        if sum(map(len, tasks[-1])) + len(group) > CHUNK and tasks[-1]:
            tasks.append([])
        tasks[-1].append(group)
    return [task for task in tasks if task]


def read_task(task: Task, recipe: Recipe) -> list[FileResult]:
    """Read all files of a task; a bad file ends in its own `FileResult` and nowhere else."""
    with quiet():
        return [result for group in task for result in _read_group(group, recipe)]


@dataclass
class _Small:
    """A plane after shrinking, waiting for the display range of its group."""

    plane: Plane  # without pixels
    values: np.ndarray
    height: int
    width: int


def _read_group(group: Sequence[Probe], recipe: Recipe) -> list[FileResult]:
    common = Percentiles()
    results, waiting = [], []
    for found in group:
        result = FileResult(found.number)
        smalls: list[_Small] = []
        own: list[np.ndarray] = []
        try:
            if found.refused:  # an earlier try killed its worker
                raise found.refused
            smalls, own = _read_file(found, recipe, result)
        except Refused as refused:
            result.outcome, result.reason, result.detail = refused.outcome, refused.reason, refused.detail
        except NOT_A_FILES_FAULT:
            raise
        except BaseException as error:  # hostile input may raise anything; its text may quote the header
            result.outcome, result.reason = "failed", _reason(error)
            result.detail = f"cannot be decoded ({type(error).__name__})"
        if result.outcome != "ingested":
            smalls, own = [], []
        for values in own:
            common.add(values)
        results.append(result)
        waiting.append(smalls)
    for result, smalls in zip(results, waiting, strict=True):
        if not smalls:
            continue
        needs_range = not recipe.hounsfield and any(s.plane.display is None for s in smalls)
        display = common.display(recipe.percentiles) if needs_range else None
        result.images = [_finish(s, display, result, recipe) for s in smalls]
    return results


def _read_file(found: Probe, recipe: Recipe, result: FileResult) -> tuple[list[_Small], list[np.ndarray]]:
    isolation.at(found.number)
    result.facts, planes = READERS[found.kind](found, recipe)
    smalls: list[_Small] = []
    unranged: list[np.ndarray] = []
    left_out = {"constant": 0, "not_finite": 0}
    for plane in planes:
        isolation.at(found.number)
        valid = plane.values if plane.valid is None else plane.values[plane.valid]
        if not np.isfinite(plane.values).all():
            left_out["not_finite"] += 1
            continue
        if plane.valid is not None and valid.size:
            # Before resizing, or padding rings into the image and takes most of the grey scale for itself.
            black = darkest(valid, _preset_window(recipe) or plane.display, plane.inverted, recipe.hounsfield)
            plane.values = np.where(plane.valid, plane.values, np.float32(black))
        small = shrink(plane.values, recipe.size, plane.pixel)
        if valid.size == 0 or valid.min() == valid.max() or small.min() == small.max():
            left_out["constant"] += 1
            continue
        if plane.display is None and not recipe.hounsfield:
            unranged.append(valid)
        height, width = plane.values.shape
        plane.values, plane.valid = small[:0], None
        smalls.append(_Small(plane, small, height, width))
    told = [f"{n} {reason.replace('_', ' ')} images left out" for reason, n in left_out.items() if n]
    if not smalls:
        reason = "not_finite" if left_out["not_finite"] else "constant"
        raise Refused(reason, "; ".join(told) or "no image in it", "failed" if reason == "not_finite" else "skipped")
    result.detail = "; ".join([*filter(None, [result.facts.note]), *told])
    return smalls, unranged


def _finish(small: _Small, common: Display | None, result: FileResult, recipe: Recipe) -> Image:
    plane, facts = small.plane, result.facts
    assert facts is not None
    display = _preset_window(recipe) or plane.display or common
    assert display is not None
    square = pad(small.values, recipe.size, darkest(small.values, display, plane.inverted, recipe.hounsfield))
    if recipe.hounsfield:
        stored, slope, intercept = np.clip(np.rint(square), -32768, 32767).astype(np.int16), 1.0, 0.0
    else:
        stored, slope, intercept = quantise(square)
    rows, columns = small.values.shape
    spacing = plane.spacing or (None, None)
    record = ImageRecord(
        source=result.number,
        image_key=keyed(recipe.key, "image", facts.digest, str(plane.frame)),
        subject=plane.subject or facts.subject,
        modality=facts.modality,
        source_digest=facts.digest,
        source_height=small.height,
        source_width=small.width,
        slope=slope,
        intercept=intercept,
        unit="HU" if recipe.hounsfield else "relative",
        display_low=display.low,
        display_high=display.high,
        display_source=display.source,
        inverted=plane.inverted,
        synthetic=facts.synthetic,
        label=plane.label,
        official_split=plane.official_split,
        series=facts.series,
        study=facts.study,
        volume=plane.volume or facts.volume,
        slice_index=plane.slice_index,
        slice_position=plane.slice_position,
        spacing_row=None if spacing[0] is None else spacing[0] * small.height / rows,
        spacing_col=None if spacing[1] is None else spacing[1] * small.width / columns,
        orientation=plane.orientation,
        view=facts.covariates.view,
        sex=facts.covariates.sex,
        age_band=facts.covariates.age_band,
        vendor=facts.covariates.vendor,
    )
    return Image(record, stored[None])


def _preset_window(recipe: Recipe) -> Display | None:
    """The display range of Hounsfield units: the preset's or the user's, whatever the file says."""
    if not recipe.hounsfield:
        return None
    centre, width = recipe.preset.window or (40.0, 400.0)
    return Display(centre - width / 2, centre + width / 2, recipe.window_source)


def _reason(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "too_large"
    if isinstance(error, NotImplementedError | RuntimeError):
        return "undecodable"
    return "corrupt"
