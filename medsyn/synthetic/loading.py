"""A synthetic set as a dataset of torch, or as the list of files and labels that MONAI takes."""

from __future__ import annotations

import shutil
import tempfile
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from torch.utils.data import Dataset

from medsyn.errors import DataError, UsageError
from medsyn.synthetic import arrays
from medsyn.synthetic.item import item
from medsyn.synthetic.manifest import SINGLE, read_manifest
from medsyn.synthetic.reading import check, inside, read_image
from medsyn.synthetic.set import SyntheticSet
from medsyn.workspace import SYNTHETIC, Workspace, disk_errors


def load_synthetic(path: str | Path | None = None, *, workspace: str | Path | None = None) -> SyntheticImages:
    """Open a synthetic set for a training loop.

    Args:
        path: Folder of the set, or its name in the workspace; default: the newest set of the workspace.
        workspace: Folder; default: ``MEDSYN_WORKSPACE``, else ``./medsyn-workspace``.

    Returns:
        A map-style dataset of torch, see `SyntheticImages`; ``.as_dicts()`` gives files and labels instead.

    Warns:
        UserWarning: The set holds fewer images than were asked for.

    Raises:
        MissingError: No such set.
        DataError: Not a synthetic set, of another schema, or without images.
    """
    if path is not None and Path(path).is_dir() and not (Path(path) / SYNTHETIC.main_file).is_file():
        raise DataError(
            f"is not a synthetic set: it holds no {SYNTHETIC.main_file}",
            where=path,
            mend="Name a folder that 'medsyn augment' made.",
        )
    opened = SyntheticSet.open(Workspace(workspace).chosen(SYNTHETIC, path))
    if opened.card.get("complete") is False:
        told = "holds fewer images than were asked for, see 'wanted' and 'images_per_class' in its card.json"
        warnings.warn(f"{opened.path}: {told}", stacklevel=2)
    return SyntheticImages(opened)


class SyntheticImages(Dataset[dict[str, Any]]):
    """The accepted images of a set, in order of its manifest; each is read when it is asked for.

    An image is a dict of ``image`` (float32 tensor ``[C, H, W]`` in [0, 1], 0 black), ``label`` (int, a place in
    `classes`), ``class`` (str), ``index`` (int, the candidate's number) and ``synthetic`` (True). Of several formats
    the first of PNG, DICOM and NIfTI is read. The images.npz of a set that has nothing else is unpacked to a temporary
    file, which takes as much disk as the pixels and goes with this object.

    Args:
        opened: The set.

    Attributes:
        path: The set's folder.
        card: Content of card.json.
        classes: Class names.
        labels: Class index of each image, int64 ``[n]``.

    Raises:
        DataError: No image, or a manifest that is damaged or does not fit the rest.
    """

    def __init__(self, opened: SyntheticSet) -> None:
        self.path, self.card = opened.path, opened.card
        self.classes: list[str] = list(opened.card.get("classes", []))
        table = _accepted(opened.path / "manifest.parquet")
        self.labels = _places(table["label"], self.classes, opened.path / "manifest.parquet")
        self._index, self._digests = table["index"].to_numpy(), table["pixel_digest"]
        self._files = {name: table[name] for name in SINGLE if len(table) and not table[name].null_count}
        self._unpacked: np.ndarray | None = None
        if not self._files:
            self._unpack()

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, place: int) -> dict[str, Any]:
        """Image number ``place`` of the set.

        Raises:
            IndexError: There are fewer.
            DataError: Its file is missing or damaged, or holds other pixels than the manifest says.
        """
        label = int(self.labels[place])
        return item(self._pixels(place), label, self.classes[label], int(self._index[place]))

    def as_dicts(self, fmt: str | None = None) -> list[dict[str, Any]]:
        """Files and labels, for ``monai.data.Dataset(dicts, LoadImaged("image"))``, which compares no digest.

        A file holds whole numbers, 0 to 255 or 65,535, and MONAI's readers give its axes as ``[W, H]``,
        those of a NIfTI file as ``[W, H, 1]``.

        Args:
            fmt: ``png``, ``dicom`` or ``nifti``; default: the first of these that the set has.

        Returns:
            One dict an image, in order: as those of this dataset, but ``image`` is the path of its file.

        Raises:
            UsageError: The set has no files of this format.
            DataError: It has no files of single images at all.
        """
        if not self._files:
            raise DataError(
                "has no files of single images, only images.npz",
                where=self.path,
                mend="Use its images without as_dicts(), or run 'medsyn augment --format png'.",
            )
        if fmt is not None and fmt not in self._files:
            raise UsageError(
                f"no files of format '{fmt}'", where=self.path, mend=f"There are: {', '.join(self._files)}."
            )
        folder = self.path.absolute()
        files = self._files[fmt or next(iter(self._files))].to_pylist()
        return [
            {
                "image": str(inside(folder, file)),
                "label": label,
                "class": self.classes[label],
                "index": k,
                "synthetic": True,
            }
            for file, label, k in zip(files, self.labels.tolist(), self._index.tolist(), strict=True)
        ]

    def _pixels(self, place: int) -> np.ndarray:
        digest = self._digests[place].as_py()
        if self._files:
            file = inside(self.path, next(iter(self._files.values()))[place].as_py())
            return check(read_image(file), digest, file)
        assert self._unpacked is not None
        pixels = np.asarray(self._unpacked[place])
        pixels = pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))
        return check(pixels, digest, arrays.image(self.path / arrays.NAME, place))

    def _unpack(self) -> None:
        """Map the pixels of images.npz, which is compressed as a whole."""
        file = self.path / arrays.NAME
        if not file.is_file():
            raise DataError("holds no images", where=self.path, mend="Generate the set again.")
        arrays.check_images(file, len(self))
        # Without a name: it goes with its last user, however that one ends.
        with disk_errors(Path(tempfile.gettempdir())), tempfile.TemporaryFile() as plain:
            try:
                with zipfile.ZipFile(file) as archive, archive.open(arrays.MEMBER) as member:
                    shutil.copyfileobj(member, plain)
            except (zipfile.BadZipFile, zlib.error, EOFError) as error:
                raise DataError(
                    f"cannot be read ({type(error).__name__})", where=file, mend="Generate the set again."
                ) from None
            plain.seek(0)
            shape, dtype = arrays.read_header(plain)
            self._unpacked = np.memmap(plain, dtype, "r", plain.tell(), shape) if len(self) else np.empty(shape, dtype)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_unpacked": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not self._files:
            self._unpack()


def _accepted(file: Path) -> pa.Table:
    table = read_manifest(
        file, ["index", "label", "row", *SINGLE, "accepted", "pixel_digest"], [("accepted", "==", True)]
    )
    return table.sort_by("row").combine_chunks()


def _places(labels: pa.ChunkedArray, classes: list[str], file: Path) -> np.ndarray:
    found = pc.index_in(labels, value_set=pa.array(classes, pa.string()))
    if found.null_count:
        name = labels.filter(found.is_null())[0].as_py()
        raise DataError(f"has label '{name}', which card.json does not know", where=file)
    return np.asarray(found.to_numpy(), np.int64)
