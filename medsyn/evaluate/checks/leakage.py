"""Do the splits share images, or subjects?"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from medsyn.evaluate.checks import singles
from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.results import Leakage


def test(train: Sample, held_out: Mapping[str, Sample], seed: int) -> Leakage:
    """Look for near-duplicates of training images, and for training subjects, in the other splits.

    Args:
        train: What classifiers or generators learn from.
        held_out: Split name -> its images.
        seed: Of the draws.
    """
    names = np.repeat(list(held_out), [len(s) for s in held_out.values()])
    pixels, units = (np.concatenate([getattr(s, field) for s in held_out.values()]) for field in ("pixels", "units"))
    other = ~np.isin(units, train.units)
    copies = np.zeros(len(units), bool)
    copies[other] = singles.find(pixels[other], train.pixels, train.units, seed, units[other]).copies
    checks, shared, near, examined = [], 0, int(copies.sum()), int(other.sum())
    for name, images in held_out.items():
        same, here = len(shared_units(train, images)), names == name
        shared += same
        checks.append(f"{same} subjects of {name} are in train, too.")
        checks.append(
            f"{int(copies[here].sum())} of {int(other[here].sum())} images of {name} all but equal a training image of "
            "another subject."
        )
    parts = [f"{shared} subjects are in train and in another split"] * (shared > 0)
    parts += [f"{near} of {examined} held-out images all but equal a training image of another subject"] * (near > 0)
    if parts:
        sentence = f"Leakage: {'; '.join(parts)}: scores on them flatter every arm. Name the patients and ingest again."
    else:
        sentence = (
            f"No sign of leakage: no subject is in train and in another split, and none of {examined} held-out images "
            "all but equals a training image."
        )
    return Leakage(near_duplicates=near, examined=examined, checks=checks, found=bool(parts), sentence=sentence)


def shared_units(a: Sample, b: Sample) -> list[str]:
    """Subjects that have images on both sides."""
    return sorted(set(a.units.tolist()) & set(b.units.tolist()))
