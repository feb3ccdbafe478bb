"""What was begun and not finished: trainings, synthetic sets, ingests; how far it is, and how to go on with it."""

from __future__ import annotations

import shlex
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from medsyn.errors import DataError
from medsyn.operations.items import Item, size, when
from medsyn.operations.locks import held
from medsyn.workspace import GENERATOR, SYNTHETIC, Workspace, read_json

STATE, TRAINING = "state.json", ".training-"
SET, WORK, FACTS = ".unfinished-", ".work", "facts.json"


@dataclass
class Begun:
    """One piece of work that has not come to its end.

    Attributes:
        kind: ``training``, ``synthetic set`` or ``ingest``.
        name: What its result will be called, without number.
        path: Where it is kept.
        bytes: What it takes.
        changed: Of its last step, ISO 8601, UTC.
        done: Images shown, accepted or read so far; None where that cannot be told.
        total: Of these, in the end; None where that is not known.
        running: Whether a process is at work on it.
        go_on: The command that continues it; empty where there is none.
        damaged: Why it cannot go on; empty where it can.
    """

    kind: str
    name: str
    path: Path
    bytes: int
    changed: str
    done: int | None = None
    total: int | None = None
    running: bool = False
    go_on: str = ""
    damaged: str = ""


def begun(workspace: Workspace, datasets: Mapping[str, Item], generators: Mapping[str, Item]) -> list[Begun]:
    """All of it, by kind, the oldest first.

    Args:
        workspace: Where to look.
        datasets: Content digest -> dataset.
        generators: Digest of the weights -> generator.
    """
    found = [*_trainings(workspace, datasets), *_sets(workspace, generators), *_ingests(workspace)]
    order = ("ingest", "training", "synthetic set")
    return sorted(found, key=lambda one: (order.index(one.kind), one.changed))


def _trainings(workspace: Workspace, datasets: Mapping[str, Item]) -> Iterator[Begun]:
    newest: dict[str, str] = {}
    found = []
    for state in (workspace.path / GENERATOR.folder).glob(f"{TRAINING}*/{STATE}"):
        path = state.parent
        one = Begun("training", _name(path, TRAINING), path, size(path)[0], _changed(state))
        one.running = held(path.with_name(path.name + ".lock"))
        try:
            told = read_json(state)
            modality, digest = str(told["modality"]), str(told["dataset_digest"])
            one.name, one.done, one.total = str(told["name"]), int(told["images"]), round(told["plan"]["kimg"] * 1000)
        except (DataError, KeyError, TypeError, ValueError):
            one.damaged = "its state cannot be read: delete the folder, or let 'medsyn gc' do it"
        else:
            if digest not in datasets:
                one.damaged = "the dataset it began with is not here"
            else:
                dataset = datasets[digest].name
                one.go_on = f"medsyn train-gan --modality {modality} --dataset {dataset} --resume"
                newest[one.go_on] = max(newest.get(one.go_on, ""), one.changed)
        found.append(one)
    for one in found:
        # Of several on one dataset, --resume takes the one with the newest state.
        if one.running or (one.go_on and one.changed != newest[one.go_on]):
            one.go_on = ""
        yield one


def _sets(workspace: Workspace, generators: Mapping[str, Item]) -> Iterator[Begun]:
    for path in (workspace.path / SYNTHETIC.folder).glob(f"{SET}*"):
        work = path.with_name(path.name + WORK)
        if not path.is_dir() or path.suffix == WORK or not (work / "part-000000.parquet").is_file():
            continue
        newest = max(work.glob("part-*.parquet"))
        one = Begun("synthetic set", "", path, size(path)[0] + size(work)[0], _changed(newest))
        one.running = held(path.with_name(path.name + ".lock"))
        one.done = _accepted(work)
        with suppress(DataError, KeyError, TypeError, AttributeError):
            told = read_json(work / FACTS)
            one.total = sum(told["wanted"].values())
            generator = generators.get(told["origin"]["checkpoint_digest"])
            if generator is None:
                one.damaged = "its generator is not here"
            else:
                one.name = str(generator.name.rpartition("-")[0])
                one.go_on = "" if one.running else shlex.join(_augment(told, generator.name))
        yield one


def _augment(told: Mapping[str, Any], generator: str) -> list[str]:
    """The command that makes the very set of these facts."""
    origin, wanted = told["origin"], told["wanted"]
    counted = ",".join(f"{label}={n}" for label, n in wanted.items())
    command = ["medsyn", "augment", "--generator", generator, "--n", str(sum(wanted.values())), "--balance", counted]
    command += ["--seed", str(origin["seed"]), "--format", ",".join(told["formats"])]
    given = {"--truncation": (origin["truncation"], 1.0), "--bits": (told["bits"], 8)}
    for option, (value, default) in given.items():
        command += [option, f"{value:g}"] if value != default else []
    command += ["--max-tries", str(told["max_tries"])]
    return command + ["--keep-all"] * bool(told["keep_all"])


def _accepted(work: Path) -> int | None:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    total = 0
    for part in work.glob("part-*.parquet"):
        try:
            total += pc.sum(pq.read_table(part, columns=["accepted"])["accepted"]).as_py() or 0
        except (OSError, KeyError, pa.ArrowException):  # damaged: `augment` makes it again
            return None
    return total


def _ingests(workspace: Workspace) -> Iterator[Begun]:
    for file in (workspace.private / "ingest").glob("*/journal.sqlite"):
        try:
            # immutable: nothing is written beside it, nor in a folder that may not be written.
            mode = "mode=ro" if held(file.with_name(".lock")) or list(file.parent.glob("*-wal")) else "immutable=1"
            with closing(sqlite3.connect(f"{file.as_uri()}?{mode}", uri=True, timeout=0.5)) as journal:
                last = journal.execute("SELECT dataset FROM runs ORDER BY run DESC LIMIT 1").fetchone()
                inputs = journal.execute("SELECT count(*) FROM inputs").fetchone()[0]
                read = journal.execute("SELECT count(*) FROM inputs WHERE read_as IS NOT NULL").fetchone()[0]
        except sqlite3.Error:
            continue
        if last is None or last[0] is not None or not inputs:
            continue
        one = Begun("ingest", file.parent.name, file, file.stat().st_size, _changed(file), read, inputs)
        one.running = held(file.with_name(".lock"))
        one.go_on = "" if one.running else "the same 'medsyn ingest' command"
        yield one


def _name(path: Path, prefix: str) -> str:
    return path.name.removeprefix(prefix).rpartition("-")[0]


def _changed(file: Path) -> str:
    return when(file.stat().st_mtime)
