"""A generator that needs no training, and images to write."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from helpers import blobs, closed_form_generator, make_dataset

from medsyn.augment.writers import ENCODERS, Encoder, Origin
from medsyn.workspace import Workspace

SIDE = 16
ORIGIN = Origin("0123456789abcdef" * 4, 7, 0.9, "f" * 32, "xray", "1.2.3")
KINDS = {"grey8": ((1, 13, 17), np.uint8), "grey16": ((1, 13, 17), np.uint16), "rgb8": ((3, 13, 17), np.uint8)}
"""Neither square nor of an even number of bytes: what is turned or not padded shows."""


def pixels(kind: str, seed: int = 0) -> np.ndarray:
    """Random pixels ``[C, H, W]`` of one of `KINDS`, from 0 to the largest value."""
    shape, dtype = KINDS[kind]
    found = np.random.default_rng(seed).integers(0, np.iinfo(dtype).max + 1, shape).astype(dtype)
    found[0, 0, 0], found[0, -1, -1] = 0, np.iinfo(dtype).max
    return found


def encode(fmt: str, kind: str, label: str = "normal", index: int = 123, origin: Origin = ORIGIN) -> dict[str, bytes]:
    encoder: Encoder = ENCODERS[fmt](origin)
    return encoder.encode(pixels(kind), label, index)


def tool(name: str) -> str:
    """A command that a package of the dev extra or of the system brings, or a skip."""
    found = shutil.which(name, path=str(Path(sys.executable).parent)) or shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on PATH")
    return found


def digest(fmt: str, kind: str) -> str:
    """SHA-256 of the files of a format."""
    return hashlib.sha256(b"".join(encode(fmt, kind).values())).hexdigest()


@cache
def digests_of_another_process() -> dict[str, str]:
    """``<format> <kind>`` -> what `digest` says later, in another place, with another order of hashes."""
    code = (
        "from augment.small import ENCODERS, KINDS, digest\n"
        "for fmt in ENCODERS:\n    for kind in KINDS:\n        print(f'{fmt} {kind}:{digest(fmt, kind)}')"
    )
    tests = Path(__file__).parent.parent
    paths = {"PYTHONPATH": f"{tests.parent}:{tests}", "PYTHONHASHSEED": "5", "TZ": "Asia/Tokyo"}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **paths}, capture_output=True, text=True, check=True
    )
    return dict(line.split(":") for line in done.stdout.splitlines())


def write_generator(workspace: Workspace, channels: int = 1) -> Path:
    """A class Gaussian of a small dataset, grey or in colours of which none is like another."""
    images, labels = blobs(160, side=SIDE)
    tints = np.array([1.0, 0.8, 0.6][:channels], np.float32)[:, None, None]
    return closed_form_generator(workspace, make_dataset(workspace, images * tints, labels))
