"""A dataset with other splits: a part of it, folds, or a split of the user's own."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet as pq

from medsyn.data.dataset import Dataset
from medsyn.data.schema import CLASS_TASK, SPLIT_TABLE, SPLITS, TABLES
from medsyn.sums import noted
from medsyn.workspace import DATASET, Workspace


def resplit(dataset: Dataset, split_of: Mapping[int, str], workspace: Workspace, name: str) -> Path:
    """Commit the named images of a dataset under other splits.

    Shards are linked, not copied, where the disk allows it. Image numbers, keys and pixels stay what they were; images
    that are not named are not in the new dataset.

    Args:
        dataset: The original, all splits visible.
        split_of: Image number -> ``train``, ``tune``, ``val`` or ``test``.
        workspace: Where the new dataset goes.
        name: Its name.

    Returns:
        The committed folder.

    Raises:
        ValueError: An unknown split, or a unit in two splits.
    """
    rows = sorted(split_of)
    chosen = pd.Series(split_of).reindex(rows)
    unknown = set(chosen) - set(SPLITS)
    if unknown:
        raise ValueError(f"unknown split {sorted(unknown)}")
    units = dataset.table.loc[rows, "unit"]
    if chosen.groupby(units.to_numpy()).nunique().max() > 1:
        raise ValueError("a unit is in two splits")
    with workspace.build(DATASET, name) as build:
        for shard in dataset.meta["shards"]:
            _link(dataset.path / shard["file"], build.path / shard["file"])
        kept = pa.array(rows, pa.int64())
        for table, schema in TABLES.items():
            found = pq.read_table(dataset.path / table, schema=schema)
            found = found.filter(pa.compute.is_in(found["image"], kept))
            if schema is SPLIT_TABLE:
                new = pa.array([split_of[i] for i in found["image"].to_pylist()], pa.string())
                found = found.set_column(SPLIT_TABLE.get_field_index("split"), SPLIT_TABLE.field("split"), new)
            pq.write_table(found, build.path / table)
        return build.commit(_describe(dataset, chosen, name) | {"tables": noted(build.path, TABLES)})


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system
        shutil.copyfile(source, target)


def _describe(dataset: Dataset, split_of: pd.Series, name: str) -> dict[str, object]:
    table = dataset.table.loc[split_of.index, ["label", "unit", "subject"]].assign(split=split_of)
    lines = [f"{dataset.digest} {image} {split}" for image, split in split_of.items()]
    fingerprint = dict(dataset.meta["fingerprint"])
    counted = table[table["label"].notna()].groupby(["label", "split"])
    images, units = counted.size(), counted["unit"].nunique()
    for key, found in (("images_per_class", images), ("units_per_class", units)):
        fingerprint[key] = {c: {s: int(found.get((c, s), 0)) for s in SPLITS} for c in dataset.classes}
    fingerprint |= {"images": len(table), "subjects": int(table["subject"].nunique())}
    fingerprint["unlabelled"] = int(table["label"].isna().sum())
    return {
        **dataset.meta,
        "name": name,
        "task": CLASS_TASK,
        "resplit_of": dataset.digest,
        "content_digest": hashlib.sha256("\n".join(lines).encode()).hexdigest(),
        "fingerprint": fingerprint,
    }
