"""Files and frames to volumes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.uid import CTImageStorage, MRImageStorage, generate_uid

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.ingest import series, stage
from medsyn.ingest.source import Probe
from medsyn.workspace import Workspace

from .conftest import dicom, picture

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)


def probes(positions: Sequence[float], orientation: tuple[float, ...] = AXIAL, start: int = 1) -> list[Probe]:
    return [
        Probe(n, "", kind="dicom", series="s", position=position, orientation=orientation, instance=n)
        for n, position in enumerate(positions, start)
    ]


@given(st.integers(0, 300), st.sampled_from(["all", "middle", "every=1", "every=2", "every=7", "every=1000"]))
def test_chosen(n: int, rule: str) -> None:
    found = series.chosen(n, rule)
    assert found == sorted(set(found) & set(range(n)))
    assert bool(found) == (n > 0)
    step = {"all": 1, "middle": n or 1}.get(rule) or int(rule[6:])
    assert {b - a for a, b in pairwise(found)} <= {step}
    if n and rule != "all":
        assert abs(found[0] - (n - 1 - found[-1])) <= 1  # as much before as behind


def test_an_unknown_rule_is_an_error() -> None:
    with pytest.raises(ValueError, match="every=N"):
        series.chosen(3, "every=0")


def test_slices_are_sorted_along_the_normal() -> None:
    members = probes([7.5, -5.0, 0.0, 2.5, -2.5, 5.0])
    settled = series.settle(members)
    assert [settled.places[p.number] for p in members] == [(0, 5), (0, 0), (0, 2), (0, 3), (0, 1), (0, 4)]
    assert not settled.refused
    assert not settled.told


def test_repetitions_become_volumes_of_their_own() -> None:
    """Two echoes, one after the other in instance numbers, and then alternating: the same volumes."""
    for positions, volumes in (
        ([0, 1, 2, 0, 1, 2], [0, 0, 0, 1, 1, 1]),
        ([0, -0.004, 1, 0.996, 2, 2], [0, 1, 0, 1, 0, 1]),
    ):
        members = probes(positions)
        settled = series.settle(members, "middle")
        assert [settled.places[p.number] for p in members] == [*zip(volumes, map(round, positions), strict=True)]
        assert settled.told == {"repeated": 1}
        kept = [p.number for p in members if p.number not in settled.refused]
        assert [settled.places[n] for n in kept] == [(0, 1), (1, 1)]
        assert {r.reason for r in settled.refused.values()} == {"not_selected"}


def test_copies_of_one_image_are_no_repetition() -> None:
    members = probes([0, 1, 2, 1])
    members[1].names["sop"] = members[3].names["sop"] = "one"
    settled = series.settle(members)
    assert [settled.places[p.number] for p in members] == [(0, 0), (0, 1), (0, 2), (0, 1)]
    assert "repeated" not in settled.told


def test_a_scout_among_many_slices_is_left_out() -> None:
    members = probes([0, 1, 2, 3, 4, 5]) + probes([0], SAGITTAL, 7)
    settled = series.settle(members)
    assert {n: (r.outcome, r.reason) for n, r in settled.refused.items()} == {7: ("skipped", "localiser")}
    assert settled.told == {"localiser": 1}
    assert settled.places.keys() == {1, 2, 3, 4, 5, 6}


def test_orientations_without_a_majority_are_kept_apart() -> None:
    members = probes([0, 9, 4]) + probes([2, 1, 3], SAGITTAL, 4) + probes([5, 0, 1], CORONAL, 7)
    settled = series.settle(members)
    assert not settled.refused
    assert [settled.places[p.number] for p in members] == [
        *((0, 0), (0, 2), (0, 1)),
        *((1, 1), (1, 0), (1, 2)),
        *((2, 2), (2, 0), (2, 1)),
    ]
    assert settled.told["orientations"] == 1


@pytest.mark.parametrize(
    ("positions", "instances", "told"),
    [
        ([0, 1, 2, 3], None, set()),
        ([0, 1.04, 2, 3], None, set()),
        ([0, 1, 2, 4, 5], None, {"gaps"}),
        ([0, 1, 2, 3.4, 4.4], None, {"uneven"}),
        ([0, 1, 2, 3], [1, 2, 3, 9], {"instances"}),
        ([0, 5], None, set()),
        ([0], [7], set()),
    ],
)
def test_gaps_and_missing_files_are_told(positions: list[float], instances: list[int] | None, told: set[str]) -> None:
    members = probes(positions)
    for p, instance in zip(members, instances or range(1, 99), strict=False):
        p.instance = instance
    assert series.settle(members).told.keys() == told


def test_each_series_is_told_once() -> None:
    told = sum((series.settle(probes([0, 1, 2, 0, 1, 2])).told for _ in range(3)), Counter[str]())
    (sentence,) = series.sentences(told)
    assert sentence.startswith("in 3 series several images lie at one place")


def write(folder: Path, positions: Sequence[float], orientation: tuple[float, ...], **elements: object) -> None:
    for n, position in enumerate(positions):
        normal = {AXIAL: 2, SAGITTAL: 0, CORONAL: 1}[orientation]
        place = [0.0, 0.0, 0.0]
        place[normal] = -position if orientation != AXIAL else position
        dicom(
            folder / f"{normal}-{n}",
            picture(10 * normal + n),
            ImagePositionPatient=place,
            ImageOrientationPatient=list(orientation),
            StudyInstanceUID="1.2.3",
            InstanceNumber=n + 1,
            **elements,
        )


def test_volumes_of_a_series_in_the_index(tmp_path: Path, workspace: Workspace) -> None:
    mr = {"Modality": "MR", "SOPClassUID": MRImageStorage, "SeriesInstanceUID": generate_uid()}
    write(tmp_path / "scans", [4, 0, 2, 0, 2, 4], AXIAL, **mr)
    write(tmp_path / "scans", [1], SAGITTAL, **mr)
    result = stage.run(IngestOptions(paths=[str(tmp_path / "scans")], workers=1), workspace)
    data = Dataset.open(result.path).table
    assert data["volume"].nunique() == 2
    assert data["series"].nunique() == 1
    for _, volume in data.groupby("volume"):
        ordered = volume.sort_values("slice_index")
        assert list(ordered["slice_index"]) == [0, 1, 2]
        assert list(ordered["slice_position"]) == [0, 2, 4]
    ledger = pd.read_csv(result.ledger)
    assert list(ledger.loc[ledger["outcome"] == "skipped", "reason"]) == ["localiser"]
    assert any("left out as localisers" in caveat for caveat in result.caveats)


@pytest.mark.parametrize(("rule", "kept"), [("all", 5), ("middle", 1), ("every=2", 3)])
def test_chosen_slices_of_a_series(tmp_path: Path, workspace: Workspace, rule: str, kept: int) -> None:
    ct = {"Modality": "CT", "SOPClassUID": CTImageStorage, "SeriesInstanceUID": generate_uid()}
    write(tmp_path / "scans", [40, 10, 30, 20, 0], AXIAL, RescaleSlope=1, RescaleIntercept=-1024, **ct)
    result = stage.run(IngestOptions(paths=[str(tmp_path / "scans")], slices=rule, workers=1), workspace)
    positions = sorted(Dataset.open(result.path).table["slice_position"])
    assert positions == {1: [20], 3: [0, 20, 40], 5: [0, 10, 20, 30, 40]}[kept]
    assert result.outcomes.get("skipped", 0) == 5 - kept
