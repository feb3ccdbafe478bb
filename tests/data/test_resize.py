"""Masks go through the same square as their images, and many planes as each alone."""

from __future__ import annotations

import numpy as np
import pytest

from medsyn.data.resize import fit_mask, pad, shrink, shrink_all

SHAPES = [(28, 28), (35, 51), (51, 35), (97, 64), (33, 128), (301, 200), (512, 511), (20, 21)]
PIXELS = [(1.0, 1.0), (2.4, 0.86), (0.5, 1.5)]


def edges(values: np.ndarray) -> np.ndarray:
    """Top, bottom, left and right of what is true, in pixels."""
    rows, columns = np.flatnonzero(values.any(1)), np.flatnonzero(values.any(0))
    return np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("pixel", PIXELS)
@pytest.mark.parametrize("size", [64, 65, 224])
def test_a_mask_stays_on_its_image(shape: tuple[int, int], pixel: tuple[float, float], size: int) -> None:
    (h, w), mask = shape, np.zeros(shape, np.uint8)
    box = np.array([h // 5, h // 5 + h // 3, w // 2, w // 2 + w // 4])
    mask[box[0] : box[1], box[2] : box[3]] = 7
    small = shrink((mask > 0).astype(np.float32), size, pixel)
    fitted = fit_mask(mask, size, pixel)
    assert fitted.shape == (size, size)
    assert fitted.dtype == np.uint8
    assert set(np.unique(fitted)) == {0, 7}
    (height, width), (top, left) = small.shape, ((size - n) // 2 for n in small.shape)
    exact = box * np.repeat([height / h, width / w], 2) + np.repeat([top, left], 2)
    assert np.abs(edges(fitted) - exact).max() <= 0.5 + 1e-9
    # An enlarged edge rings, the same way on both sides of the box.
    image = edges(pad(small, size, 0.0) > 0.5)
    assert np.abs((image[::2] + image[1::2]) / 2 - (exact[::2] + exact[1::2]) / 2).max() <= 0.5
    padding = np.ones((size, size), bool)
    padding[top : top + height, left : left + width] = False
    assert not fitted[padding].any()


def test_at_full_resolution_every_pixel_stays() -> None:
    mask = np.random.default_rng(0).integers(0, 256, (40, 31), dtype=np.uint8)
    fitted = fit_mask(mask, 40)
    assert np.array_equal(fitted[:, 4:35], mask)
    assert not fitted[:, :4].any()
    assert not fitted[:, 35:].any()


@pytest.mark.parametrize("shape", [*SHAPES, (257, 64), (64, 257)])
@pytest.mark.parametrize("pixel", PIXELS)
@pytest.mark.parametrize("channels", [(), (3,)])
def test_many_planes_are_resized_bit_for_bit_as_each_alone(
    shape: tuple[int, int], pixel: tuple[float, float], channels: tuple[int, ...]
) -> None:
    planes = np.random.default_rng(0).normal(500, 300, (5, *shape, *channels)).astype(np.float32)
    assert np.array_equal(shrink_all(planes, 64, pixel), np.stack([shrink(plane, 64, pixel) for plane in planes]))
