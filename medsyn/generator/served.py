"""A checkpoint behind MLflow's model server: the models-from-code file that MLflow stores with it and runs.

The rows of a request name ``label`` and, where they like, ``n`` images, ``seed`` and the first candidate ``index``; the
answer has one row an image: its label, seed and index, and the image as PNG in base64.
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any, NamedTuple

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc import PythonModel, PythonModelContext

from medsyn import compute
from medsyn.generator import load
from medsyn.images import synthetic_png, to_pixels

CHECKPOINT = "checkpoint"
MOST = 1024
"""Images of one request: more would keep others waiting."""


class Row(NamedTuple):
    """One row of a request: ``n`` images of a class, candidates ``index``, ``index`` + 1 ... of ``seed``."""

    label: str
    n: int = 1
    seed: int = 0
    index: int = 0  # type: ignore[assignment]  # a tuple's method of this name is nobody's here


class ServedGenerator(PythonModel):
    """Labelled images for rows of requests."""

    def load_context(self, context: PythonModelContext) -> None:
        """Read the checkpoint folder."""
        self._generator = load(Path(context.artifacts[CHECKPOINT]), compute.device())

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Generate.

        Args:
            context: Not looked at.
            model_input: Columns ``label`` and, optional, ``n`` (1), ``seed`` (0), ``index`` (0).
            params: ``truncation`` in (0, 1], see `Generator.draw`.

        Returns:
            Columns ``label``, ``seed``, ``index`` and ``image``, one row an image, in the order asked for.

        Raises:
            MlflowException: A label that is no class, negative numbers, or too many images; the server says 400.
        """
        made, truncation = self._generator, float((params or {}).get("truncation", 1.0))
        given = [{str(k): v for k, v in row.items()} for row in model_input.to_dict("records")]
        rows = [Row(str(r.pop("label")), **{k: int(v) for k, v in r.items()}) for r in given]
        _check(rows, made.classes, truncation)
        answer = []
        for label, n, seed, index in rows:
            numbers = np.arange(index, index + n, dtype=np.int64)
            images = made.sample(np.full(n, made.classes.index(label)), seed, numbers, truncation)
            origin = f"medsyn, checkpoint {made.config['digest'][:16]}, seed {seed}"
            for k, image in zip(numbers.tolist(), to_pixels(images), strict=True):
                png = base64.b64encode(synthetic_png(image, origin)).decode("ascii")
                answer.append({"label": label, "seed": seed, "index": k, "image": png})
        return pd.DataFrame(answer, columns=["label", "seed", "index", "image"])


def _check(rows: list[Row], classes: list[str], truncation: float) -> None:
    wrong = next((row.label for row in rows if row.label not in classes), None)
    if wrong is not None:
        raise MlflowException.invalid_parameter_value(f"no class '{wrong:.80}'; there are {', '.join(classes)}")
    if any(row.n < 1 or row.seed < 0 or row.index < 0 for row in rows):
        raise MlflowException.invalid_parameter_value("n must be at least 1, seed and index not negative")
    if sum(row.n for row in rows) > MOST:
        raise MlflowException.invalid_parameter_value(f"more than {MOST} images in one request")
    if not 0 < truncation <= 1:
        raise MlflowException.invalid_parameter_value("truncation must lie above 0 and not above 1")


mlflow.models.set_model(ServedGenerator())
