"""Writing and reading back: duplicates, bridges, splits, digests, visibility."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from helpers import shown_as_stored
from hypothesis import given, settings
from hypothesis import strategies as st

from medsyn.data import Dataset, writer
from medsyn.data.earlier import Earlier
from medsyn.data.names import marks
from medsyn.data.schema import SPLITS, ImageRecord
from medsyn.data.writer import DatasetWriter, Written
from medsyn.errors import DataError
from medsyn.workspace import write_json

KEY = b"k" * 32
SIDE = 16


@dataclass(frozen=True)
class Image:
    """``pixels`` is a number: equal numbers are identical images."""

    subject: str
    pixels: int
    label: str | None = "a"
    official: str | None = None
    also: str | None = None
    study: str | None = None


def noise(seed: int) -> np.ndarray:
    """Stored pixels ``[1, SIDE, SIDE]``; no two seeds are near-duplicates."""
    return np.random.default_rng(seed).integers(0, 65535, (1, SIDE, SIDE), dtype=np.uint16)


def commit(
    folder: Path,
    images: Sequence[Image],
    earlier: Mapping[str, str] | None = None,
    before: Earlier | None = None,
) -> Written:
    target = DatasetWriter(folder, size=SIDE, dtype="uint16")
    for i, image in enumerate(images):
        record = shown_as_stored(
            i,
            SIDE,
            subject=image.subject,
            label=image.label,
            official_split=image.official,
            also_subject=image.also,
            study=image.study,
        )
        target.add(record, noise(image.pixels))
    written = target.finish(key=KEY, name="x", modality="xray", earlier=before or known(earlier or {}))
    write_json(folder / "dataset.json", written.meta)
    return written


def known(split_of: Mapping[str, str]) -> Earlier:
    """Subjects of earlier datasets."""
    subjects = np.array(list(marks(split_of)), "S16")
    split = np.array([SPLITS.index(split) for split in split_of.values()], np.int8)  # type: ignore[arg-type]
    order = np.argsort(subjects)
    return Earlier(subjects[order], split[order], np.full(len(order), -1, np.int8))


def split_rows(folder: Path) -> pd.DataFrame:
    index = pd.read_parquet(folder / "index.parquet", columns=["image", "image_key", "pixel_digest"])
    return index.merge(pd.read_parquet(folder / "splits.parquet"), on="image").set_index("image_key")


images = st.lists(
    st.builds(
        Image,
        subject=st.sampled_from("ABCDEFGHIJ"),
        pixels=st.integers(0, 14).map(lambda n: n * 1000),
        label=st.sampled_from(["a", "b", None]),
        official=st.sampled_from([None, None, "train", "val", "test"]),
        also=st.sampled_from([None, None, None, *"ABCDEFGHIJ", "other"]),
        study=st.sampled_from([None, None, "s1", "s2", "s3"]),
    ),
    min_size=1,
    max_size=30,
)
earlier_splits = st.dictionaries(st.sampled_from("ABCDEFGHIJ"), st.sampled_from(SPLITS), max_size=5)


@given(images, earlier_splits)
@settings(deadline=None, max_examples=120)
def test_no_unit_and_no_picture_in_two_splits(drawn: list[Image], earlier: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        written = commit(Path(folder), drawn, earlier)
        rows = split_rows(Path(folder))
        assert len(rows) + len(written.dropped) == len(drawn)
        for column in ("subject", "unit", "pixel_digest"):
            assert (rows.groupby(column)["split"].nunique() <= 1).all(), column
        for row in rows.itertuples():
            if row.subject in earlier:
                assert row.split == earlier[row.subject]
        index = pd.read_parquet(Path(folder) / "index.parquet", columns=["image", "study"])
        studies = index.merge(rows, on="image").dropna(subset="study")
        assert (studies.groupby("study")["unit"].nunique() <= 1).all()
        for row in rows.dropna(subset="also_subject").itertuples():
            assert set(rows.loc[rows["subject"] == row.also_subject, "unit"]) <= {row.unit}
        for key, row in rows.iterrows():
            image = drawn[int(str(key)[3:])]
            if image.official and image.subject not in earlier:
                allowed = ("train", "tune") if image.official == "train" else (image.official,)
                assert row["split"] in allowed


def test_label_proportions_hold(tmp_path: Path) -> None:
    commit(tmp_path, [Image(f"s{i}", i * 10, "ab"[i % 4 == 0]) for i in range(400)])
    data = Dataset.open(tmp_path)
    rows = data.table.groupby(["label", "split"]).size().unstack()
    assert rows.loc["a"].to_dict() == {"train": 180, "tune": 30, "val": 45, "test": 45}
    assert rows.loc["b"].to_dict() == {"train": 60, "tune": 10, "val": 15, "test": 15}


def test_of_identical_images_the_highest_split_keeps_its_copy(tmp_path: Path) -> None:
    order = ["train", "val", "test", "train"]
    written = commit(tmp_path, [Image(f"s{i}", 7, official=s) for i, s in enumerate(order)])
    rows = split_rows(tmp_path)
    assert list(rows.index) == ["key2"]
    assert list(rows["split"]) == ["test"]
    assert {d.reason for d in written.dropped} == {"duplicate"}
    assert {d.detail for d in written.dropped} == {"same pixels as input 2"}


def test_a_published_test_split_is_never_thinned(tmp_path: Path) -> None:
    commit(tmp_path, [Image("A", 7, official="test"), Image("B", 7, official="test"), Image("C", 7, official="train")])
    assert list(split_rows(tmp_path).index) == ["key0", "key1"]


def test_contradictory_labels_are_dropped_but_an_unlabelled_copy_is_not_a_contradiction(tmp_path: Path) -> None:
    drawn = [Image("A", 1, "a"), Image("B", 1, "b"), Image("C", 500, None), Image("D", 500, "a"), Image("E", 900, "b")]
    written = commit(tmp_path, drawn)
    assert sorted((d.source, d.reason) for d in written.dropped) == [
        (0, "label_conflict"),
        (1, "label_conflict"),
        (2, "duplicate"),
    ]
    assert written.meta["classes"] == ["a", "b"]


def test_an_image_that_bridges_two_splits_is_quarantined(tmp_path: Path) -> None:
    """A (train) and B (test) of earlier turn out to share a picture: B keeps it, A's further pictures are set aside."""
    drawn = [Image("A", 100), Image("A", 200), Image("B", 100), Image("B", 300), Image("C", 400)]
    written = commit(tmp_path, drawn, {"A": "train", "B": "test"})
    rows = split_rows(tmp_path)
    assert list(rows.index) == ["key2", "key3", "key4"]
    assert rows.loc["key3", "split"] == "test"
    assert sorted((d.source, d.reason) for d in written.dropped) == [(0, "duplicate"), (1, "bridges_splits")]


def test_a_new_subject_follows_an_earlier_one_whose_pictures_were_all_dropped(tmp_path: Path) -> None:
    drawn = [Image("A", 100, "a"), Image("B", 100, "b"), *(Image("B", 200 + i, "b") for i in range(3))]
    commit(tmp_path, drawn, {"A": "test"})
    assert set(split_rows(tmp_path)["split"]) == {"test"}


def test_ties_to_earlier_subjects_bind_new_ones(tmp_path: Path) -> None:
    """Of the earlier B (test), nothing is here but another name, a study and a picture."""
    earlier = [Image("B", 700, official="test", also="B2", study="study"), Image("C", 900, official="val")]
    first = commit(tmp_path, earlier)
    (tmp_path / "next").mkdir()
    drawn = [Image("B2", 100), Image("X", 200, study="study"), Image("Y", 700), Image("Z", 300, also="B")]
    drawn += [Image(f"n{i}", 1000 + 10 * i) for i in range(20)]
    second = commit(tmp_path / "next", drawn, before=Earlier.of([tmp_path]))
    rows = split_rows(tmp_path / "next")
    tied = rows.loc[["key0", "key1", "key2", "key3"]]
    assert (set(tied["split"]), set(tied["origin"]), tied["unit"].nunique()) == ({"test"}, {"earlier"}, 1)
    assert set(rows["unit"]) <= set(rows["subject"])
    assert rows["unit"].nunique() == 21
    assert not first.dropped + second.dropped


def test_folds_stay_in_every_round_and_subjects_who_turn_out_to_be_one_share_theirs(tmp_path: Path) -> None:
    folders, before, drawn = list[Path](), dict[str, int](), list[Image]()
    for number in range(4):
        drawn += [Image(f"{number} {i}", 1000 * number + 10 * i, "ab"[i % 3 == 0]) for i in range(7 + 5 * number)]
        folders.append(tmp_path / str(number))
        folders[-1].mkdir()
        commit(folders[-1], drawn, before=Earlier.of(folders[:-1]))
        table = pd.read_parquet(folders[-1] / "splits.parquet").set_index("subject")
        assert before.items() <= table["fold"].to_dict().items()
        before = table["fold"].to_dict()
    train = table[table["split"] == "train"]["fold"]
    one, other = (str(train.index[train == fold][0]) for fold in sorted(set(train))[:2])
    (tmp_path / "joined").mkdir()
    commit(tmp_path / "joined", [*drawn, Image(one, 90_000, "a", also=other)], before=Earlier.of(folders))
    after = pd.read_parquet(tmp_path / "joined" / "splits.parquet").drop_duplicates("subject").set_index("subject")
    assert after.loc[one, "unit"] == after.loc[other, "unit"]
    assert after.loc[one, "fold"] == after.loc[other, "fold"]
    rest = after.drop([one, other])["fold"]
    assert rest.to_dict() == {subject: before[subject] for subject in rest.index}


def test_content_digest_does_not_depend_on_shards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = [Image(f"s{i}", i * 100, "ab"[i % 2]) for i in range(20)]
    (tmp_path / "one").mkdir()
    (tmp_path / "many").mkdir()
    one = commit(tmp_path / "one", drawn)
    monkeypatch.setattr(writer, "SHARD_BYTES", 3 * 2 * SIDE**2)
    many = commit(tmp_path / "many", drawn)
    assert len(one.meta["shards"]) == 1
    assert len(many.meta["shards"]) == 7
    assert one.meta["content_digest"] == many.meta["content_digest"]
    rows = np.arange(19, -1, -1)
    assert np.array_equal(Dataset.open(tmp_path / "one").stored(rows), Dataset.open(tmp_path / "many").stored(rows))
    changed = [*drawn[:-1], Image("s19", 1900, "a")]
    (tmp_path / "other").mkdir()
    assert commit(tmp_path / "other", changed).meta["content_digest"] != one.meta["content_digest"]


def test_what_was_stored_is_read_back(tmp_path: Path) -> None:
    commit(tmp_path, [Image(f"s{i}", i * 3000, "ab"[i % 2]) for i in range(20)])
    data = Dataset.open(tmp_path)
    data.verify()
    expected = np.stack([noise(3000 * i) for i in range(20)])
    assert np.array_equal(data.stored(data.rows()), expected)
    assert np.allclose(data.images(data.rows()), expected / 65535)
    assert list(data.labels(data.rows())) == [0, 1] * 10
    shard = tmp_path / "images-00000.npy"
    shard.write_bytes(shard.read_bytes()[:-1] + b"\xff")
    with pytest.raises(DataError, match="damaged"):
        Dataset.open(tmp_path).verify()


@pytest.mark.parametrize(
    ("table", "column", "value"), [("targets", "value", "b"), ("splits", "split", "test"), ("index", "sex", "F")]
)
def test_a_table_that_was_changed_is_found(tmp_path: Path, table: str, column: str, value: str) -> None:
    meta = commit(tmp_path, [Image(f"s{i}", i * 3000, "ab"[i % 2]) for i in range(20)]).meta
    file = tmp_path / f"{table}.parquet"
    rows = pd.read_parquet(file)
    rows.loc[0, column] = value
    rows.to_parquet(file, index=False)
    assert Dataset.open(tmp_path).table["split"].notna().all()  # sound, but for its digest
    with pytest.raises(DataError, match=rf"{table}\.parquet: is damaged or missing"):
        Dataset.open(tmp_path).verify()
    # A dataset from before tables had digests.
    write_json(tmp_path / "dataset.json", {name: value for name, value in meta.items() if name != "tables"})
    Dataset.open(tmp_path).verify()


def test_a_restricted_dataset_cannot_reach_other_splits(tmp_path: Path) -> None:
    commit(tmp_path, [Image(f"s{i}", i * 100, "ab"[i % 2]) for i in range(40)])
    everything = Dataset.open(tmp_path)
    seen = Dataset.open(tmp_path, ("train", "tune"))
    assert set(seen.rows()) == set(everything.rows("train", "tune"))
    assert set(seen.table["split"]) == {"train", "tune"}
    hidden = everything.rows("test")
    with pytest.raises(PermissionError):
        seen.rows("test")
    for reach in (seen.stored, seen.images, seen.labels, seen.subjects):
        with pytest.raises(KeyError):
            reach(hidden)


def test_pixels_of_another_shape_or_dtype_are_refused(tmp_path: Path) -> None:
    target = DatasetWriter(tmp_path, size=4, dtype="uint16")
    record = ImageRecord(0, "k", "s", "xray", "d", 4, 4, 1.0, 0.0, "relative", 0.0, 1.0, "dtype")
    with pytest.raises(ValueError, match="expected"):
        target.add(record, np.zeros((1, 4, 5), np.uint16))
    with pytest.raises(ValueError, match="expected"):
        target.add(record, np.zeros((1, 4, 4), np.int16))
