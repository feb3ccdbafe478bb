"""One DICOM file by the two looks that ingest takes at it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from medsyn.config import load_preset
from medsyn.ingest import dicom as reader
from medsyn.ingest.source import Facts, LookFor, Plane, Probe, Recipe, Refused

KEY = b"k" * 32


def read(
    path: Path, modality: str = "xray", *, look: LookFor | None = None, **of_recipe: Any
) -> tuple[Facts, list[Plane]]:
    """One file by the two looks that ingest takes at it."""
    preset = load_preset(modality)
    found = Probe(1, str(path), kind="dicom")
    reader.probe(found, look or LookFor(KEY))
    facts, planes = reader.read(found, Recipe(KEY, preset, 64, preset.storage == "hounsfield", **of_recipe))
    return facts, list(planes)


def probed(path: Path, **of_look: Any) -> Probe:
    found = Probe(1, str(path), kind="dicom")
    reader.probe(found, LookFor(KEY, **of_look))
    return found


def refused(path: Path, modality: str = "xray", **of_look: Any) -> tuple[str, str]:
    with pytest.raises(Refused) as caught:
        read(path, modality, look=LookFor(KEY, **of_look))
    return caught.value.outcome, caught.value.reason
