"""What is wrong with the files of a result: at a glance, by presence and length; thoroughly, by digests."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

from medsyn.operations.items import Read
from medsyn.progress import SILENT, Progress
from medsyn.sums import SUMS, read_sums, sha256
from medsyn.workspace import DATASET, EVALUATION, GENERATOR, SYNTHETIC, Kind

ITEM_BYTES = {"uint8": 1, "int8": 1, "uint16": 2, "int16": 2, "float32": 4}


def glance(result: Read) -> None:
    """Add to the item what presence, length and form of its files tell; reads no more than their ends."""
    if not result.main or any("another version" in note for note in result.item.notes):
        return
    try:
        result.item.damaged += GLANCES[result.kind](result)
    except (OSError, KeyError, TypeError, ValueError, struct.error) as error:
        result.item.damaged.append(f"cannot be looked through ({type(error).__name__})")


def thoroughly(results: list[Read], progress: Progress = SILENT) -> None:
    """Add what the SHA-256 of every file tells that has one; takes as long as reading them."""
    files = [(result, file, digest) for result in results for file, digest in _digests(result)]
    with progress.task("comparing digests", len(files)) as task:
        for done, (result, file, digest) in enumerate(files, 1):
            damaged = result.item.damaged
            if file.is_file() and sha256(file) != digest and not any(d.startswith(file.name) for d in damaged):
                damaged.append(f"{file.relative_to(result.item.path)} is not the file that was committed")
            task.update(done)


def _digests(result: Read) -> Iterator[tuple[Path, str]]:
    path = result.item.path
    if result.kind is DATASET:
        for noted in (part for name in ("shards", "masks", "tables") for part in result.get(name) or ()):
            yield path / noted["file"], noted["sha256"]
    elif result.kind is GENERATOR and result.get("digest"):
        yield path / "generator.safetensors", str(result.get("digest"))
    elif result.kind is SYNTHETIC and (path / SUMS).is_file():
        yield from ((path / name, digest) for name, digest in read_sums(path / SUMS) if name)


def _dataset(result: Read) -> Iterator[str]:
    path, meta = result.item.path, result.main
    yield from _tables(path, "index.parquet", "targets.parquet", "splits.parquet")
    _, *shape = meta["shape"]
    for shards, kind, sides in ((meta["shards"], meta["dtype"], shape), (meta.get("masks") or (), "uint8", shape[1:])):
        for shard in shards:
            file = path / shard["file"]
            if not file.is_file():
                yield f"{file.name} is missing"
                continue
            wanted = _npy_header(file) + shard["images"] * math.prod(sides) * ITEM_BYTES[kind]
            if file.stat().st_size != wanted:
                yield f"{file.name} has {file.stat().st_size:,} bytes in place of {wanted:,}"


def _generator(result: Read) -> Iterator[str]:
    for name in ("generator.safetensors", "training.safetensors"):
        file = result.item.path / name
        if file.is_file():
            if file.stat().st_size != _safetensors_length(file):
                yield f"{name} is cut short or damaged"
        elif name == "generator.safetensors":
            yield f"{name} is missing"
        else:
            result.item.notes.append(f"without {name}: no training can start from it")


def _synthetic(result: Read) -> Iterator[str]:
    path, digest = result.item.path, result.get("sums_digest")
    yield from _tables(path, "manifest.parquet")
    sums = path / SUMS
    if digest is None:
        return
    if not sums.is_file():
        yield f"{SUMS} is missing"
    elif sha256(sums) != digest:
        yield f"{SUMS} is not the file that was committed"
    else:
        named = [name for name, _ in read_sums(sums)]
        if result.files - 2 < len(named):  # card.json and the sums themselves are not named
            lost = [name for name in named if not (path / name).is_file()]
            yield (
                f"{len(lost)} of {len(named):,} files are missing, {lost[0]} among them"
                if lost
                else "files are missing"
            )


def _evaluation(result: Read) -> Iterator[str]:
    for name in ("report.html", "report.md"):
        file = result.item.path / name
        if not file.is_file() or not file.stat().st_size:
            yield f"{name} is missing"
    yield from _tables(result.item.path, "predictions.parquet")


def _tables(folder: Path, *names: str) -> Iterator[str]:
    """Parquet files that are not there or have lost their end."""
    for name in names:
        file = folder / name
        if not file.is_file():
            yield f"{name} is missing"
            continue
        with open(file, "rb") as opened:
            opened.seek(max(0, file.stat().st_size - 4))
            if opened.read() != b"PAR1":
                yield f"{name} is cut short or damaged"


def _npy_header(file: Path) -> int:
    """Bytes before the values of a .npy file (format 1.0 and 2.0)."""
    with open(file, "rb") as opened:
        start = opened.read(12)
    if start[:6] != b"\x93NUMPY":
        return 0
    return 10 + struct.unpack("<H", start[8:10])[0] if start[6] == 1 else 12 + struct.unpack("<I", start[8:12])[0]


def _safetensors_length(file: Path) -> int:
    """Bytes that the header of a safetensors file says it has; -1 where it has none."""
    with open(file, "rb") as opened:
        start = opened.read(8)
        if len(start) < 8:
            return -1
        (header,) = struct.unpack("<Q", start)
        if header > file.stat().st_size:
            return -1
        tensors = json.loads(opened.read(header))
    ends = [value["data_offsets"][1] for key, value in tensors.items() if key != "__metadata__"]
    return 8 + header + max(ends, default=0)


GLANCES: dict[Kind, Callable[[Read], Iterator[str]]] = {
    DATASET: _dataset,
    GENERATOR: _generator,
    SYNTHETIC: _synthetic,
    EVALUATION: _evaluation,
}
