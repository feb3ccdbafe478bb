"""Relaxation times of tissues, and the signal that a sequence makes of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["SEQUENCES", "Contrast", "Tissue", "signals"]

Contrast = Literal["flair", "t1", "t2"]
Tissue = Literal[
    "csf", "grey", "white", "fat", "muscle", "skin", "bone", "oedema", "low_grade", "high_grade", "necrosis"
]

_WHITE = (500.0, 70.0, 0.77)

TISSUES: dict[Tissue, tuple[float, float, float]] = {
    "csf": (4300.0, 329.0, 1.0),
    "grey": (833.0, 83.0, 0.86),
    "white": _WHITE,
    "fat": (350.0, 70.0, 1.0),
    "muscle": (900.0, 47.0, 1.0),
    "skin": (900.0, 47.0, 1.0),
    "bone": (900.0, 47.0, 0.03),
    "oedema": (752.0, 237.0, 0.76),
    "low_grade": (1.45 * _WHITE[0], 1.5 * _WHITE[1], 0.84),
    "high_grade": (2.0 * _WHITE[0], 2.4 * _WHITE[1], 0.84),
    "necrosis": (2600.0, 220.0, 0.92),
}
"""T1 and T2 in ms at 1.5 T, and proton density over that of fluid.

Normal tissues, and oedema as the free water of a white-matter lesion, are those of BrainWeb (Kwan, Evans and Pike 1999,
IEEE Trans. Med. Imaging 18:1085; "muscle/skin", "MS lesion"), but for T1 of fluid, which is that of the ventricles
(Rooney et al. 2007, Magn. Reson. Med. 57:308). Solid tumours have the ratios to white matter of the same subject that
de Blank et al. (2019, Pediatr. Neurosurg. 54:310) measured: T1 1.45 and 2.0, T2 1.5 and 2.4 for low and high grades.
Compact bone gives next to no signal. A necrotic core is put between tumour and fluid, by assumption.
"""


@dataclass(frozen=True)
class Sequence:
    """Spin echo, after an inversion where ``inversion`` is given; times in ms."""

    repetition: float
    echo: float
    inversion: float | None = None

    def signal(self, t1: float, t2: float, density: float) -> float:
        """Magnitude, relative to fluid that is fully relaxed and read at once (Bloch equations, 90 degrees)."""
        left = math.exp(-self.repetition / t1)
        along = 1 - left if self.inversion is None else 1 - 2 * math.exp(-self.inversion / t1) + left
        return density * abs(along) * math.exp(-self.echo / t2)


def _null(t1: float, repetition: float) -> float:
    """Inversion time at which a tissue gives no signal."""
    return t1 * (math.log(2) - math.log1p(math.exp(-repetition / t1)))


SEQUENCES: dict[Contrast, Sequence] = {
    "flair": Sequence(9000.0, 120.0, _null(TISSUES["csf"][0], 9000.0) * 1.06),
    "t1": Sequence(520.0, 12.0),
    "t2": Sequence(6000.0, 95.0),
}
"""As radiology departments set them. Fluid is attenuated, not nulled: it flows."""


def signals(contrast: Contrast) -> dict[Tissue, float]:
    """Signal of every tissue over that of white matter.

    Raises:
        KeyError: another contrast.
    """
    sequence = SEQUENCES[contrast]
    white = sequence.signal(*_WHITE)
    return {name: sequence.signal(*times) / white for name, times in TISSUES.items()}
