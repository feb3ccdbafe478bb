"""The built-in samples through ingest: which one comes without a path, with which labels, patients and masks."""

from __future__ import annotations

import numpy as np
import pytest

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.errors import UsageError
from medsyn.ingest import stage
from medsyn.workspace import Workspace


def simulated(workspace: Workspace, **options: object) -> stage.IngestResult:
    given = {"sample_subjects": 30, "size": 32, "workers": 1, **options}
    return stage.run(IngestOptions.model_validate(given), workspace)


def test_brains_come_with_classes_patients_and_masks(workspace: Workspace) -> None:
    made = simulated(workspace, modality="mri")
    assert made.sample
    assert (made.name, made.modality, made.subjects) == ("mri", "mri", 30)
    assert set(made.images_per_class) == {"lesion", "normal"}
    assert made.outcomes["ingested"] == made.images
    assert set(made.reasons) == {"mask_of"}
    dataset = Dataset.open(made.path)
    rows = dataset.rows()
    masked = dataset.masks(rows).any(axis=(1, 2))
    lesion = dataset.labels(rows) == dataset.classes.index("lesion")
    assert dataset.table["has_mask"].all()
    assert not masked[~lesion].any()
    assert masked[lesion].mean() > 0.95  # at 32 px the edge of a small mass may fall between two pixels
    images = dataset.images(rows)[:, 0]
    assert np.all(images.std((1, 2)) > 0.1)
    # Radiologists' view: the front of the head is on top, and the frame is air.
    assert images[:, [0, -1]].mean() < 0.15
    assert dataset.table.groupby("subject")["split"].nunique().max() == 1


def test_slices_of_the_sample_by_their_mask(workspace: Workspace) -> None:
    made = simulated(workspace, modality="mri", mask_label="lesion=1")
    assert set(made.images_per_class) == {"lesion", "no_lesion"}


def test_chest_films_come_where_nothing_is_said(workspace: Workspace) -> None:
    made = simulated(workspace)
    assert (made.name, made.modality, made.sample) == ("xray", "xray", True)
    assert set(made.images_per_class) == {"nodule", "normal", "opacity"}


def test_a_modality_without_a_sample_is_told(workspace: Workspace) -> None:
    with pytest.raises(UsageError, match=r"no built-in sample of ct") as caught:
        simulated(workspace, modality="ct")
    assert "--modality xray or mri" in caught.value.line()
