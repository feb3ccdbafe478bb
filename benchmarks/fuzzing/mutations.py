"""Ways to spoil a file: blindly, and where it hurts, in the fields that say how large everything is."""

from __future__ import annotations

from collections.abc import Callable

from fuzzing.archives import archive, npz
from fuzzing.blindly import Random, blind
from fuzzing.columns import parquet, safetensors
from fuzzing.dicom import dicom
from fuzzing.nifti import nifti
from fuzzing.pictures import raster
from fuzzing.tables import any_table, table
from fuzzing.texts import answers, json_text, yaml_text

KNOWING: dict[str, Callable[[bytes, Random], bytes]] = {
    "dicom": dicom,
    "dicomdir": dicom,
    "nifti": nifti,
    "raster": raster,
    "npz": npz,
    "zip": archive,
    "labels": table,
    "pipeline": yaml_text,
    "preset": yaml_text,
    "card": json_text,
    "config": json_text,
    "manifest": parquet,
    "images": npz,
    "weights": safetensors,
    "split": any_table,
    "synthetic-labels": any_table,
    "participants": table,
    "answers": answers,
}


def mutate(reader: str, data: bytes, others: list[bytes], rng: Random) -> bytes:
    """Spoil a file in one to three ways.

    Args:
        reader: Which reader it is for.
        data: The sound file.
        others: Files to splice pieces from.
        rng: Source of every choice.
    """
    knowing = KNOWING.get(reader)
    if knowing is not None and rng.random() < 0.6:
        try:
            data = knowing(data, rng)
        except Exception:  # an already spoilt file that its format's library does not take apart
            data = blind(data, others, rng)
        if rng.random() < 0.7:
            return data
    for _ in range(int(rng.integers(1, 4))):
        data = blind(data, others, rng)
    return data
