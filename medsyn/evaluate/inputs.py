"""What an evaluation works on, found and checked before anything is computed."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from medsyn.config import EvaluateOptions, Preset, load_preset
from medsyn.data import SPLITS, Dataset
from medsyn.data.lookup import by_digest
from medsyn.errors import DataError, MissingError
from medsyn.progress import Progress
from medsyn.synthetic import SyntheticSet
from medsyn.workspace import DATASET, GENERATOR, SYNTHETIC, Workspace, read_json


@dataclass(frozen=True)
class Images:
    """Labelled images in memory.

    Attributes:
        pixels: float32 ``[n, C, H, W]`` in [0, 1].
        labels: Class indices, int64 ``[n]``.
        units: Subject of each image, str ``[n]``.
        rows: Number of each image in its dataset or set, int64 ``[n]``.
    """

    pixels: np.ndarray
    labels: np.ndarray
    units: np.ndarray
    rows: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Inputs:
    """Everything that an evaluation reads.

    Attributes:
        dataset: The dataset, all splits.
        synthetic_set: The synthetic set.
        preset: Of the modality.
        splits: split -> images.
        origin: split -> images of the dataset that the generator learnt from, in the same order of classes; ``splits``
            itself unless another dataset was asked for, None where it is not in the workspace.
        synthetic: The synthetic images; ``units`` are empty names.
        generator_subjects: Subjects the generator learnt from; None where no record was found.
    """

    dataset: Dataset
    synthetic_set: SyntheticSet
    preset: Preset
    splits: dict[str, Images]
    origin: dict[str, Images] | None
    synthetic: Images
    generator_subjects: frozenset[str] | None

    @cached_property
    def real_train(self) -> Images:
        """train and tune together: an arm without tune would be weaker than what the user can have."""
        return join(self.splits["train"], self.splits["tune"])

    @property
    def absent(self) -> list[str]:
        """Classes of which the synthetic set holds no image."""
        present = set(self.synthetic.labels.tolist())
        return [name for c, name in enumerate(self.dataset.classes) if c not in present]


def join(a: Images, b: Images) -> Images:
    return Images(*(np.concatenate([getattr(a, f), getattr(b, f)]) for f in ("pixels", "labels", "units", "rows")))


def take(images: Images, rows: np.ndarray) -> Images:
    return Images(images.pixels[rows], images.labels[rows], images.units[rows], images.rows[rows])


def resolve(options: EvaluateOptions, workspace: Workspace, progress: Progress) -> Inputs:
    """Find the synthetic set, its dataset and its generator, and refuse what cannot be compared honestly.

    Raises:
        MissingError: No synthetic set, or not the dataset its generator learnt from.
        DataError: Other classes or image shape, a split without some class, synthetic images in the dataset, or a
            generator that learnt from subjects of val or test.
    """
    synthetic_path = (
        workspace.find(SYNTHETIC, options.synthetic)
        if options.synthetic
        else workspace.latest(SYNTHETIC, options.modality)
    )
    synthetic_set = SyntheticSet.open(synthetic_path)
    dataset = Dataset.open(_dataset_path(options, workspace, synthetic_set))
    progress.say(f"synthetic set {synthetic_path.name}, dataset {dataset.path.name}")
    _check_compatible(dataset, synthetic_set)
    _check_real(dataset)
    splits = _read(dataset, dataset.classes)
    labels = synthetic_set.labels(dataset.classes)
    synthetic = Images(synthetic_set.images(), labels, np.full(len(labels), ""), np.arange(len(labels)))
    _check_content(dataset, synthetic_set, splits, synthetic)
    return Inputs(
        dataset=dataset,
        synthetic_set=synthetic_set,
        preset=load_preset(dataset.modality),
        splits=splits,
        origin=_origin(workspace, dataset, synthetic_set, splits),
        synthetic=synthetic,
        generator_subjects=_generator_subjects(workspace, dataset, synthetic_set),
    )


def _read(dataset: Dataset, classes: list[str]) -> dict[str, Images]:
    window = load_preset(dataset.modality).window
    splits: dict[str, Images] = {}
    place = np.array([classes.index(name) for name in dataset.classes], np.int64)
    for name in SPLITS:
        rows = dataset.rows(name)
        splits[name] = Images(
            dataset.images(rows, window) if len(rows) else np.empty((0, *dataset.image_shape), np.float32),
            place[dataset.labels(rows)],
            dataset.subjects(rows),
            rows,
        )
    return splits


def _dataset_path(options: EvaluateOptions, workspace: Workspace, synthetic_set: SyntheticSet) -> Path:
    if options.dataset:
        return workspace.find(DATASET, options.dataset)
    path = _learnt_from(workspace, synthetic_set)
    if path is not None:
        return path
    raise MissingError(
        "the dataset that its generator learnt from is not in this workspace",
        where=synthetic_set.path,
        mend="Name one with --dataset.",
    )


def _learnt_from(workspace: Workspace, synthetic_set: SyntheticSet) -> Path | None:
    digest = synthetic_set.card.get("dataset_digest")
    return by_digest(workspace, digest) if digest else None


def _origin(
    workspace: Workspace, dataset: Dataset, synthetic_set: SyntheticSet, splits: dict[str, Images]
) -> dict[str, Images] | None:
    if dataset.digest == synthetic_set.card.get("dataset_digest"):
        return splits
    path = _learnt_from(workspace, synthetic_set)
    if path is None:
        return None
    origin = Dataset.open(path)
    alike = sorted(origin.classes) == sorted(dataset.classes) and origin.image_shape == dataset.image_shape
    return _read(origin, dataset.classes) if alike else None


def _check_real(dataset: Dataset) -> None:
    made = dataset.table[dataset.table["synthetic"]]
    if len(made):
        raise DataError(
            f"holds {len(made)} images marked synthetic, in {', '.join(sorted(set(made['split'])))}: controls must be "
            "trained and tested on real ones",
            where=dataset.path,
            mend="Ingest the real scans alone; synthetic images come in with --synthetic.",
        )


def _check_compatible(dataset: Dataset, synthetic_set: SyntheticSet) -> None:
    card = synthetic_set.card
    if sorted(card.get("classes", [])) != sorted(dataset.classes):
        raise DataError(
            f"has classes {', '.join(card.get('classes', [])) or 'none'}, but dataset {dataset.path.name} has "
            f"{', '.join(dataset.classes)}",
            where=synthetic_set.path,
            mend="Compare with the dataset that the generator learnt from.",
        )
    if list(card.get("image_shape", [])) != list(dataset.image_shape):
        raise DataError(
            f"has images of shape {card.get('image_shape')}, but dataset {dataset.path.name} has "
            f"{list(dataset.image_shape)}",
            where=synthetic_set.path,
            mend="Ingest with the same --size, or compare with the dataset that the generator learnt from.",
        )


def _check_content(dataset: Dataset, synthetic_set: SyntheticSet, splits: dict[str, Images], synthetic: Images) -> None:
    if len(dataset.classes) < 2:
        raise DataError("has fewer than two classes", where=dataset.path, mend="There is nothing to classify.")
    for name in ("train", "val", "test"):
        absent = sorted(set(range(len(dataset.classes))) - set(splits[name].labels.tolist()))
        if absent:
            raise DataError(
                f"has no '{dataset.classes[absent[0]]}' in {name}",
                where=dataset.path,
                mend="Ingest more subjects of that class.",
            )
    if len(synthetic) == 0:
        raise DataError("has no accepted image", where=synthetic_set.path, mend="Run 'medsyn augment' again.")
    if synthetic.pixels.shape != (len(synthetic), *dataset.image_shape):
        raise DataError(
            f"holds images {synthetic.pixels.shape} for {len(synthetic)} manifest rows of {dataset.image_shape}",
            where=synthetic_set.path,
            mend="The set is damaged; run 'medsyn augment' again.",
        )


def _generator_subjects(workspace: Workspace, dataset: Dataset, synthetic_set: SyntheticSet) -> frozenset[str] | None:
    record = _subjects_record(workspace, synthetic_set)
    if record is None:
        return None
    learnt = frozenset(pq.read_table(record, columns=["subject"])["subject"].to_pylist())
    held_out = dataset.table.loc[dataset.rows("val", "test", labelled=False), ["subject", "unit", "split"]]
    meets = held_out[held_out["subject"].isin(learnt) | held_out["unit"].isin(learnt)]
    if len(meets):
        raise DataError(
            f"the generator learnt from {meets['subject'].nunique()} subjects that are in "
            f"{' and '.join(sorted(set(meets['split'])))} of dataset {dataset.path.name}",
            where=record,
            mend="Train a generator on this dataset: medsyn train-gan opens its training split only.",
        )
    return learnt


def _subjects_record(workspace: Workspace, synthetic_set: SyntheticSet) -> Path | None:
    """Whom the generator learnt from, by its digest: a folder of the same name may hold another generator."""
    digest = synthetic_set.card.get("checkpoint_digest")
    if not digest:
        return None
    for folder in reversed(workspace.all(GENERATOR)):
        record = folder / "subjects.parquet"
        if read_json(folder / GENERATOR.main_file).get("digest") == digest and record.is_file():
            return record
    # `augment` leaves a copy, because the generator may have come from elsewhere or be gone.
    kept = workspace.private / f"subjects-{digest[:16]}.parquet"
    return kept if kept.is_file() else None
