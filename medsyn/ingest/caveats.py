"""What every later report must repeat about a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

_WARNINGS = {
    "synthetic": "synthetic by their own word: no patient is behind them, and a result on them says nothing about "
    "patients",
    "text": "of kinds that often carry burned-in names (ultrasound, secondary capture), without the word "
    "BurnedInAnnotation=NO: look at them before sharing",
    "face": "of heads: faces can be recognised from head volumes",
}
_SUBJECTS = {
    "study": "without patient id: each study counts as one subject, and a patient may be in two splits",
    "file": "without patient id: each file counts as one subject, and a patient may be in two splits",
    "folder": "without patient id: each folder counts as one subject",
    "image": "of an npz file: it holds no patient ids, each image counts as one subject, "
    "and a patient may be in two splits",
}


def tell(warned: Counter[str], subject_from: Counter[str]) -> list[str]:
    """Sentences about some images.

    Args:
        warned: Kind of warning (`medsyn.ingest.source.Facts.warnings`, ``synthetic``) -> images.
        subject_from: What tells whose image it is -> images.
    """
    told = [f"{_images(subject_from[origin])} {text}" for origin, text in _SUBJECTS.items() if subject_from[origin]]
    return told + [f"{_images(warned[kind])} {text}" for kind, text in _WARNINGS.items() if warned[kind]]


def unlabelled(fingerprint: Mapping[str, Any]) -> list[str]:
    """A sentence about images without a label beside others that have one.

    Args:
        fingerprint: Of the dataset.
    """
    n, images = fingerprint["unlabelled"], fingerprint["images"]
    said = "has no label and is not trained on" if n == 1 else "have no label and are not trained on"
    return [f"{n} of {images} images {said}"] if 0 < n < images else []


def _images(n: int) -> str:
    return "1 image" if n == 1 else f"{n} images"
