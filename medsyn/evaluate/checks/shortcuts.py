"""Can the label be told from how an image was acquired, without seeing what it shows?"""

from __future__ import annotations

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from medsyn.evaluate.measures.ranking import auroc
from medsyn.evaluate.results import Estimate, Shortcut
from medsyn.evaluate.statistics import bootstrap_weights

PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
FEATURES = [
    "mean brightness",
    "contrast (deviation)",
    *(f"brightness, percentile {p}" for p in PERCENTILES),
    "brightness of the edge",
    "height",
    "width",
    "aspect ratio",
]

SHARE = 0.8
LEAST = 0.65
"""Called out where the AUROC is at least LEAST, and its excess over 0.5 at least this share of the control's."""


def test(
    train: tuple[np.ndarray, np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray],
    control: float | None,
    draws: int,
    seed: int,
) -> Shortcut:
    """Fit a forest on brightness and size alone, and measure it beside the control.

    Args:
        train: Pixels ``[n, C, H, W]``, source heights and widths ``[n, 2]``, labels ``[n]``.
        test: The same, and subjects ``[n]``.
        control: AUROC of the chosen real-only control on the same test images; None where there is none: then an AUROC
            of `LEAST` alone is called out.
        draws: Of the bootstrap over subjects.
        seed: Of forest and bootstrap.
    """
    (pixels, sizes, labels), (test_pixels, test_sizes, test_labels, units) = train, test
    present = np.unique(labels)
    known = np.isin(test_labels, present)
    if len(present) < 2 or len(np.unique(test_labels[known])) < len(present):
        return Shortcut(
            tested=False, features=FEATURES, auroc=None, control=control, found=False,
            sentence="Shortcuts were not tested: a class is missing from train or test.",
        )  # fmt: skip
    p = probabilities((pixels, sizes, labels), test_pixels[known], test_sizes[known], seed)
    truth = np.searchsorted(present, test_labels[known])
    value = float(auroc(p, truth)[0])
    spread = np.nanstd(auroc(p, truth, bootstrap_weights(units[known], truth, draws, seed)), ddof=1)
    low, high = max(0.0, value - 1.96 * float(spread)), min(1.0, value + 1.96 * float(spread))
    found = value >= LEAST and low > 0.5 and (control is None or value - 0.5 >= SHARE * (control - 0.5))
    measured = f"brightness and size alone reach AUROC {value:.2f} ({low:.2f} to {high:.2f})"
    if control is not None:
        measured += f", the control that sees the images {control:.2f}"
    if found:
        sentence = (
            f"The labels follow how the images were acquired: {measured}. A gain may be a gain in telling scanners or "
            "views apart; compare within one view and source."
        )
    else:
        sentence = f"No sign of a shortcut by acquisition: {measured}."
    return Shortcut(
        tested=True, features=FEATURES, auroc=Estimate(value=value, low=low, high=high), control=control, found=found,
        sentence=sentence,
    )  # fmt: skip


def probabilities(
    train: tuple[np.ndarray, np.ndarray, np.ndarray], pixels: np.ndarray, sizes: np.ndarray, seed: int
) -> np.ndarray:
    """Class probabilities ``[n, K]`` from brightness and size; K classes are those of the training labels."""
    forest = RandomForestClassifier(
        100, min_samples_leaf=5, max_features=0.5, class_weight="balanced", random_state=seed % 2**32
    )
    forest.fit(describe(*train[:2]), train[2])
    return forest.predict_proba(describe(pixels, sizes))


def describe(pixels: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """The `FEATURES` of images ``[n, C, H, W]`` in [0, 1] and source sizes ``[n, 2]`` in pixels, ``[n, features]``."""
    grey = pixels.mean(1)
    flat = grey.reshape(len(grey), -1)
    rim = max(1, grey.shape[-1] // 16)
    edge = np.ones(grey.shape[1:], bool)
    edge[rim:-rim, rim:-rim] = False
    height, width = sizes[:, 0].astype(float), sizes[:, 1].astype(float)
    columns = [flat.mean(1), flat.std(1), *np.percentile(flat, PERCENTILES, axis=1)]
    return np.stack([*columns, grey[:, edge].mean(1), height, width, width / np.maximum(height, 1)], axis=1)
