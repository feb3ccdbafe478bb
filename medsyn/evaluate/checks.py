"""The checks of a synthetic set that need no classifier, applied to an evaluation's inputs."""

from __future__ import annotations

import numpy as np

from medsyn.compute import numpy_rng
from medsyn.config import EvaluateOptions
from medsyn.data.splits import FEW_UNITS
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
        "floor (real train)": (bank.plain["real"], inputs.real_train.labels),
    }
    return Fidelity(
        extractor=bank.extractor.name,
        held_out=f"val and test of {inputs.dataset.path.name}, equally many of each class in every set",
        rows=fidelity_test.rows(held_out, others, inputs.dataset.classes, seed),
    )


def collapse(inputs: Inputs, bank: FeatureBank, seed: int) -> Collapse:
    """Diversity of every class against the real training images."""
    real, synthetic = inputs.real_train, inputs.synthetic
    return collapse_test.test(
        (bank.plain["real"], real.labels), (bank.plain["synthetic"], synthetic.labels), inputs.dataset.classes, seed
    )


def copies(inputs: Inputs, bank: FeatureBank, seed: int) -> tuple[Copying, list[NearestPair]]:
    """The copy test, and the closest pairs of all synthetic images.

    Everything real comes from the dataset that the generator learnt from, whatever dataset the arms are compared on.
    The reference is its tune and val: like the training images they come from the development part of the data. test
    may come from elsewhere (another hospital, another year) and would make every honest image look too near; it is
    added only where the others are too few.
    """
    if inputs.origin is None:
        return copying.untested("the dataset that the generator learnt from is not in this workspace"), []
    train, features = inputs.origin["train"], bank.of_origin("train")
    pool, pool_features = _reference(inputs.origin, bank, len(inputs.dataset.classes))
    chosen = copying.reference_rows(pool, seed)
    reference, reference_features = take(pool, chosen), pool_features[chosen]
    n = min(len(inputs.synthetic), copying.LARGEST)
    rows = np.sort(numpy_rng("copying", seed).permutation(len(inputs.synthetic))[:n])
    ours = take(inputs.synthetic, rows)
    everywhere = _in_all_classes(inputs.synthetic, train)
    result = copying.test(
        [
            copying.in_features(bank.plain["synthetic"][rows], ours.labels, features, train.labels),
            copying.in_pixels(ours.pixels, ours.labels, train.pixels, train.labels),
        ],
        ours.labels,
        [
            copying.in_features(reference_features, reference.labels, features, train.labels),
            copying.in_pixels(reference.pixels, reference.labels, train.pixels, train.labels),
        ],
        reference.labels,
        copying.singles(everywhere, _in_all_classes(reference, train)),
    )
    closest = [
        NearestPair(
            synthetic=to_uint8(inputs.synthetic.pixels[i]),
            train=to_uint8(train.pixels[everywhere.train[i]]),
            label=inputs.dataset.classes[inputs.synthetic.labels[i]],
            distance=float(everywhere.distance[i]),
        )
        for i in np.argsort(everywhere.distance, kind="stable")[:PAIRS]
    ]
    return result, closest


def _in_all_classes(images: Images, train: Images) -> copying.Nearest:
    return copying.in_pixels(images.pixels, np.zeros(len(images), int), train.pixels, np.zeros(len(train), int))


def _reference(origin: dict[str, Images], bank: FeatureBank, classes: int) -> tuple[Images, np.ndarray]:
    pool = join(origin["tune"], origin["val"])
    features = np.concatenate([bank.of_origin("tune"), bank.of_origin("val")])
    if np.bincount(pool.labels, minlength=classes).min() < FEW_REFERENCES:
        return join(pool, origin["test"]), np.concatenate([features, bank.of_origin("test")])
    return pool, features


def warnings(inputs: Inputs, options: EvaluateOptions, look: int) -> list[str]:
    """Sentences about what weakens the evaluation: lineage, repeated looks, small sets."""
    found, real = [], len(inputs.real_train)
    if inputs.generator_subjects is None:
        found.append(
            "The generator's record of training subjects was not found: whether it has seen the validation or "
            "test subjects cannot be checked."
        )
    if inputs.absent:
        found.append(
            f"The synthetic set has no {' or '.join(repr(c) for c in inputs.absent)}: the arm that trains on synthetic "
            "images only is left out."
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
    units = inputs.dataset.meta["fingerprint"]["units_per_class"].values()
    if any(counts.get(split, 0) < FEW_UNITS for counts in units for split in ("train", "val", "test")):
        found.append("Arms are compared on the one stored split: 'evaluate' does not cross-validate yet.")
    return found + [f"{c[0].upper()}{c[1:]}." for c in inputs.dataset.meta.get("caveats", [])]


def galleries(inputs: Inputs, closest: list[NearestPair]) -> Galleries:
    """Pictures for the report of the workspace."""
    held_out, classes = join(inputs.splits["val"], inputs.splits["test"]), inputs.dataset.classes
    return Galleries(
        synthetic=samples(inputs.synthetic.pixels, inputs.synthetic.labels, classes),
        real=samples(held_out.pixels, held_out.labels, classes),
        closest=closest,
    )
