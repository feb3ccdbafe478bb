"""The checkpoint folder: generator.safetensors beside config.json; no pickle anywhere.

::

    config.json             classes, shapes, sizes of both networks, frozen plan, what it learnt from; written last
    generator.safetensors   first stage and network
    training.safetensors    discriminator, averages and optimisers at the end, with the facts as JSON in its metadata
    subjects.parquet        keyed hashes of the subjects it learnt from: `evaluate` refuses a leak
    card.json, card.md      for people: data, figures, plan, compute, limits
    metrics.jsonl           one row a check: losses, KID and coverage on tune
    samples/*.png           synthetic images, one class a row, fixed noise
"""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from medsyn.errors import DataError, MedsynError
from medsyn.generator.model import Generator
from medsyn.generator.sizes import check_sizes
from medsyn.generator.tensors import below
from medsyn.workspace import GENERATOR, atomic_file, read_json

SCHEMA_VERSION = 3
WEIGHTS = "generator.safetensors"
TRAINING = "training.safetensors"
SUBJECTS = "subjects.parquet"
_MEND = "Train again with 'medsyn train-gan', or put back the original file."


def save(generator: Generator, folder: Path) -> str:
    """Write the weights.

    Args:
        generator: What to save.
        folder: The checkpoint folder; config.json is the caller's to write, last, with the digest.

    Returns:
        SHA-256 of the file, for ``digest`` in config.json.
    """
    return write_tensors(folder / WEIGHTS, generator.state())


def write_tensors(path: Path, tensors: dict[str, torch.Tensor], metadata: dict[str, str] | None = None) -> str:
    """Write a safetensors file atomically; returns its SHA-256.

    Through memory: safetensors' own writer hides a full disk behind an error of its own kind.
    """
    data = save_tensors(tensors, metadata)
    with atomic_file(path) as partial:
        partial.write_bytes(data)
    return hashlib.sha256(data).hexdigest()


def load(path: str | Path, device: torch.device | str = "cpu") -> Generator:
    """Read a checkpoint folder.

    Args:
        path: The folder.
        device: Where the generator shall run.

    Raises:
        DataError: Missing or damaged file, weights that are not the committed ones, or a newer schema.
    """
    config_file, weights_file = Path(path) / GENERATOR.main_file, Path(path) / WEIGHTS
    config = read_json(config_file)
    if config.get("schema") != SCHEMA_VERSION:
        raise DataError(
            f"has schema {config.get('schema')!r}, this medsyn reads {SCHEMA_VERSION}",
            where=config_file,
            mend="Upgrade medsyn, or train again with 'medsyn train-gan'.",
        )
    try:
        data = weights_file.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror})", where=weights_file, mend=_MEND) from None
    if hashlib.sha256(data).hexdigest() != config.get("digest"):
        raise DataError("is not the file that was committed: its SHA-256 differs", where=weights_file, mend=_MEND)
    try:
        tensors = load_tensors(data)
        check_sizes(config, tensors)
        generator = Generator(config, device)
        generator.load_state(tensors)
    except MedsynError:
        raise
    except Exception as error:  # sizes that are none may go wrong anywhere
        first = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"does not fit the weights ({first})", where=config_file, mend=_MEND) from None
    return generator


def load_training(path: str | Path) -> tuple[str, dict[str, torch.Tensor]]:
    """Read what a training left for another one to start from.

    Args:
        path: A checkpoint folder.

    Returns:
        Digest of the generator, and the tensors of its training's state.

    Raises:
        DataError: Missing or damaged file, or not the one that was committed.
    """
    config, file = read_json(Path(path) / GENERATOR.main_file), Path(path) / TRAINING
    try:
        data = file.read_bytes()
        # Checkpoints of earlier versions do not say it.
        if hashlib.sha256(data).hexdigest() != config.get("training_digest", hashlib.sha256(data).hexdigest()):
            raise DataError("is not the file that was committed: its SHA-256 differs", where=file, mend=_MEND)
        tensors = load_tensors(data)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise DataError(f"cannot be read ({type(error).__name__})", where=file, mend=_MEND) from None
    return str(config.get("digest")), below(tensors, "trainer")
