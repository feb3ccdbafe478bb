"""What an evaluation works on, found and checked before anything is computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from medsyn.compute import numpy_rng
from medsyn.config import EvaluateOptions, Preset, load_preset
from medsyn.data import SPLITS, Dataset
from medsyn.data.lookup import by_digest
from medsyn.data.splits import TUNE_OF_TRAIN
from medsyn.errors import DataError, MissingError, UsageError
from medsyn.evaluate.inputs import foreign, own_split
from medsyn.evaluate.inputs.images import Images, take
from medsyn.progress import Progress
from medsyn.synthetic import SyntheticSet
from medsyn.synthetic.lineage import training_subjects
from medsyn.workspace import DATASET, SYNTHETIC, Workspace


@dataclass(frozen=True)
class Given:
    """A synthetic set that was there before the evaluation.

    Attributes:
        name: Of the set.
        card: Content of its card.json; of a foreign set what could be told.
        images: ``units`` are empty names.
        foreign: Made by another tool.
        opened: The set itself; None where it is foreign.
    """

    name: str
    card: dict[str, Any]
    images: Images
    foreign: bool = False
    opened: SyntheticSet | None = None


@dataclass(frozen=True)
class External:
    """A test set from elsewhere."""

    dataset: Dataset
    images: Images


@dataclass(frozen=True)
class Inputs:
    """Everything that an evaluation reads.

    Attributes:
        dataset: The dataset, all splits.
        preset: Of the modality.
        table: Its labelled images, with the split in force: the stored one, or the user's own.
        images: All of them, in the order of ``table``.
        given: The synthetic set; None where generators are trained here.
        origin: split -> images of the dataset that the generator of the given set learnt from, in the same order of
            classes; None where it is not in the workspace, or no set was given.
        external: Test set from elsewhere.
        generator_subjects: Subjects the generator learnt from; None where no record was found.
    """

    dataset: Dataset
    preset: Preset
    table: pd.DataFrame
    images: Images
    given: Given | None
    origin: dict[str, Images] | None
    external: External | None
    generator_subjects: frozenset[str] | None

    @property
    def classes(self) -> list[str]:
        return self.dataset.classes

    @cached_property
    def _place(self) -> pd.Series:
        return pd.Series(np.arange(len(self.table)), index=self.table.index)

    def of(self, numbers: Sequence[int] | np.ndarray) -> Images:
        """Images by their numbers in the dataset."""
        return take(self.images, self._place.loc[np.asarray(numbers, np.int64)].to_numpy(np.int64))

    def split(self, *names: str) -> Images:
        """Images of the splits in force."""
        return self.of(self.table.index[self.table["split"].isin(names)].to_numpy(np.int64))


def resolve(options: EvaluateOptions, workspace: Workspace, progress: Progress) -> Inputs:
    """Find the synthetic set, its dataset and its generator, and refuse what cannot be compared honestly.

    Raises:
        MissingError: No synthetic set, or not the dataset its generator learnt from.
        DataError: Other classes or image shape, a split without some class, a subject in two splits, synthetic images
            in the dataset, or a generator that learnt from subjects of val or test.
    """
    path = _synthetic_path(options, workspace)
    own = path is not None and (path / SYNTHETIC.main_file).is_file()
    opened = SyntheticSet.open(path) if path is not None and own else None
    dataset = Dataset.open(_dataset_path(options, workspace, opened, path))
    progress.say(f"{f'synthetic set {path.name}, ' if path else ''}dataset {dataset.path.name}")
    if opened is not None:
        _check_compatible(dataset, opened)
    _check_real(dataset)
    table = _table(options, dataset, progress)
    _check_splits(dataset, table, options)
    dataset.verify()
    numbers = table.index.to_numpy(np.int64)
    given = None
    if opened is not None:
        labels = opened.labels(dataset.classes)
        made = Images(opened.images(), labels, np.full(len(labels), ""), np.arange(len(labels)))
        given = Given(opened.path.name, opened.card, made, opened=opened)
    elif path is not None:
        given = _foreign(path, options, dataset)
    if given is not None:
        _check_content(dataset, path or Path(given.name), given.images)
    external = _external(options, workspace, dataset)
    inputs = Inputs(
        dataset=dataset,
        preset=load_preset(dataset.modality),
        table=table,
        images=_read(dataset, numbers, dataset.classes),
        given=given,
        origin=None,
        external=external,
        generator_subjects=_generator_subjects(workspace, dataset, table, given, external),
    )
    return replace(inputs, origin=_origin(workspace, inputs, own_split=options.split is not None))


def _synthetic_path(options: EvaluateOptions, workspace: Workspace) -> Path | None:
    if options.regenerate:
        if options.synthetic:
            raise UsageError(
                "cannot be combined with --regenerate, --fractions, --rare, --train-subjects or --folds",
                where="--synthetic",
                mend="These train generators of their own; leave --synthetic out.",
            )
        return None
    if not options.synthetic:
        return workspace.latest(SYNTHETIC, options.modality)
    path = Path(options.synthetic)
    inside = {p.name for p in workspace.all(SYNTHETIC)}
    return path if path.exists() and path.name not in inside else workspace.find(SYNTHETIC, options.synthetic)


def _dataset_path(
    options: EvaluateOptions, workspace: Workspace, opened: SyntheticSet | None, path: Path | None
) -> Path:
    if options.dataset:
        return workspace.find(DATASET, options.dataset)
    if opened is None:
        there = workspace.all(DATASET, options.modality)
        if path is not None and len(there) > 1:
            raise UsageError(
                "which dataset is this set to be compared with?",
                where=path,
                mend=f"Name it with --dataset: {', '.join(p.name for p in there)}.",
            )
        return workspace.latest(DATASET, options.modality)
    digest = opened.card.get("dataset_digest")
    found = by_digest(workspace, digest) if digest else None
    if found is not None:
        return found
    raise MissingError(
        "the dataset that its generator learnt from is not in this workspace",
        where=path,
        mend="Name one with --dataset.",
    )


def _table(options: EvaluateOptions, dataset: Dataset, progress: Progress) -> pd.DataFrame:
    table = dataset.table[dataset.table["label"].notna()]
    if not options.split:
        return table
    named = own_split.read(options.split, dataset, progress)
    table = table[table.index.isin(list(named))].copy()
    table["split"] = [named[int(i)] for i in table.index]
    if "tune" not in set(table["split"]):
        units = np.unique(table.loc[table["split"] == "train", "unit"].to_numpy(str))
        tune = numpy_rng("own split", options.seed).permutation(units)[: round(TUNE_OF_TRAIN * len(units))]
        table.loc[table["unit"].isin(tune), "split"] = "tune"
    return table


def _read(dataset: Dataset, numbers: np.ndarray, classes: list[str]) -> Images:
    window = load_preset(dataset.modality).window
    place = np.array([classes.index(name) for name in dataset.classes], np.int64)
    return Images(
        dataset.images(numbers, window) if len(numbers) else np.empty((0, *dataset.image_shape), np.float32),
        place[dataset.labels(numbers)],
        dataset.subjects(numbers),
        numbers,
    )


def _foreign(path: Path, options: EvaluateOptions, dataset: Dataset) -> Given:
    found = foreign.read(path, options.synthetic_labels, dataset.classes, dataset.image_shape, dataset.modality)
    pixels, labels, _, card = found
    made = Images(pixels, labels, np.full(len(labels), ""), np.arange(len(labels)))
    return Given(path.name, card, made, foreign=True)


def _origin(workspace: Workspace, inputs: Inputs, *, own_split: bool) -> dict[str, Images] | None:
    if inputs.given is None:
        return None
    digest = inputs.given.card.get("dataset_digest")
    here = digest == inputs.dataset.digest
    if inputs.given.foreign or (here and not own_split):
        # Of a foreign set nobody knows whom it learnt from: this dataset is where copies would be looked for.
        return {name: inputs.split(name) for name in SPLITS}
    path = by_digest(workspace, digest) if digest and not here else None
    if path is None and not here:
        return None
    # A generator trained here learnt from the stored split, whatever the user's own one leaves out.
    origin = Dataset.open(path) if path is not None else inputs.dataset
    if sorted(origin.classes) != sorted(inputs.classes) or origin.image_shape != inputs.dataset.image_shape:
        return None
    return {name: _read(origin, origin.rows(name), inputs.classes) for name in SPLITS}


def _external(options: EvaluateOptions, workspace: Workspace, dataset: Dataset) -> External | None:
    if not options.external:
        return None
    other = Dataset.open(workspace.find(DATASET, options.external))
    _check_real(other)
    other.verify()
    if sorted(other.classes) != sorted(dataset.classes) or other.image_shape != dataset.image_shape:
        raise DataError(
            f"has classes {', '.join(other.classes)} and images {list(other.image_shape)}, but {dataset.path.name} has "
            f"{', '.join(dataset.classes)} and {list(dataset.image_shape)}",
            where=other.path,
            mend="Ingest it with the same classes and --size.",
        )
    shared = set(other.table["subject"]) & set(dataset.table["subject"])
    if shared:
        raise DataError(
            f"shares {len(shared)} subjects with {dataset.path.name}",
            where=other.path,
            mend="An external test set must be of other patients.",
        )
    return External(other, _read(other, other.rows(), dataset.classes))


def _check_real(dataset: Dataset) -> None:
    made = dataset.table[dataset.table["synthetic"]]
    if len(made):
        raise DataError(
            f"holds {len(made)} images marked synthetic, in {', '.join(sorted(set(made['split'])))}: controls must be "
            "trained and tested on real ones",
            where=dataset.path,
            mend="Ingest the real scans alone; synthetic images come in with --synthetic.",
        )


def _check_splits(dataset: Dataset, table: pd.DataFrame, options: EvaluateOptions) -> None:
    if len(dataset.classes) < 2:
        raise DataError("has fewer than two classes", where=dataset.path, mend="There is nothing to classify.")
    for key in ("unit", "subject"):
        spread = table.groupby(key)["split"].nunique()
        if (spread > 1).any() and not options.folds:
            raise DataError(
                f"{int((spread > 1).sum())} subjects are in two splits at once",
                where=dataset.path,
                mend="Ingest the scans again: splits are drawn by subject.",
            )
    for split in ("train", "val", "test"):
        present = set(table.loc[table["split"] == split, "label"])
        absent = [c for c in dataset.classes if c not in present]
        if absent and not options.folds:
            raise DataError(
                f"has no '{absent[0]}' in {split}",
                where=dataset.path,
                mend="Ingest more subjects of that class, or cross-validate with --folds 5.",
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


def _check_content(dataset: Dataset, path: Path, synthetic: Images) -> None:
    if len(synthetic) == 0:
        raise DataError("has no accepted image", where=path, mend="Run 'medsyn augment' again.")
    if synthetic.pixels.shape != (len(synthetic), *dataset.image_shape):
        raise DataError(
            f"holds images {synthetic.pixels.shape} for {len(synthetic)} labels of {dataset.image_shape}",
            where=path,
            mend="The set is damaged; run 'medsyn augment' again.",
        )


def _generator_subjects(
    workspace: Workspace, dataset: Dataset, table: pd.DataFrame, given: Given | None, external: External | None
) -> frozenset[str] | None:
    record = _subjects_record(workspace, given)
    if record is None:
        return None
    learnt = frozenset(pq.read_table(record, columns=["subject"])["subject"].to_pylist())
    held_out = dataset.table.loc[dataset.rows("val", "test", labelled=False), ["subject", "unit", "split"]]
    in_force = table.loc[table["split"].isin(["val", "test"]), ["subject", "unit", "split"]]
    # An own split replaces the stored one; what it leaves out can be in no result.
    held_out = (
        in_force if len(table) and not table["split"].equals(dataset.table.loc[table.index, "split"]) else held_out
    )
    if external is not None:
        other = external.dataset.table[["subject", "unit"]]
        known = other["subject"].isin(learnt) | other["unit"].isin(learnt)
        if known.any():
            raise DataError(
                f"the generator learnt from {other.loc[known, 'subject'].nunique()} subjects of this external test set",
                where=external.dataset.path,
                mend="Test on patients that the generator has not met.",
            )
    meets = held_out[held_out["subject"].isin(learnt) | held_out["unit"].isin(learnt)]
    if len(meets):
        raise DataError(
            f"the generator learnt from {meets['subject'].nunique()} subjects that are in "
            f"{' and '.join(sorted(set(meets['split'])))} of dataset {dataset.path.name}",
            where=record,
            mend="Train a generator on this dataset (medsyn train-gan opens its training split only), or --regenerate.",
        )
    return learnt


def _subjects_record(workspace: Workspace, given: Given | None) -> Path | None:
    """Whom the generator learnt from, by its digest."""
    digest = given.card.get("checkpoint_digest") if given is not None else None
    return training_subjects(workspace, digest) if digest else None
