"""Images of an images.npz one after another: it is compressed, so it can only be read forward, in flat memory."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from medsyn.errors import DataError


class NpzImages:
    """Images and labels of a set's images.npz.

    Args:
        file: The npz.
        n: Images that it must hold.

    Raises:
        DataError: It is missing or damaged, or holds something else.
    """

    def __init__(self, file: Path, n: int) -> None:
        self.file, self._next = file, 0
        try:
            self._arrays = np.load(file, allow_pickle=False)
            self._labels = self._arrays["train_labels"]
            self._member = self._arrays.zip.open("train_images.npy")
            np.lib.format.read_magic(self._member)
            self._shape, turned, self._dtype = np.lib.format.read_array_header_1_0(self._member)
        except Exception as error:  # damaged files may raise anything
            raise DataError(f"cannot be read ({type(error).__name__})", where=file) from None
        if turned or self._dtype not in (np.uint8, np.uint16) or len(self._shape) not in (3, 4):
            raise DataError("holds no images of 8 or 16 bits", where=file)
        if not self._shape[0] == len(self._labels) == n:
            raise DataError(f"holds {self._shape[0]} images and {len(self._labels)} labels, not {n}", where=file)

    def image(self, row: int) -> tuple[np.ndarray, int]:
        """Pixels ``[C, H, W]`` and class index of image ``row``; rows must be asked for in rising order.

        Raises:
            DataError: The file is damaged.
        """
        size = int(np.prod(self._shape[1:])) * self._dtype.itemsize
        try:
            self._member.seek((row - self._next) * size, 1)
            data = self._member.read(size)
            pixels = np.frombuffer(data, self._dtype).reshape(self._shape[1:])
            label = int(self._labels[row].item())
        except Exception as error:  # damaged files may raise anything
            raise DataError(f"cannot be read ({type(error).__name__})", where=self.file) from None
        self._next = row + 1
        return (pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))), label
