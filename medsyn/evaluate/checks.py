"""The checks of a synthetic set that need no classifier, applied to an evaluation's inputs."""

from __future__ import annotations

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.config import EvaluateOptions
from medsyn.evaluate import collapse as collapse_test
from medsyn.evaluate import copying
from medsyn.evaluate import fidelity as fidelity_test
from medsyn.evaluate.comparison import FeatureBank
from medsyn.evaluate.galleries import Galleries, NearestPair, samples, to_uint8
from medsyn.evaluate.inputs import Images, Inputs, join, take
from medsyn.evaluate.results import Collapse, Copying, Fidelity

FEW_REFERENCES = 20
PAIRS = 12


def fidelity(inputs: Inputs, bank: FeatureBank, seed: int) -> Fidelity:
    """Synthetic and real training images against val and test, which no generator has seen."""
    val, test = inputs.splits["val"], inputs.splits["test"]
    held_out = np.concatenate([bank.plain["val"], bank.plain["test"]]), np.concatenate([val.labels, test.labels])
    others = {
        "synthetic": (bank.plain["synthetic"], inputs.synthetic.labels),
        "floor (real train)": (bank.plain["real"], inputs.real_train().labels),
    }
    return Fidelity(
        extractor=bank.extractor.name,
        held_out=f"val and test of {inputs.dataset.path.name}, equally many of each class in every set",
        rows=fidelity_test.rows(held_out, others, inputs.dataset.classes, seed),
    )


def collapse(inputs: Inputs, bank: FeatureBank, seed: int) -> Collapse:
    """Diversity of every class against the real training images."""
    real, synthetic = inputs.real_train(), inputs.synthetic
    return collapse_test.test(
        (bank.plain["real"], real.labels), (bank.plain["synthetic"], synthetic.labels), inputs.dataset.classes, seed
    )


def copies(inputs: Inputs, bank: FeatureBank, seed: int) -> tuple[Copying, list[NearestPair]]:
    """The copy test, and the closest pairs.

    The reference is tune and val: like the training images they come from the development part of the data. test
    may come from elsewhere (another hospital, another year) and would make every honest image look too near; it is
    added only where the others are too few.
    """
    train = inputs.splits["train"]
    pool, features = _reference(inputs, bank)
    chosen = copying.reference_rows(pool, seed)
    reference, reference_features = take(pool, chosen), features[chosen]
    n = min(len(inputs.synthetic), copying.LARGEST)
    rows = np.sort(numpy_rng("copying", seed).permutation(len(inputs.synthetic))[:n])
    ours = take(inputs.synthetic, rows)
    pixels = copying.in_pixels(ours.pixels, ours.labels, train.pixels, train.labels)
    result = copying.test(
        [copying.in_features(bank.plain["synthetic"][rows], ours.labels, bank.plain["train"], train.labels), pixels],
        ours.labels,
        [
            copying.in_features(reference_features, reference.labels, bank.plain["train"], train.labels),
            copying.in_pixels(reference.pixels, reference.labels, train.pixels, train.labels),
        ],
        reference.labels,
    )
    closest = [
        NearestPair(
            synthetic=to_uint8(ours.pixels[i]),
            train=to_uint8(train.pixels[pixels.train[i]]),
            label=inputs.dataset.classes[ours.labels[i]],
            distance=float(pixels.distance[i]),
        )
        for i in np.argsort(pixels.distance, kind="stable")[:PAIRS]
        if np.isfinite(pixels.distance[i])
    ]
    return result, closest


def _reference(inputs: Inputs, bank: FeatureBank) -> tuple[Images, np.ndarray]:
    tune, learnt = inputs.splits["tune"], inputs.generator_subjects or frozenset()
    subjects = inputs.dataset.table.loc[tune.rows, "subject"].to_numpy(str)
    unseen = np.array([s not in learnt and u not in learnt for s, u in zip(subjects, tune.units, strict=True)], bool)
    pool = join(take(tune, np.flatnonzero(unseen)), inputs.splits["val"])
    features = np.concatenate([bank.plain["tune"][unseen], bank.plain["val"]])
    classes = range(len(inputs.dataset.classes))
    if min(int((pool.labels == c).sum()) for c in classes) < FEW_REFERENCES:
        return join(pool, inputs.splits["test"]), np.concatenate([features, bank.plain["test"]])
    return pool, features


def warnings(inputs: Inputs, options: EvaluateOptions, look: int) -> list[str]:
    """Sentences about what weakens the evaluation: lineage, repeated looks, small sets."""
    found, real = [], len(inputs.real_train())
    if inputs.generator_subjects is None:
        found.append(
            "The generator's record of training subjects was not found: whether it has seen the validation or "
            "test subjects cannot be checked."
        )
    if look > 1:
        found.append(
            f"This is look number {look} at the test split of this dataset: choosing among evaluations by their test "
            "results makes them too good."
        )
    wanted = round(max(options.ratios) * real)
    if len(inputs.synthetic) < wanted:
        found.append(
            f"The synthetic set holds {len(inputs.synthetic)} images; a ratio of {max(options.ratios):g} asks for "
            f"{wanted}: arms that ask for more use all there are."
        )
    return found + [f"{c[0].upper()}{c[1:]}." for c in inputs.dataset.meta.get("caveats", [])]


def galleries(inputs: Inputs, closest: list[NearestPair]) -> Galleries:
    """Pictures for the report of the workspace."""
    held_out, classes = join(inputs.splits["val"], inputs.splits["test"]), inputs.dataset.classes
    return Galleries(
        synthetic=samples(inputs.synthetic.pixels, inputs.synthetic.labels, classes),
        real=samples(held_out.pixels, held_out.labels, classes),
        closest=closest,
    )
