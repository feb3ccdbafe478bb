"""The checks of a synthetic set that need no trained arm, applied to the images of one evaluation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from medsyn.data.splits import FEW_UNITS
from medsyn.evaluate import results
from medsyn.evaluate.checks import collapse, copying, fidelity, labels, leakage, references, shortcuts, singles
from medsyn.evaluate.checks.galleries import Galleries, NearestPair, samples
from medsyn.evaluate.comparison.bank import Bank
from medsyn.evaluate.comparison.cells import Cell
from medsyn.evaluate.inputs.images import Images, join
from medsyn.evaluate.inputs.resolve import Inputs
from medsyn.images import to_pixels

FEW_REFERENCES = 20
PAIRS = 12


@dataclass(frozen=True)
class Examined:
    """What is examined: one synthetic set, and the real images around it.

    Attributes:
        cell: The images that arms of the first repeat are trained and tested on.
        origin: split -> images of the dataset that the generator learnt from; None where it is not at hand.
        regenerated: Whether the generator was trained in this evaluation, on this draw.
    """

    cell: Cell
    origin: dict[str, Images] | None
    regenerated: bool

    @classmethod
    def of(cls, inputs: Inputs, cell: Cell, *, regenerated: bool) -> Examined:
        """What the first draw holds."""
        own = {name: getattr(cell, name) for name in ("train", "tune", "val", "test")}
        return cls(cell, own if regenerated else inputs.origin, regenerated)

    @property
    def held_out(self) -> Images:
        """val and test, which no generator has seen."""
        return join(self.cell.val, self.cell.test)


class Checks:
    """Runs the checks.

    Args:
        inputs: Of the evaluation.
        examined: The synthetic set and the real images around it.
        bank: Features.
        seed: Of the draws.
        unfiltered: The synthetic set with nothing filtered out; None where that is not known.
    """

    def __init__(
        self, inputs: Inputs, examined: Examined, bank: Bank, seed: int, unfiltered: Images | None = None
    ) -> None:
        self.inputs, self.examined, self.bank, self.seed = inputs, examined, bank, seed
        self.unfiltered = unfiltered
        self.classes = inputs.classes

    def fidelity(self) -> results.Fidelity:
        """Synthetic and real training images, and the reference generators, against held-out real images."""
        cell, held_out = self.examined.cell, self.examined.held_out
        sets = {fidelity.SYNTHETIC: self.bank.sample(cell.synthetic)}
        if self.unfiltered is not None:
            sets[fidelity.UNFILTERED] = self.bank.sample(self.unfiltered)
        sets[fidelity.FLOOR] = self.bank.sample(cell.real)
        counts = fidelity.equal_counts([held_out.labels, *(s.labels for s in sets.values())], len(self.classes))
        made = references.reference_samples(
            cell.real.pixels, cell.real.labels, cell.real.units, counts, self.seed, self.bank.extractor
        )
        return fidelity.compare(
            self.bank.sample(held_out),
            sets | made,
            self.classes,
            self.seed,
            self.bank.extractor.name,
            f"val and test of {self.inputs.dataset.path.name}",
        )

    def collapse(self) -> results.Collapse:
        """Diversity of every class against the real images."""
        cell = self.examined.cell
        return collapse.test(self.bank.sample(cell.real), self.bank.sample(cell.synthetic), self.classes, self.seed)

    def copies(self) -> tuple[results.Copying, list[NearestPair]]:
        """The copy tests, and the closest pairs of all synthetic images.

        Everything real comes from the dataset that the generator learnt from, whatever dataset the arms are compared
        on. The reference is its tune and val: like the training images they come from the development part of the
        data. test may come from elsewhere (another hospital, another year) and would make every honest image look too
        near; it is added only where the others are too few.
        """
        origin, synthetic = self.examined.origin, self.examined.cell.synthetic
        if origin is None:
            return copying.untested("the dataset that its generator learnt from is not in this workspace"), []
        unseen = join(origin["tune"], origin["val"])
        if self.examined.regenerated:
            unseen = join(unseen, self.examined.cell.more)
        if np.bincount(unseen.labels, minlength=len(self.classes)).min() < FEW_REFERENCES:
            unseen = join(unseen, origin["test"])
        train = origin["train"]
        result, closest = copying.test(
            self.bank.sample(synthetic), self.bank.sample(train), self.bank.sample(unseen), self.classes, self.seed
        )
        pairs = [
            NearestPair(
                synthetic=to_pixels(synthetic.pixels[i]),
                train=to_pixels(train.pixels[j]),
                label=self.classes[synthetic.labels[i]],
                distance=distance,
            )
            for i, j, distance in closest[:PAIRS]
        ]
        return result, pairs

    def copies_among(self, pixels: np.ndarray) -> int | None:
        """How many of some images ``[n, C, H, W]`` all but equal a training image; None where there is none to see."""
        train = self.examined.origin and self.examined.origin["train"]
        if not train:
            return None
        return int(singles.find(pixels, train.pixels, train.units, self.seed).copies.sum())

    def leakage(self, cells: Sequence[Cell]) -> results.Leakage:
        """Between the splits of the dataset, and from its test split into the synthetic set.

        Args:
            cells: With cross-validation every fold of the first repeat; else the one that is examined, in whose place
                the whole development part of the dataset stands: another draw may hold what this one leaves out.
        """
        if len(cells) == 1:
            parts = [(join(cells[0].real, cells[0].more), {"val": self.inputs.split("val"), "test": cells[0].test})]
        else:
            parts = [(cell.real, {"val": cell.val, "test": cell.test}) for cell in cells]
        if self.inputs.external is not None:
            parts[0][1][f"external ({self.inputs.external.dataset.path.name})"] = self.inputs.external.images
        tested = [
            leakage.test(self.bank.sample(real), {n: self.bank.sample(i) for n, i in held_out.items()}, self.seed)
            for real, held_out in parts
        ]
        found = max(tested, key=lambda one: one.near_duplicates)
        if self.inputs.given is not None and self.inputs.generator_subjects is None:
            seen, sentence = self.knows()
            found = found.model_copy(update={"checks": [*found.checks, sentence], "learnt_from_test": seen})
            if seen:
                found = found.model_copy(update={"found": True, "sentence": f"{found.sentence} {sentence}"})
        return found

    def knows(self) -> tuple[bool, str]:
        """Whether the generator seems to have learnt from test subjects, for sets that come without a record."""
        cell = self.examined.cell
        made, test, val = (self.bank.sample(images) for images in (cell.synthetic, cell.test, cell.val))
        return copying.knows(made, test, val, self.classes, self.seed)

    def labels(self) -> results.Labels:
        """Whether the synthetic labels mean what the real ones do."""
        cell = self.examined.cell
        return labels.test(
            self.bank.sample(cell.real), self.bank.sample(cell.val), self.bank.sample(cell.synthetic), self.seed
        )

    def shortcut(self, control: float, draws: int) -> results.Shortcut:
        """Whether brightness and size alone tell the label, beside the AUROC of the control on the same images."""
        cell = self.examined.cell
        size = self.inputs.table[["source_height", "source_width"]]
        real, test = cell.real, cell.test
        return shortcuts.test(
            (real.pixels, size.loc[real.rows].to_numpy(), real.labels),
            (test.pixels, size.loc[test.rows].to_numpy(), test.labels, test.units),
            control,
            draws,
            self.seed,
        )

    def galleries(self, closest: list[NearestPair]) -> Galleries:
        """Pictures for the report of the workspace."""
        cell, held_out = self.examined.cell, self.examined.held_out
        return Galleries(
            synthetic=samples(cell.synthetic.pixels, cell.synthetic.labels, self.classes),
            real=samples(held_out.pixels, held_out.labels, self.classes),
            closest=closest,
        )

    def warnings(self, ratios: list[float], look: int, *, folds: bool) -> list[str]:
        """Sentences about what weakens the evaluation: lineage, repeated looks, small sets."""
        found, cell = [], self.examined.cell
        given = self.inputs.given
        if given is not None and given.foreign:
            found.append("The synthetic set comes from another tool: whom its generator learnt from is not known.")
            found += given.card.get("notes", [])
        elif given is not None and self.inputs.generator_subjects is None:
            found.append(
                "The generator's record of training subjects was not found: whether it has seen the validation or "
                "test subjects cannot be checked."
            )
        present = set(cell.synthetic.labels.tolist())
        absent = [name for c, name in enumerate(self.classes) if c not in present]
        if absent:
            found.append(
                f"The synthetic set has no {' or '.join(repr(c) for c in absent)}: the arm that trains on synthetic "
                "images only is left out."
            )
        if look > 1:
            found.append(
                f"This is look number {look} at the test split of this dataset: choosing among evaluations by their "
                "test results makes them too good."
            )
        wanted = round(max(ratios) * len(cell.real))
        if len(cell.synthetic) < wanted:
            found.append(
                f"The synthetic set holds {len(cell.synthetic)} images; a ratio of {max(ratios):g} asks for {wanted}: "
                f"all there are, x{len(cell.synthetic) / len(cell.real):.3g}, stand in for larger ratios."
            )
        units = self.inputs.dataset.meta["fingerprint"]["units_per_class"].values()
        few = any(counts.get(split, 0) < FEW_UNITS for counts in units for split in ("train", "val", "test"))
        if few and not folds:
            found.append("A class has few subjects in some split: --folds 5 tests every subject once.")
        return found + [f"{c[0].upper()}{c[1:]}." for c in self.inputs.dataset.meta.get("caveats", [])]


def covariates(inputs: Inputs, test: Images) -> dict[str, np.ndarray]:
    """Name -> value of each test image, None where it is not known."""
    rows = inputs.table.loc[test.rows]
    return {name.replace("_", " "): rows[name].to_numpy(object) for name in ("view", "sex", "age_band", "vendor")}
