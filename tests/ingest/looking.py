"""A first look at files, for tests of what is said about them."""

from __future__ import annotations

from pathlib import Path

from medsyn.config import IngestOptions
from medsyn.ingest import scan
from medsyn.ingest.labels import Joined, LabelSource
from medsyn.ingest.scan import Input
from medsyn.ingest.source import LookFor, Probe

KEY = b"k" * 32


def look(paths: list[Path], tag: str | None = None) -> tuple[list[Input], list[Probe]]:
    """All files, and those that can be read."""
    inputs = list(scan.find([str(p) for p in paths]))
    return inputs, [p for p in scan.probe_chunk(inputs, LookFor(KEY, tag)) if p.refused is None]


def join(*paths: Path, **options: object) -> tuple[dict[str, tuple[str | None, str]], Joined]:
    """Path below the folder -> label and state, and all that was joined."""
    source = LabelSource.open(IngestOptions.model_validate({"paths": [str(p) for p in paths], **options}))
    inputs, wanted = look(list(paths), str(options.get("label_from", "")).partition("tag:")[2] or None)
    joined = source.join(inputs, wanted, {p.number for p in wanted}, KEY)
    joined.told = source.told + joined.told
    names = {i.number: i.relative for i in inputs}
    return {names[n]: (row.label, row.state) for n, row in joined.rows.items()}, joined
