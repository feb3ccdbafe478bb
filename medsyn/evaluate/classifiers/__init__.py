"""The classifiers that arms are compared with."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from medsyn.errors import UsageError
from medsyn.evaluate.classifiers import monai_networks
from medsyn.evaluate.classifiers.base import Classifier, Task
from medsyn.evaluate.classifiers.cnn import SmallCNN
from medsyn.evaluate.classifiers.loop import NetworkClassifier
from medsyn.evaluate.classifiers.probe import ProbeClassifier
from medsyn.evaluate.classifiers.user import UserClassifier

__all__ = ["BUILT_IN", "Classifier", "Task", "get"]

BUILT_IN: dict[str, Callable[[], Classifier]] = {
    "probe": ProbeClassifier,
    "cnn": partial(NetworkClassifier, "cnn", SmallCNN),
    "densenet121": partial(NetworkClassifier, "densenet121", monai_networks.densenet121),
    "resnet18": partial(NetworkClassifier, "resnet18", monai_networks.resnet18),
}


def get(name: str) -> Classifier:
    """The classifier of this name; it can be pickled.

    Args:
        name: One of `BUILT_IN`, or ``module:factory`` of the user's own (see `user.UserClassifier`), which is looked
            for in the current folder too.

    Raises:
        UsageError: No such name, or a factory that cannot be imported or called.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]()
    if ":" not in name:
        raise UsageError(
            f"unknown classifier '{name}'",
            where="--classifier",
            mend=f"Use one of {', '.join(BUILT_IN)}, or module:factory of your own.",
        )
    own = UserClassifier(name, str(Path.cwd()))
    own.factory()  # what cannot be imported is told before anything is computed
    return own
