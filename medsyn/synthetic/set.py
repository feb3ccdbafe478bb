"""Reading a synthetic set."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from medsyn.errors import DataError
from medsyn.images import from_pixels
from medsyn.synthetic import arrays
from medsyn.synthetic.manifest import SCHEMA_VERSION, SINGLE, read_manifest
from medsyn.synthetic.reading import check, inside, read_image
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
            DataError: Not a synthetic set, one of a newer schema, or one whose card is damaged.
        """
        file = Path(path) / SYNTHETIC.main_file
        card = read_json(file)
        if card.get("schema") != SCHEMA_VERSION:
            raise DataError(f"has schema {card.get('schema')!r:.40}, this medsyn reads {SCHEMA_VERSION}", where=file)
        for key, kind in (("classes", str), ("image_shape", int)):
            values = card.get(key, [])
            if not isinstance(values, list) or not all(isinstance(value, kind) for value in values):
                raise DataError(f"'{key}' is no list of {kind.__name__}", where=file, mend="Generate the set again.")
        return cls(Path(path), card)

    def candidates(self) -> pd.DataFrame:
        """Every candidate that was judged, in order of its number: the columns of `MANIFEST`."""
        return self._table.copy()

    @cached_property
    def _table(self) -> pd.DataFrame:
        file = self.path / "manifest.parquet"
        table = read_manifest(file).to_pandas()
        rows = table.loc[table["accepted"], "row"].to_numpy(float)
        if not np.array_equal(np.sort(rows), np.arange(len(rows))):
            raise DataError("does not number its accepted images from 0", where=file, mend="Generate the set again.")
        return table

    def manifest(self) -> pd.DataFrame:
        """Accepted images in order of ``row``: the columns of `MANIFEST`."""
        table = self._table
        return table[table["accepted"]].astype({"row": "int64"}).sort_values("row", ignore_index=True)

    def images(self) -> np.ndarray:
        """Accepted images in order of the manifest, float32 ``[n, C, H, W]`` in [0, 1], from whichever format there is.

        Each is compared with its ``pixel_digest`` in the manifest, where that is told.

        Raises:
            DataError: A file is missing or damaged, or holds other pixels than the manifest says.
        """
        manifest, packed = self.manifest(), self.path / arrays.NAME
        digests = manifest["pixel_digest"]
        if packed.is_file():
            pixels = arrays.read_images(packed, len(manifest))
            pixels = pixels[:, None] if pixels.ndim == 3 else pixels.transpose(0, 3, 1, 2)
            for row, (image, digest) in enumerate(zip(pixels, digests, strict=True)):
                check(image, digest, arrays.image(packed, row))
        else:
            fmt = next((f for f in SINGLE if manifest[f].notna().all()), None)
            if fmt is None:
                raise DataError("is missing from its set", where=packed, mend="Generate it again.")
            files = [inside(self.path, name) for name in manifest[fmt]]
            read = [check(read_image(file), digest, file) for file, digest in zip(files, digests, strict=True)]
            if len({pixels.shape for pixels in read}) > 1:
                raise DataError("holds images of several shapes", where=self.path, mend="Generate the set again.")
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
        return np.asarray(labels.map({c: i for i, c in enumerate(classes)}), np.int64)
