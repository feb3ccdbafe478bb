"""A classifier of the user's own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from medsyn import plugin
from medsyn.compute import keyed_seed
from medsyn.errors import UsageError
from medsyn.evaluate.classifiers import loop
from medsyn.evaluate.classifiers.augmentation import augmented_copies
from medsyn.evaluate.classifiers.base import Task
from medsyn.evaluate.classifiers.sampling import class_weights, oversampled

OPTION = "--classifier"


@dataclass(frozen=True)
class UserClassifier:
    """What ``module:factory`` makes: ``factory(channels, classes, side)``.

    It returns either a `torch.nn.Module` from images float32 ``[n, C, H, W]`` in [0, 1] to logits ``[n, classes]``,
    which is trained as our own networks are; or an object with ``fit(images, labels)`` and ``predict_proba(images)``
    as in scikit-learn, which is given the images and, with augmentation, one augmented copy of each. Oversampling
    repeats images for it; class weights reach it as ``sample_weight`` where ``fit`` takes that, else oversampling
    stands in for them.

    Args:
        name: ``module:factory``.
        folder: Where the module is looked for besides Python's own places: a worker may start elsewhere.
    """

    name: str
    folder: str

    def factory(self) -> Callable[[int, int, int], Any]:
        """Import the factory.

        Raises:
            UsageError: It cannot be imported or called.
        """
        return plugin.load(self.name, OPTION, self.folder)

    def fit_predict(self, task: Task) -> dict[str, np.ndarray]:
        """See `base.Classifier`.

        Raises:
            UsageError: The factory fails, or what it made has another interface or gives no probabilities.
        """
        channels, side = task.images.shape[1], task.images.shape[-1]
        with _seeded(self.name, task.seed):
            made = self._make(channels, task.classes, side)
            if isinstance(made, nn.Module):
                self._check_network(made, task)
                network = loop.train(self.name, self._make, task)
                return {name: loop.predict(network, images, task.device) for name, images in task.wanted.items()}
            if not (callable(getattr(made, "fit", None)) and callable(getattr(made, "predict_proba", None))):
                what = f"made a {type(made).__name__}"
                raise self._wrong(what, "Return a torch.nn.Module, or an object with fit and predict_proba.")
            return self._fit(made, task)

    def _make(self, channels: int, classes: int, side: int) -> Any:
        try:
            return self.factory()(channels, classes, side)
        except UsageError:
            raise
        except Exception as error:
            what = f"failed with {type(error).__name__}: {error}"
            raise self._wrong(what, f"It is called as factory({channels}, {classes}, {side}).") from error

    def _check_network(self, network: nn.Module, task: Task) -> None:
        """Two images through the network: its mistakes are told in one line, not from within a training."""
        images = torch.from_numpy(np.ascontiguousarray(task.images[:2]))
        try:
            with torch.no_grad():
                logits = network.eval()(images)
        except Exception as error:
            what = f"the network fails on images {list(images.shape)} ({type(error).__name__}: {error})"
            raise self._wrong(what, "Build it for the channels and side it is called with.") from error
        shape = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
        if shape != [len(images), task.classes]:
            raise self._wrong(f"the network gives {shape}", f"Give logits [{len(images)}, {task.classes}].")
        if not any(p.requires_grad for p in network.parameters()):
            raise self._wrong("the network has no weight to train", "Leave requires_grad on for some.")

    def _fit(self, model: Any, task: Task) -> dict[str, np.ndarray]:
        images, labels = task.images, task.labels
        if task.augmentation is not None:
            images = np.concatenate([images, augmented_copies(images, task.augmentation, task.seed)])
            labels = np.concatenate([labels, labels])
        extra = {}
        if task.balance == "weights" and _takes_weights(model.fit):
            extra["sample_weight"] = class_weights(labels, task.classes)[labels]
        elif task.balance != "none":
            rows = oversampled(labels, task.seed)
            images, labels = images[rows], labels[rows]
        task.check_stop()
        try:
            model.fit(images, labels, **extra)
        except Exception as error:
            what = f"fit failed with {type(error).__name__}: {error}"
            raise self._wrong(what, f"It is given images {list(images.shape)} and labels.") from error
        found = {}
        for name, wanted in task.wanted.items():
            task.check_stop()
            found[name] = self._probabilities(model, wanted, labels, task.classes)
        return found

    def _probabilities(self, model: Any, images: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
        try:
            given = np.asarray(model.predict_proba(images), np.float64)
        except Exception as error:
            what = f"predict_proba failed with {type(error).__name__}: {error}"
            raise self._wrong(what, f"It is given images {list(images.shape)}.") from error
        # Estimators of scikit-learn have columns for the classes they saw alone.
        columns = np.asarray(getattr(model, "classes_", np.arange(classes)))
        if given.shape != (len(images), len(columns)) or not np.isin(columns, np.arange(classes)).all():
            raise self._wrong(f"predict_proba gives {list(given.shape)}", f"Give [{len(images)}, {classes}].")
        if not np.isfinite(given).all() or (given < 0).any() or np.abs(given.sum(1) - 1).max(initial=0) > 1e-3:
            raise self._wrong("predict_proba gives no probabilities", "Each row must be positive and sum to 1.")
        out = np.zeros((len(images), classes))
        out[:, columns] = given
        return out

    def _wrong(self, what: str, mend: str) -> UsageError:
        return UsageError(what, where=f"{OPTION} {self.name}", mend=mend)


def _takes_weights(fit: Callable[..., Any]) -> bool:
    try:
        return "sample_weight" in inspect.signature(fit).parameters
    except (TypeError, ValueError):
        return False


@contextmanager
def _seeded(*key: object) -> Iterator[None]:
    """Seed NumPy's and torch's global generators, which the user's code may draw from, and put them back."""
    before = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed(*key))
        np.random.seed(keyed_seed(*key) % 2**32)
        try:
            yield
        finally:
            np.random.set_state(before)
