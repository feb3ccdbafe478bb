"""What every later report must repeat about a dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

_WARNINGS = {
    "synthetic": "images say that they are synthetic: no patient is behind them, and a result on them says nothing "
    "about patients",
    "text": "images of kinds that often carry burned-in names (ultrasound, secondary capture) do not say "
    "BurnedInAnnotation=NO: look at them before sharing",
    "face": "images show heads: faces can be recognised from head volumes",
}
_SUBJECTS = {
    "study": "images without patient id: each study counts as one subject, and a patient may be in two splits",
    "file": "images without patient id: each file counts as one subject, and a patient may be in two splits",
    "folder": "images without patient id: each folder counts as one subject",
    "image": "images of an npz file: it holds no patient ids, each image counts as one subject, "
    "and a patient may be in two splits",
}


def tell(warned: Counter[str], subject_from: Counter[str]) -> list[str]:
    """Sentences about some images.

    Args:
        warned: Kind of warning (`medsyn.ingest.source.Facts.warnings`, ``synthetic``) -> images.
        subject_from: What tells whose image it is -> images.
    """
    told = [f"{subject_from[origin]} {text}" for origin, text in _SUBJECTS.items() if subject_from[origin]]
    return told + [f"{warned[kind]} {text}" for kind, text in _WARNINGS.items() if warned[kind]]


def unlabelled(fingerprint: Mapping[str, Any]) -> list[str]:
    """A sentence about images without a label beside others that have one.

    Args:
        fingerprint: Of the dataset.
    """
    n, images = fingerprint["unlabelled"], fingerprint["images"]
    return [f"{n} of {images} images have no label and are not trained on"] if 0 < n < images else []
