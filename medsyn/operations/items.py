"""Results of a workspace as `status` tells of them: read from their main files alone."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from medsyn.errors import DataError
from medsyn.workspace import DATASET, EVALUATION, GENERATOR, SYNTHETIC, Kind, Workspace, read_json

SCHEMAS = {DATASET: 1, GENERATOR: 3, SYNTHETIC: 2, EVALUATION: 3}
"""What this medsyn reads, of each kind: as the modules say that read them, which import more than a glance may cost."""


@dataclass
class Item:
    """One result.

    Attributes:
        kind: ``dataset``, ``generator``, ``synthetic set`` or ``evaluation``.
        name: Of its folder.
        path: The folder.
        bytes: Of all its files.
        created: ISO 8601, UTC.
        facts: How many, how good: what its main file says.
        stale: Why it is not what the same commands would make now.
        damaged: What is wrong with its files.
        notes: What else one should know.
        derived: What was made from it.
    """

    kind: str
    name: str
    path: Path
    bytes: int = 0
    created: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    stale: list[str] = field(default_factory=list)
    damaged: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    derived: list[Item] = field(default_factory=list)


@dataclass
class Read:
    """A result with what ties it to others.

    Attributes:
        item: What is told.
        kind: Of the workspace.
        number: Of its folder: what is newer has a higher one.
        main: Content of its main file; empty where that cannot be read.
        files: Number of files below it.
    """

    item: Item
    kind: Kind
    number: int
    main: dict[str, Any]
    files: int

    def get(self, *keys: str) -> Any:
        """A value of the main file, None where there is none."""
        value: Any = self.main
        for key in keys:
            value = value.get(key) if isinstance(value, Mapping) else None
        return value


def read(workspace: Workspace, kind: Kind) -> list[Read]:
    """All results of one kind, oldest first, also those that are damaged."""
    folder = workspace.path / kind.folder
    found = []
    for path in folder.iterdir() if folder.is_dir() else ():
        stem, _, number = path.name.rpartition("-")
        if stem and not stem.startswith(".") and number.isdigit() and len(number) >= 3 and path.is_dir():
            found.append(_read(path, kind, int(number)))
    return sorted(found, key=lambda one: one.number)


def size(folder: Path) -> tuple[int, int]:
    """Bytes and number of all files below a folder, of one that is being written, too."""
    total = files = 0
    waiting = [os.fspath(folder)]
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_size
                        files += 1
        except OSError:  # gone meanwhile, or not to be read
            continue
    return total, files


def when(seconds: float) -> str:
    """A file's time as ISO 8601, UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def _read(path: Path, kind: Kind, number: int) -> Read:
    item = Item(kind.noun, path.name, path)
    item.bytes, files = size(path)
    main: dict[str, Any] = {}
    file = path / kind.main_file
    try:
        main = read_json(file)
    except DataError as error:
        item.damaged.append(f"{kind.main_file} {error.what}" if file.exists() else f"{kind.main_file} is missing")
    else:
        schema = main.get("schema_version" if kind is EVALUATION else "schema")
        if schema != SCHEMAS[kind]:
            item.notes.append(f"made by another version of medsyn (schema {schema}, this one reads {SCHEMAS[kind]})")
        item.facts = FACTS[kind](main)
    item.created = str(main.get("created") or when((file if file.exists() else path).stat().st_mtime))
    return Read(item, kind, number, main, files)


def _dataset(main: Mapping[str, Any]) -> dict[str, Any]:
    told = main.get("fingerprint") or {}
    return {
        "modality": main.get("modality"),
        "images": told.get("images"),
        "subjects": told.get("subjects"),
        "classes": list(main.get("classes") or ()),
        "size": list(main.get("shape") or ())[2:],
        "digest": main.get("content_digest"),
    }


def _generator(main: Mapping[str, Any]) -> dict[str, Any]:
    monitor, training = main.get("monitor") or {}, main.get("training") or {}
    return {
        "modality": main.get("modality"),
        "recipe": main.get("recipe"),
        "images": training.get("images"),
        "kimg": training.get("kimg"),
        "seconds": training.get("seconds"),
        "kid": monitor.get("kid"),
        "coverage": monitor.get("coverage"),
        "digest": main.get("digest"),
    }


def _synthetic(main: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "modality": main.get("modality"),
        "images": main.get("n"),
        "images_per_class": main.get("images_per_class"),
        "rejected": sum((main.get("rejected") or {}).values()),
        "complete": main.get("complete", True),
        "formats": main.get("formats"),
        "seed": main.get("seed"),
    }


def _evaluation(main: Mapping[str, Any]) -> dict[str, Any]:
    verdict, seen = main.get("verdict") or {}, main.get("looks_at_test") or []
    effect = verdict.get("effect") or {}
    return {
        "modality": main.get("modality"),
        "verdict": verdict.get("decision"),
        "measure": verdict.get("measure"),
        **{key: effect.get(name) for key, name in (("effect", "value"), ("low", "low"), ("high", "high"))},
        "looks_at_test": len(seen),
        "seconds": main.get("seconds"),
    }


FACTS: dict[Kind, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
    DATASET: _dataset,
    GENERATOR: _generator,
    SYNTHETIC: _synthetic,
    EVALUATION: _evaluation,
}
