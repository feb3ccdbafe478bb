"""medsyn: labelled synthetic scans from few real ones, and the truth about whether they help.

>>> import medsyn
>>> medsyn.ingest("scans", labels="labels.csv", modality="xray")
>>> medsyn.train_gan(budget="10m")
>>> medsyn.augment(5000)
>>> medsyn.evaluate().report.verdict.sentence
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
__all__ = [
    "Dataset",
    "MedsynError",
    "SyntheticSet",
    "SyntheticStream",
    "Workspace",
    "augment",
    "collect_garbage",
    "compare",
    "evaluate",
    "explore",
    "export_model",
    "ingest",
    "inspect_dataset",
    "list_models",
    "load_synthetic",
    "promote_model",
    "reader_study",
    "score_readers",
    "send",
    "status",
    "train_gan",
    "verify_synthetic",
]

if TYPE_CHECKING:
    from medsyn.api import (
        augment,
        collect_garbage,
        compare,
        evaluate,
        explore,
        export_model,
        ingest,
        inspect_dataset,
        list_models,
        promote_model,
        reader_study,
        score_readers,
        send,
        status,
        train_gan,
        verify_synthetic,
    )
    from medsyn.augment.stream import SyntheticStream
    from medsyn.data import Dataset
    from medsyn.errors import MedsynError
    from medsyn.synthetic import SyntheticSet
    from medsyn.synthetic.loading import load_synthetic
    from medsyn.workspace import Workspace

_WHERE = {
    "Dataset": "medsyn.data",
    "MedsynError": "medsyn.errors",
    "SyntheticSet": "medsyn.synthetic",
    "SyntheticStream": "medsyn.augment.stream",
    "Workspace": "medsyn.workspace",
    "collect_garbage": "medsyn.api",
    "compare": "medsyn.api",
    "explore": "medsyn.api",
    "export_model": "medsyn.api",
    "inspect_dataset": "medsyn.api",
    "list_models": "medsyn.api",
    "load_synthetic": "medsyn.synthetic.loading",
    "promote_model": "medsyn.api",
    "reader_study": "medsyn.api",
    "score_readers": "medsyn.api",
    "send": "medsyn.api",
    "status": "medsyn.api",
    "train_gan": "medsyn.api",
    "verify_synthetic": "medsyn.api",
}
_CALLABLE_PACKAGES = ("ingest", "augment", "evaluate")


def __getattr__(name: str) -> Any:
    """Import on first use: ``import medsyn`` and ``medsyn --help`` must not pay for torch."""
    if name in _WHERE:
        return getattr(import_module(_WHERE[name]), name)
    if name in _CALLABLE_PACKAGES:
        return import_module(f"medsyn.{name}")
    raise AttributeError(f"module 'medsyn' has no attribute '{name}'")
