"""What else a user hands over: a split, labels of another tool's images, BIDS participants, a reader's answers."""

from __future__ import annotations

import io
import json
import tempfile
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from generators_sets import Scans, commit

from medsyn.config import IngestOptions
from medsyn.data import Dataset
from medsyn.evaluate.inputs import foreign, own_split
from medsyn.images import save_png
from medsyn.ingest import scan
from medsyn.ingest.labels import LabelSource
from medsyn.ingest.source import Probe
from medsyn.readers import stage, study
from medsyn.readers.answers import KIND, Answers
from medsyn.workspace import DATASET, Workspace, read_json, write_json

FILES = {
    "split": "split.csv",
    "synthetic-labels": "labels.csv",
    "participants": "bids/participants.tsv",
    "answers": "answers.json",
}
"""Target -> the file of it that is spoilt."""
N, SIDE, CLASSES = 12, 16, ("a", "b")
SPLITS = ("train", "train", "tune", "val", "test")
SUBJECTS = 20
KEY = b"fuzz"


def corpus() -> dict[str, list[bytes]]:
    """Sound files of every target."""
    numbers = range(N)
    pictures = pd.DataFrame({"file": [f"im{k}.png" for k in numbers], "label": [CLASSES[k % 2] for k in numbers]})
    stems = pd.DataFrame({"image_id": [f"im{k}" for k in numbers], "score": 0.5, "Class": pictures["label"]})
    people = pd.DataFrame({"participant_id": [f"sub-{k:02}" for k in numbers], "age": range(30, 30 + N), "sex": "F"})
    bare = pd.DataFrame({"participant_id": [f"{k:02}" for k in numbers], "group": ["case", "n/a", "control"] * 4})
    known = [people, people.assign(diagnosis=pictures["label"]), people.assign(label=list("xyz") * 4), bare]
    return {
        "split": list(_tables(*_splits())),
        "synthetic-labels": list(_tables(pictures, stems)),
        "participants": [frame.to_csv(index=False, sep="\t").encode() for frame in known],
        "answers": [_answers(n) for n in (N, N // 2)],
    }


def _tables(*frames: pd.DataFrame) -> Iterator[bytes]:
    for frame in frames:
        for separator in ",;\t":
            yield frame.to_csv(index=False, sep=separator).encode()
        buffer = io.BytesIO()
        frame.to_parquet(buffer, index=False)
        yield buffer.getvalue()


def _splits() -> Iterator[pd.DataFrame]:
    """The same split by images, by subjects and by files: both classes in every part, two images a subject."""
    images = np.arange(2 * SUBJECTS)
    split = [SPLITS[k // 4 % len(SPLITS)] for k in images]
    yield pd.DataFrame({"image_key": images, "split": split})
    yield pd.DataFrame({"subject": images // 2, "split": split, "site": "x"})
    yield pd.DataFrame({"file": [f"part{k % 2}/{k // 2}.png" for k in images], "split": split})


def _answers(n: int) -> bytes:
    """Of a reader who has come to the n-th case and always says "real"."""
    said = {"call": "real", "label": CLASSES[0], "call_ms": 900, "label_ms": 400, "undone": 0}
    content = {"kind": KIND, "schema_version": 1, "study": _study().study, "reader": "R1", "session": "s"}
    content |= {"started": "2026-01-01T00:00:00Z", "checksum": "-"}
    return _signed(json.dumps(content | {"answers": [said | {"case": c.case} for c in _study().cases[:n]]}).encode())


def _signed(data: bytes) -> bytes:
    """Answers with a checksum that fits, as far as they are such."""
    try:
        content = json.loads(data)
        return json.dumps(content | {"checksum": Answers.model_validate(content).sum()}).encode()
    except (ValueError, TypeError, RecursionError):
        return data


@lru_cache(maxsize=1)
def _study() -> study.Study:
    made = {"name": "xray-001", "digest": "c" * 64}
    return study.Study.of(
        KEY * 8,
        **{"dataset": made, "synthetic": made, "modality": "xray", "image_shape": [1, SIDE, SIDE], "simulated": False},
        **{"classes": list(CLASSES), "splits": {"test": N // 2}, "n": N, "seed": 0},
        cases=[
            {"case": f"{k:012}", "truth": ("real", "synthetic")[k % 2], "label": CLASSES[k // 2 % 2], "image": k}
            for k in range(N)
        ],
    )


def write(target: str, data: bytes, number: int, folder: Path) -> None:
    """A folder in which one file is spoilt, beside what is read with it.

    Args:
        target: One of `FILES`.
        data: The spoilt file.
        number: Of the case; of every second one, whoever changed the answers has written their checksum anew.
        folder: Empty.
    """
    for name, content in _beside(target).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    (folder / FILES[target]).write_bytes(_signed(data) if target == "answers" and number % 2 else data)


@cache
def _beside(target: str) -> dict[str, bytes]:
    """Path -> content of what a file is read with."""
    with tempfile.TemporaryDirectory() as folder:
        _BESIDE[target](Path(folder))
        files = [path for path in Path(folder).rglob("*") if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def _dataset(folder: Path) -> None:
    """A workspace with a dataset and the list of the files it came from."""
    images = np.random.default_rng(0).random((2 * SUBJECTS, 1, SIDE, SIDE))
    numbers = np.arange(len(images))
    path = commit(Scans(images, numbers // 2 % 2, numbers // 2), CLASSES, "xray", Workspace(folder).create())
    write_json(path / DATASET.main_file, read_json(path / DATASET.main_file) | {"paths_list": "paths.csv"})
    digests = Dataset.open(path).table["source_digest"].to_list()
    pq.write_table(pa.table({"input": numbers + 1, "source_digest": digests}), path / "ledger.parquet")
    rows = [f"{k + 1},/scans/part{k % 2}/{k // 2}.png" for k in numbers]
    (folder / "private").mkdir(exist_ok=True)
    (folder / "private" / "paths.csv").write_text("\n".join(["input,path", *rows]))


def _pictures(folder: Path) -> None:
    (folder / "made").mkdir()
    for k in range(N):
        save_png(np.full((SIDE, SIDE), 20 * k, np.uint8), folder / "made" / f"im{k}.png")


def _bids(folder: Path) -> None:
    for k in range(N):
        scans = folder / "bids" / f"sub-{k:02}" / "anat"
        scans.mkdir(parents=True)
        (scans / f"sub-{k:02}_T1w.nii.gz").touch()
    (folder / "bids" / "dataset_description.json").write_text('{"Name": "fuzz", "BIDSVersion": "1.10.0"}')


def _asked(folder: Path) -> None:
    workspace = Workspace(folder).create()
    (workspace.private / "project.key").write_text((KEY * 8).hex())
    study.save(_study(), workspace)


_BESIDE = {"split": _dataset, "synthetic-labels": _pictures, "participants": _bids, "answers": _asked}


def _participants_are_read(folder: Path) -> None:
    root = str(folder / "bids")
    source = LabelSource.open(IngestOptions(paths=[root]))
    inputs = [item for item in scan.find([root], tables=source.tables()) if item.path.endswith(".nii.gz")]
    probes = [Probe(item.number, item.path, kind="nifti") for item in inputs]
    source.join(inputs, probes, {probe.number for probe in probes}, KEY)


READ: dict[str, Callable[[Path], object]] = {
    "split": lambda folder: own_split.read(folder / FILES["split"], Dataset.open(Workspace(folder).latest(DATASET))),
    "synthetic-labels": lambda folder: foreign.read(
        folder / "made", folder / FILES["synthetic-labels"], CLASSES, (1, SIDE, SIDE), "xray"
    ),
    "participants": _participants_are_read,
    "answers": lambda folder: stage.score([folder / FILES["answers"]], Workspace(folder)),
}
"""Target -> what reads it, as a command would."""
