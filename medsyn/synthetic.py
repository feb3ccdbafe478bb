"""A synthetic set on disk: what `augment` writes, `evaluate` reads, and any other tool can open.

::

    card.json card.md              what this is, from which checkpoint, with which limits
    manifest.parquet manifest.csv  one row an image
    images/<class>/<number>.png    8-bit grey, with labels.csv beside
    images.npz                     MedMNIST's key layout: train_images, train_labels, ...
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from medsyn.errors import DataError
from medsyn.workspace import SYNTHETIC, read_json

SCHEMA_VERSION = 1

MANIFEST = pa.schema(
    [
        pa.field("index", pa.int64(), nullable=False),  # candidate number: with seed and checkpoint it makes the image
        pa.field("label", pa.string(), nullable=False),
        pa.field("accepted", pa.bool_(), nullable=False),
        pa.field("reason", pa.string()),  # why not accepted
        pa.field("file", pa.string()),  # PNG, relative; null where that format was not written
        pa.field("row", pa.int64()),  # place in images.npz; null where not accepted
        pa.field("seed", pa.int64(), nullable=False),
        pa.field("checkpoint_digest", pa.string(), nullable=False),
        pa.field("pixel_digest", pa.string(), nullable=False),  # SHA-256 of the 8-bit pixels
        pa.field("file_digest", pa.string()),  # SHA-256 of the PNG
        pa.field("scores", pa.map_(pa.string(), pa.float64())),  # selection rule -> score
        pa.field("nearest_train_distance", pa.float64()),  # root mean square grey difference, range [0, 1]
    ]
)


class SyntheticSet:
    """A committed synthetic set.

    Attributes:
        path: The folder.
        card: Content of card.json: ``modality``, ``classes``, ``n``, ``seed``, ``checkpoint_digest``, ``generator``,
            ``dataset_digest``, ``image_shape``, ...
    """

    def __init__(self, path: Path, card: dict[str, Any]) -> None:
        self.path, self.card = path, card

    @classmethod
    def open(cls, path: str | Path) -> SyntheticSet:
        """Open a set.

        Raises:
            DataError: Not a synthetic set, or one of a newer schema.
        """
        card = read_json(Path(path) / SYNTHETIC.main_file)
        if card.get("schema") != SCHEMA_VERSION:
            raise DataError(
                f"has schema {card.get('schema')!r}, this medsyn reads {SCHEMA_VERSION}",
                where=Path(path) / SYNTHETIC.main_file,
            )
        return cls(Path(path), card)

    def manifest(self) -> pd.DataFrame:
        """Accepted images in order of ``row``: the columns of `MANIFEST`."""
        table = pq.read_table(self.path / "manifest.parquet").to_pandas()
        return table[table["accepted"]].sort_values("row", ignore_index=True)

    def images(self) -> np.ndarray:
        """Accepted images in order of the manifest, float32 ``[n, C, H, W]`` in [0, 1]."""
        if (self.path / "images.npz").is_file():
            with np.load(self.path / "images.npz", allow_pickle=False) as arrays:
                pixels = arrays["train_images"]
        else:
            from PIL import Image

            files = [self.path / file for file in self.manifest()["file"]]
            pixels = np.stack([np.asarray(Image.open(file)) for file in files])
        pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        return pixels.astype(np.float32) / 255

    def labels(self, classes: list[str]) -> np.ndarray:
        """Class indices in order of the manifest, int64 ``[n]``, as places in ``classes``.

        Raises:
            DataError: A label that is not among ``classes``.
        """
        labels = self.manifest()["label"]
        unknown = sorted(set(labels) - set(classes))
        if unknown:
            raise DataError(
                f"has label '{unknown[0]}', which the dataset does not know",
                where=self.path / "manifest.parquet",
                mend=f"The dataset's classes: {', '.join(classes)}.",
            )
        return labels.map({c: i for i, c in enumerate(classes)}).to_numpy(np.int64)
