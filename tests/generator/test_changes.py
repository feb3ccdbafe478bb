import numpy as np

from medsyn.generator.first_stage.changes import MOST, NUMBERS, SHIFT, changed


def blob(n: int) -> np.ndarray:
    y, x = np.mgrid[:32, :32]
    return np.repeat(np.exp(-((x - 15.5) ** 2 + (y - 15.5) ** 2) / 30)[None, None], n, 0).astype(np.float32)


def test_what_is_told_is_what_was_done() -> None:
    images, told = changed(blob(200), 3)
    assert told.shape == (200, NUMBERS)
    assert np.abs(told).max() <= MOST
    weight = np.clip(images - images.mean((1, 2, 3), keepdims=True), 0, None)
    x = np.arange(32.0)
    centre = (weight * x).sum((1, 2, 3)) / weight.sum((1, 2, 3)) - 15.5
    # An image is sampled `shift` further on, so what it shows moves the other way.
    assert np.corrcoef(centre, -told[:, 0])[0, 1] > 0.97
    assert centre.std() / (SHIFT * 32 * told[:, 0].std()) > 0.8
    assert np.corrcoef(images.mean((1, 2, 3)), told[:, 5])[0, 1] > 0.9
    assert np.corrcoef(images.std((1, 2, 3)), told[:, 4])[0, 1] > 0.7


def test_the_same_seed_changes_alike() -> None:
    first, again, other = (changed(blob(5), seed)[0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (first != other).any()
