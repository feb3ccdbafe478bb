"""No leak between splits: ten thousand simulated subjects in awkward shapes, through the writer's own doors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import shown_as_stored
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from medsyn.data import DatasetWriter, near, splits
from medsyn.data.earlier import Earlier
from medsyn.data.schema import SPLITS
from medsyn.data.splits import FRACTIONS
from medsyn.data.writer import Written

SUBJECTS = 10_000
SIZE = 16
KEYS = [b"k" * 32, bytes(range(32))]


@dataclass(frozen=True)
class Image:
    """One image to ingest.

    Attributes:
        exposure: Which picture it shows; -1 for an empty one.
        copy: 0 for the picture itself, pixel by pixel; more for changed copies of it.
    """

    subject: str
    exposure: int
    label: str | None = "common"
    official: str | None = None
    copy: int = 0


@cache
def exposures(n: int) -> np.ndarray:
    """Pictures of strangers, uint16 ``[n, SIZE, SIZE]``."""
    drawn = np.random.default_rng(7).normal(size=(n, SIZE, SIZE)).astype(np.float32)
    return np.rint(65535 * np.clip(0.5 + drawn / 6, 0.05, 0.95)).astype(np.uint16)


def pixels(images: Sequence[Image]) -> np.ndarray:
    """Their stored pixels, uint16 ``[n, SIZE, SIZE]``: copies have another contrast and noise."""
    number = np.array([i.exposure for i in images])
    copy = np.array([i.copy for i in images])[:, None, None]
    rng = np.random.default_rng(int(number.sum()) + int(copy.sum()))
    value = exposures(20_000)[number] / 65535
    changed = np.clip(value**0.85 * 0.9 + rng.normal(0, 0.01, value.shape), 0, 1)
    empty = rng.uniform(0, 0.003, value.shape)
    value = np.where(copy > 0, changed, value)
    value = np.where(number[:, None, None] < 0, empty, value)
    return np.rint(65535 * value).astype(np.uint16)


@dataclass(frozen=True)
class Committed:
    """A dataset on disk, and what a later ingest of the same name must know of it."""

    rows: pd.DataFrame  # of splits.parquet, with pixel_digest, label, exposure
    written: Written
    folders: list[Path]  # of this dataset and all earlier ones of its name

    @cached_property
    def splits(self) -> dict[str, str]:
        return self._of("split")

    @cached_property
    def folds(self) -> dict[str, int]:
        return self._of("fold")

    def _of(self, column: str) -> dict:
        tables = pd.concat(pd.read_parquet(folder / "splits.parquet") for folder in self.folders)
        return tables.drop_duplicates("subject").set_index("subject")[column].to_dict()


def commit(folder: Path, images: Sequence[Image], key: bytes, before: Committed | None = None) -> Committed:
    """Ingest images after an earlier ingest of the same name."""
    stored = pixels(images)
    target = DatasetWriter(folder, size=SIZE, dtype="uint16")
    for i, image in enumerate(images):
        key_of, values = f"{folder.name} {i}", {"label": image.label, "official_split": image.official}
        target.add(shown_as_stored(i, SIZE, subject=image.subject, image_key=key_of, **values), stored[i][None])
    folders = [*(before.folders if before else []), folder]
    written = target.finish(key=key, name="x", modality="xray", earlier=Earlier.of(folders[:-1]))
    index = pd.read_parquet(folder / "index.parquet", columns=["image", "image_key", "pixel_digest"])
    rows = index.merge(pd.read_parquet(folder / "splits.parquet"), on="image")
    shown = [images[int(key.split()[-1])] for key in rows["image_key"]]
    rows["exposure"] = [i.exposure for i in shown]
    rows["label"] = [i.label for i in shown]
    return Committed(rows, written, folders)


class Cohort:
    """Subjects in every awkward shape at once."""

    def __init__(self, seed: int, prefix: str = "") -> None:
        self.rng = np.random.default_rng(seed)
        self.prefix, self.images = prefix, list[Image]()
        self.subjects = 0
        self.exposure = 0 if not prefix else 15_000

    def subject(self) -> str:
        self.subjects += 1
        return f"{self.prefix}s{self.subjects:05d}"

    def add(self, subject: str, n: int = 1, **values: object) -> list[Image]:
        """``n`` new exposures of a subject."""
        made = [Image(subject, self.exposure + i, **values) for i in range(n)]  # type: ignore[arg-type]
        self.exposure += n
        self.images += made
        return made

    def again(self, image: Image, **values: object) -> Image:
        self.images.append(replace(image, **values))  # type: ignore[arg-type]
        return self.images[-1]

    def fill(self, total: int) -> Cohort:
        """Ordinary subjects with one or two images until there are ``total``."""
        while self.subjects < total:
            label = "common" if self.rng.random() < 0.7 else "other"
            self.add(self.subject(), int(self.rng.integers(1, 3)) if self.exposure < 13_000 else 1, label=label)
        return self


def awkward(seed: int) -> Cohort:
    cohort = Cohort(seed)
    huge = cohort.subject()
    first = cohort.add(huge, 1500)[0]
    cohort.again(first, subject=cohort.subject(), copy=1)  # a near copy of it under another name
    for _ in range(3):  # a class of three subjects
        cohort.add(cohort.subject(), label="rare")
    for _ in range(150):  # two labels in one subject
        who = cohort.subject()
        cohort.add(who, label="common")
        cohort.add(who, label="other")
    for _ in range(200):  # twins: the same pixels in two files of two subjects
        (one,) = cohort.add(cohort.subject(), label="other")
        cohort.again(one, subject=cohort.subject())
    for _ in range(20):  # the same pixels with contradictory labels
        (one,) = cohort.add(cohort.subject(), label="other")
        cohort.again(one, subject=cohort.subject(), label="common")
    for _ in range(200):  # near-duplicates: pairs, and chains of three over the same exposure
        (one,) = cohort.add(cohort.subject())
        two = cohort.again(one, subject=cohort.subject(), copy=1)
        if cohort.rng.random() < 0.3:
            cohort.again(two, subject=cohort.subject(), copy=2)
    for split in ("train", "val", "test"):  # official splits, with exact and near duplicates between them
        for _ in range(60):
            (one,) = cohort.add(cohort.subject(), official=split)
            other = str(cohort.rng.choice(["train", "val", "test"]))
            chance = cohort.rng.random()
            if chance < 0.4:
                cohort.again(one, subject=cohort.subject(), official=other)
            elif chance < 0.8:
                cohort.again(one, subject=cohort.subject(), official=other, copy=1)
    for _ in range(100):  # nearly empty slices, which tie nobody
        cohort.again(Image(cohort.subject(), -1))
    return cohort.fill(SUBJECTS)


def spread(rows: pd.DataFrame, column: str) -> pd.Series:
    """What of a column is in more than one split."""
    splits_of = rows.groupby(column)["split"].nunique()
    return splits_of[splits_of > 1]


def check_no_leak(rows: pd.DataFrame) -> None:
    for column in ("subject", "unit", "pixel_digest"):
        assert spread(rows, column).empty, column
    assert spread(rows[rows["exposure"] >= 0], "exposure").empty


@pytest.fixture(scope="module", params=range(2))
def first(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Cohort, Committed, bytes]:
    cohort, key = awkward(request.param), KEYS[request.param]
    return cohort, commit(tmp_path_factory.mktemp("first"), cohort.images, key), key


def test_no_subject_no_picture_and_no_near_copy_is_in_two_splits(first: tuple[Cohort, Committed, bytes]) -> None:
    cohort, done, _ = first
    assert cohort.subjects == SUBJECTS
    check_no_leak(done.rows)
    assert len(done.rows) + len(done.written.dropped) == len(cohort.images)
    reasons = Counter(d.reason for d in done.written.dropped)
    assert reasons["label_conflict"] == 40
    assert reasons["duplicate"] >= 200
    assert reasons["bridges_splits"] >= 10


def test_what_an_official_split_says_holds(first: tuple[Cohort, Committed, bytes]) -> None:
    cohort, done, _ = first
    for row in done.rows.itertuples():
        official = cohort.images[int(row.image_key.split()[-1])].official
        if official:
            assert row.split in (("train", "tune") if official == "train" else (official,))


def test_only_real_ties_make_units(first: tuple[Cohort, Committed, bytes]) -> None:
    """Units are the components of shared exposures, and nothing else: strangers and empty slices stay apart."""
    cohort, done, _ = first
    edges = [(i.subject, f"exposure {i.exposure}") for i in cohort.images if i.exposure >= 0]
    edges += [(i.subject, i.subject) for i in cohort.images]
    code, names = pd.factorize(pd.Series([name for edge in edges for name in edge]))
    component = splits.join(code.reshape(-1, 2), len(names))
    expected = done.rows["subject"].map(dict(zip(names, component, strict=True)))
    assert (expected.groupby(done.rows["unit"]).nunique() == 1).all()
    assert (done.rows["unit"].groupby(expected).nunique() == 1).all()
    empty = done.rows[done.rows["exposure"] < 0]
    assert empty["unit"].nunique() == 100


def test_labels_are_spread_as_evenly_as_whole_units_allow(first: tuple[Cohort, Committed, bytes]) -> None:
    _, done, _ = first
    prevalence = done.rows["label"].value_counts()
    drawn = done.rows[done.rows["origin"] == "drawn"]
    rarest = drawn.groupby("unit")["label"].agg(lambda labels: min(labels, key=lambda c: (prevalence[c], c)))
    split_of = drawn.groupby("unit")["split"].first()
    official = done.rows[done.rows["origin"] == "official"].groupby("unit")[["label", "split"]].first()
    for label in ("common", "other", "rare"):
        counts = split_of[rarest == label].value_counts()
        fixed = official[(official["label"] == label) & official["split"].isin(["val", "test"])]["split"].value_counts()
        total = int(counts.sum() + fixed.sum())
        for split in SPLITS:
            got = int(counts.get(split, 0) + fixed.get(split, 0))
            assert abs(got - FRACTIONS[split] * total) < 1.5, (label, split)
    assert set(split_of[rarest == "rare"]) == {"train", "val", "test"}


def later(cohort: Cohort, done: Committed, seed: int) -> list[Image]:
    """What comes in afterwards: strangers, new images of known subjects, and their copies under new names."""
    more = Cohort(seed, prefix="later ")
    kept = [cohort.images[int(key.split()[-1])] for key in done.rows["image_key"]]
    chosen = [kept[i] for i in more.rng.permutation(len(kept))[:600] if kept[i].exposure >= 0]
    for image in chosen[:150]:
        more.add(image.subject, label=image.label)
    for image in chosen[150:300]:
        more.again(image, subject=more.subject(), official=None)
    for image in chosen[300:450]:
        more.again(image, subject=more.subject(), official=None, copy=3)
        more.add(more.images[-1].subject)
    for image in chosen[450:]:  # a chain: the near copy of a newcomer who shares an exposure with a known subject
        (own,) = more.add(image.subject, label=image.label)
        more.again(own, subject=more.subject(), copy=1)
    return more.fill(more.subjects + 1000).images


def test_adding_data_moves_nobody_and_leaks_nothing(first: tuple[Cohort, Committed, bytes], tmp_path: Path) -> None:
    cohort, done, key = first
    second = commit(tmp_path, later(cohort, done, 11), key, before=done)
    for row in second.rows.itertuples():
        if row.subject in done.splits:
            assert (row.split, row.fold) == (done.splits[row.subject], done.folds[row.subject])
    both = pd.concat([done.rows, second.rows])
    for column in ("subject", "pixel_digest"):
        assert spread(both, column).empty, column
    assert spread(both[both["exposure"] >= 0], "exposure").empty
    drawn = second.rows[second.rows["origin"] == "drawn"].groupby("unit")["split"].first().value_counts()
    assert drawn.sum() > 900
    assert set(drawn.index) == set(SPLITS)


def test_a_twin_whose_pictures_were_all_dropped_stays_with_its_twin(
    first: tuple[Cohort, Committed, bytes], tmp_path: Path
) -> None:
    cohort, done, key = first
    split_of = dict(zip(done.rows["exposure"], done.rows["split"], strict=True))
    gone = [i for i in cohort.images if i.subject not in done.splits and i.exposure in split_of]
    assert len(gone) >= 200
    new = [Image(i.subject, 15_000 + k) for k, i in enumerate(gone)]
    second = commit(tmp_path, [*new, *(Image(f"new {k}", 18_000 + k) for k in range(100))], key, before=done)
    expected = {i.subject: split_of[i.exposure] for i in gone}
    rows = second.rows[second.rows["subject"].isin(expected)]
    assert len(rows) == len(gone)
    assert (rows["subject"].map(expected) == rows["split"]).all()


def test_a_newcomer_alike_to_pictures_of_two_splits_is_set_aside(
    first: tuple[Cohort, Committed, bytes], tmp_path: Path
) -> None:
    cohort, done, key = first
    shown = done.rows[done.rows["exposure"] >= 0].groupby("split")["image_key"].first()
    train, test = (cohort.images[int(shown[split].split()[-1])] for split in ("train", "test"))
    new = [
        replace(train, subject="between", official=None, copy=5),
        replace(test, subject="between", official=None, copy=5),
    ]
    second = commit(tmp_path, [*new, *(Image(f"new {k}", 18_000 + k) for k in range(100))], key, before=done)
    rows = pd.concat([done.rows, second.rows])
    assert spread(rows[rows["exposure"] >= 0], "exposure").empty
    assert [d.reason for d in second.written.dropped] == ["bridges_splits"] * 2


def test_identical_empty_slices_tie_nobody(tmp_path: Path) -> None:
    stored = np.zeros((SIZE, SIZE), np.uint16)
    assert near.featureless(near.thumbnail(stored[None] / np.float32(65535))).all()
    target = DatasetWriter(tmp_path, size=SIZE, dtype="uint16")
    for i in range(60):
        for k, picture in enumerate((stored, exposures(20_000)[i])):
            target.add(shown_as_stored(2 * i + k, SIZE, subject=f"s{i}", label="common"), picture[None])
    target.finish(key=KEYS[0], name="x", modality="xray")
    assert pd.read_parquet(tmp_path / "splits.parquet")["unit"].nunique() == 60


def test_the_draw_knows_no_order(tmp_path: Path) -> None:
    images = awkward(0).images
    small = [i for i in images if i.official is None][1400:3400]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one = commit(tmp_path / "a", small, KEYS[0])
    other = commit(tmp_path / "b", small[::-1], KEYS[0])
    # Of identical pictures the first is kept, so the subjects that are left may differ, but not their places.
    common = one.splits.keys() & other.splits.keys()
    assert len(common) > 1000
    assert {s: one.splits[s] for s in common} == {s: other.splits[s] for s in common}


images = st.lists(
    st.builds(
        Image,
        subject=st.sampled_from("ABCDEFGHIJ"),
        exposure=st.integers(0, 11),
        label=st.sampled_from(["common", "other"]),
        official=st.sampled_from([None, None, None, "train", "val", "test"]),
        copy=st.integers(0, 2),
    ),
    min_size=1,
    max_size=25,
)


@given(images)
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_shape_of_copies_leaks(tmp_path_factory: pytest.TempPathFactory, drawn: list[Image]) -> None:
    check_no_leak(commit(tmp_path_factory.mktemp("any"), drawn, KEYS[0]).rows)
