"""A split of the user's own: which images, subjects or files are in train, val and test."""

from __future__ import annotations

import csv
from collections import Counter, defaultdict
from collections.abc import Callable
from pathlib import Path

import pyarrow.parquet as pq

from medsyn.data import SPLITS, Dataset, tables
from medsyn.errors import DataError
from medsyn.progress import SILENT, Progress

OPTION = "--split"
NEEDED = ("train", "val", "test")

Finder = Callable[[str], list[int]]


def read(path: str | Path, dataset: Dataset, progress: Progress = SILENT) -> dict[int, str]:
    """Read a split.

    Args:
        path: CSV or Parquet with a column ``split`` (train, tune, val, test; tune may be absent) and one of
            ``image_key`` or ``subject`` (the keyed hashes of the dataset's index.parquet) or ``file`` (a file as it was
            given to ingest: its path, the end of it, or its name; needs the list in the workspace's private folder).
        dataset: All splits visible.
        progress: Told how many images are left out because the table does not name them.

    Returns:
        Image number -> split, of the images that the table names.

    Raises:
        DataError: Unreadable, no such column, an unknown split, a row that fits no image, an image or a unit (a subject
            and what shares images with it) in two splits, or a class that a split lacks.
    """
    path = Path(path)
    rows, columns = tables.read(path, OPTION)
    split_column = tables.find_column(columns, ("split",))
    if split_column is None:
        raise DataError(f"no column 'split'; there are: {', '.join(columns)}", where=path, mend="Add one.")
    column, find = _finder(path, rows, columns, dataset)
    split_of: dict[int, str] = {}
    for number, row in enumerate(rows, 2):
        split = row[split_column].strip()
        if split not in SPLITS:
            raise DataError(
                f"unknown split '{split}' in row {number}",
                where=f"{path}, column '{split_column}'",
                mend=f"Use {', '.join(SPLITS)}.",
            )
        found = find(row[column].strip())
        if not found:
            raise DataError(
                f"row {number} ('{row[column].strip()}') fits no image of dataset {dataset.path.name}",
                where=f"{path}, column '{column}'",
                mend="Correct or remove the row.",
            )
        for image in found:
            if split_of.setdefault(image, split) != split:
                raise DataError(
                    f"row {number} ('{row[column].strip()}') is in {split_of[image]} already, and now in {split}",
                    where=f"{path}, column '{split_column}'",
                    mend="Put it into one split.",
                )
    _check_units(path, dataset, split_of)
    _check_classes(path, dataset, split_of)
    rest = len(dataset.table) - len(split_of)
    if rest:
        progress.say(f"{rest} of {len(dataset.table)} images are not named in {path.name} and are left out")
    return split_of


def _finder(path: Path, rows: list[dict[str, str]], columns: list[str], dataset: Dataset) -> tuple[str, Finder]:
    """The column that names images, and how to look its values up: the most exact one of which anything fits."""
    tried = []
    for kind in ("image_key", "subject"):
        column = tables.find_column(columns, (kind,))
        if column is not None:
            images: dict[str, list[int]] = defaultdict(list)
            for image, key in dataset.table[kind].items():
                images[str(key)].append(int(image))
            if any(row[column].strip() in images for row in rows):
                return column, lambda value, of=images: of.get(value, [])
            tried.append(column)
    column = tables.find_column(columns, tables.FILE_COLUMNS)
    if column is not None:
        find = _by_file(path, column, dataset)
        if any(find(row[column].strip()) for row in rows):
            return column, find
        tried.append(column)
    if not tried:
        raise DataError(
            f"no column 'image_key', 'subject' or 'file'; there are: {', '.join(columns)}", where=path, mend="Add one."
        )
    raise DataError(
        f"no row fits an image of dataset {dataset.path.name}, by {' or '.join(tried)} "
        f"(the table begins with '{rows[0][tried[-1]].strip()}')",
        where=path,
        mend="Take image_key or subject from the dataset's index.parquet, or file names as given to ingest.",
    )


def _by_file(path: Path, column: str, dataset: Dataset) -> Finder:
    # What leads back to file names lies outside of the dataset, in the private folder of its workspace.
    listed = dataset.path.absolute().parent.parent / "private" / str(dataset.meta.get("paths_list"))
    ledger = dataset.path / "ledger.parquet"
    if not listed.is_file() or not ledger.is_file():
        raise DataError(
            f"names files, but the list of the files of dataset {dataset.path.name} is not in this workspace",
            where=f"{path}, column '{column}'",
            mend="Use a column image_key or subject, with values of the dataset's index.parquet.",
        )
    entries = pq.read_table(ledger, columns=["input", "source_digest"]).to_pylist()
    digest_of = {entry["input"]: entry["source_digest"] for entry in entries}
    images: dict[str, list[int]] = defaultdict(list)
    for image, digest in dataset.table["source_digest"].items():
        images[digest].append(int(image))
    digests: dict[str, str] = {}
    by_name: dict[str, list[str]] = defaultdict(list)
    with open(listed, newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            known, digest = tables.plain_name(row["path"]), digest_of.get(int(row["input"]))
            if digest in images:
                digests[known] = digest
                name = known.rsplit("/", 1)[-1]
                for form in {name, tables.stem(name)}:
                    by_name[form].append(known)

    def find(value: str) -> list[int]:
        name = tables.plain_name(value)
        if name in digests:
            return images[digests[name]]
        hits = by_name.get(name.rsplit("/", 1)[-1], [])
        if "/" in name:
            hits = [hit for hit in hits if hit.endswith("/" + name)]
        found = {digests[hit] for hit in hits}
        if len(found) > 1:
            raise DataError(
                f"'{value}' fits {len(found)} files",
                where=f"{path}, column '{column}'",
                mend="Give more of their paths.",
            )
        return [image for digest in found for image in images[digest]]

    return find


def _check_units(path: Path, dataset: Dataset, split_of: dict[int, str]) -> None:
    units = dataset.table.loc[sorted(split_of), "unit"]
    splits: dict[str, set[str]] = defaultdict(set)
    for image, unit in units.items():
        splits[unit].add(split_of[int(image)])
    torn = sorted(unit for unit, found in splits.items() if len(found) > 1)
    if torn:
        images = int(units.isin(torn).sum())
        raise DataError(
            f"{len(torn)} subjects ({images} images) are in more than one split, such as {torn[0]} in "
            f"{' and '.join(sorted(splits[torn[0]]))}",
            where=path,
            mend="Put all images of a subject, and of subjects that share images, into one split.",
        )


def _check_classes(path: Path, dataset: Dataset, split_of: dict[int, str]) -> None:
    labels = dataset.table["label"]
    found = Counter((split, labels[image]) for image, split in split_of.items())
    for split in NEEDED:
        absent = [name for name in dataset.classes if not found[split, name]]
        if absent:
            raise DataError(f"has no '{absent[0]}' in {split}", where=path, mend="Every split needs every class.")
