"""Reading a synthetic set."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from medsyn.errors import DataError
from medsyn.images import from_pixels
from medsyn.synthetic.manifest import SCHEMA_VERSION, SINGLE
from medsyn.synthetic.reading import read_image
from medsyn.workspace import SYNTHETIC, read_json


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

    def candidates(self) -> pd.DataFrame:
        """Every candidate that was judged, in order of its number: the columns of `MANIFEST`."""
        return self._table.copy()

    @cached_property
    def _table(self) -> pd.DataFrame:
        return pq.read_table(self.path / "manifest.parquet").to_pandas()

    def manifest(self) -> pd.DataFrame:
        """Accepted images in order of ``row``: the columns of `MANIFEST`."""
        table = self._table
        return table[table["accepted"]].astype({"row": "int64"}).sort_values("row", ignore_index=True)

    def images(self) -> np.ndarray:
        """Accepted images in order of the manifest, float32 ``[n, C, H, W]`` in [0, 1], from whichever format there is.

        Raises:
            DataError: A file is missing or damaged.
        """
        if (self.path / "images.npz").is_file():
            with np.load(self.path / "images.npz", allow_pickle=False) as arrays:
                pixels = arrays["train_images"]
            pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
        else:
            manifest = self.manifest()
            fmt = next((f for f in SINGLE if manifest[f].notna().all()), None)
            if fmt is None:
                raise DataError("is missing from its set", where=self.path / "images.npz", mend="Generate it again.")
            read = [read_image(self.path / name) for name in manifest[fmt]]
            pixels = np.stack(read) if read else np.zeros((0, *self.card["image_shape"]), np.uint8)
        return from_pixels(pixels)

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
