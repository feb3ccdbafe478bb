"""What every format of single images has in common: pixels and their origin in, named bytes out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from medsyn.errors import UsageError


@dataclass(frozen=True)
class Origin:
    """What the images of a set come from; with `index` it makes any of them again.

    Attributes:
        checkpoint_digest: SHA-256 of the generator's weights.
        seed: Of the set.
        truncation: Of the noise.
        run: MLflow run that trained the generator, None where there was none.
        modality: Preset name.
        version: Of medsyn.
    """

    checkpoint_digest: str
    seed: int
    truncation: float
    run: str | None
    modality: str
    version: str

    @classmethod
    def of_generator(cls, config: Mapping[str, Any], seed: int, truncation: float) -> Origin:
        """Of images of the generator with this config.json."""
        from medsyn import __version__

        return cls(config["digest"], seed, truncation, config.get("mlflow_run"), config["modality"], __version__)

    @property
    def text(self) -> str:
        """For comments inside of files."""
        return f"medsyn, checkpoint {self.checkpoint_digest[:16]}, seed {self.seed}"

    def of(self, index: int) -> dict[str, str | int | float | None]:
        """All that makes candidate ``index`` again, by name."""
        return {
            "medsyn": self.version,
            "run": self.run,
            "checkpoint": self.checkpoint_digest,
            "seed": self.seed,
            "truncation": self.truncation,
            "index": index,
        }


class Encoder(Protocol):
    """One format. Picklable; what it makes is a pure function of its arguments: no clock, no random numbers."""

    @property
    def name(self) -> str:
        """As ``--format`` takes it."""
        ...

    def encode(self, pixels: np.ndarray, label: str, index: int) -> dict[str, bytes]:
        """One image as the files of this format.

        Args:
            pixels: uint8 or uint16 ``[C, H, W]``, 0 black; C 1 (grey) or 3 (RGB).
            label: Class name.
            index: Candidate number.

        Returns:
            Path relative to the set -> content; the image first, what stands beside it after it.
        """
        ...


def check_depth(formats: Sequence[str], channels: int, bits: int) -> None:
    """Refuse colour of more than 8 bits, which no format of single images holds so that all readers read it.

    Raises:
        UsageError: It is asked for.
    """
    wrong = next((name for name in formats if name != "npz"), None)
    if channels > 1 and bits > 8 and wrong:
        raise UsageError(
            f"{wrong} does not hold colour images of {bits} bits",
            where=f"--bits {bits}",
            mend="Leave it out, or say --format npz alone.",
        )


def patient_id(checkpoint_digest: str, seed: int, index: int) -> str:
    """Who a case is, as its own patient: in labels.csv, and in DICOM, where sets of several generators may meet."""
    return f"SYNTHETIC-{checkpoint_digest[:12]}-{seed}-{index:06d}"


def place(folder: str, label: str, index: int, suffix: str) -> str:
    """Where a file lies in the set: ``<folder>/<class>/<index>.<suffix>``."""
    return f"{folder}/{safe_name(label)}/{index:08d}.{suffix}"


def safe_name(label: str) -> str:
    """A label as a folder name: other characters than letters, digits, ``_`` and ``-`` become their code."""
    name = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else f"%{ord(c):02x}" for c in label)
    return name or "%"
