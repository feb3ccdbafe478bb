from __future__ import annotations

import numpy as np
import pytest
from helpers import blobs
from scipy.ndimage import gaussian_filter

from medsyn.evaluate.checks import fidelity
from medsyn.evaluate.checks.fidelity import compare, equal_counts, is_far, judge
from medsyn.evaluate.checks.references import reference_samples
from medsyn.evaluate.inputs.sample import Sample
from medsyn.evaluate.results import Estimate, Fidelity, FidelityRow
from medsyn.metrics.diversity import effective_diversity
from medsyn.metrics.fidelity import fid, kid, prdc
from medsyn.metrics.two_sample import c2st

CLASSES = ["normal", "pneumonia"]


def extract(images: np.ndarray) -> np.ndarray:
    """Coarse pixels and their fine contrast: features without a network, for tests of what surrounds them."""
    blocks = images.reshape(len(images), 8, 4, 8, 4)
    return np.hstack([blocks.mean((2, 4)).reshape(len(images), -1), 4 * blocks.std((2, 4)).reshape(len(images), -1)])


def sample(n: int, seed: int, change=lambda images: images) -> Sample:
    images, labels = blobs(n, seed=seed)
    images = images + np.random.default_rng(seed).normal(0, 0.02, images.shape).astype(np.float32)
    images = change(images.clip(0, 1)).astype(np.float32)
    return Sample(images, extract(images), labels, np.array([f"{seed}-{i}" for i in range(n)]))


def run(synthetic: Sample, n: int = 160, **others: Sample) -> Fidelity:
    floor = sample(n, 2)
    others = {"synthetic": synthetic, "floor (real train)": floor, **others}
    return compare(sample(n, 1), others, CLASSES, 0, "extractor", "validation films")


def blur(images: np.ndarray) -> np.ndarray:
    return gaussian_filter(images, (0, 0, 1.2, 1.2))


@pytest.fixture(scope="module")
def honest() -> Fidelity:
    return run(sample(160, 3))


@pytest.fixture(scope="module")
def blurred() -> Fidelity:
    floor = sample(160, 2)
    references = reference_samples(floor.pixels, floor.labels, floor.units, [80, 80], 0, extract)
    return run(sample(160, 3, change=blur), **references)


def test_rows(honest):
    assert [(row.name, row.kind, row.scope, row.n) for row in honest.rows] == [
        (name, kind, scope, n)
        for scope, n in (("all", 160), ("normal", 80), ("pneumonia", 80))
        for name, kind in (("synthetic", "synthetic"), ("floor (real train)", "floor"))
    ]
    assert honest.extractor == "extractor"
    assert honest.held_out == (
        "validation films: 160 images of 160 subjects (normal 80, pneumonia 80), and as many of every other set"
    )


def test_row_holds_what_the_measures_say(honest):
    a, b = sample(160, 1), sample(160, 3)
    # Every image is drawn, in some order; what a measure says does not depend on it, but for the draws inside.
    row = next(row for row in honest.rows if row.scope == "pneumonia" and row.kind == "synthetic")
    real, fake = (s.features[s.labels == 1] for s in (a, b))
    assert row.kid.value == pytest.approx(kid(real, fake).value, rel=1e-6)
    assert row.coverage == prdc(real, fake).coverage
    assert row.vendi == pytest.approx(effective_diversity(real, fake), rel=1e-6)
    assert row.c2st.value == pytest.approx(c2st(real, fake).auroc, abs=0.15)
    assert row.fid is None  # 80 images
    assert 0 < row.ms_ssim < 1


def test_fid_from_enough_images_on(monkeypatch):
    monkeypatch.setattr(fidelity, "SMALLEST_FID", 160)
    result = run(sample(160, 3))
    assert [row.fid is not None for row in result.rows] == [True, True, False, False, False, False]
    assert result.rows[0].fid == pytest.approx(fid(sample(160, 1).features, sample(160, 3).features), rel=1e-5)


def test_honest_halves_are_not_called_far(honest):
    assert not honest.found
    assert honest.sentence.startswith("The synthetic images are not far from real ones: their distance")


def test_blur_is_called_far_and_placed_among_the_references(blurred):
    assert blurred.found
    assert "clearly unlike real ones, also in sharpness or noise" in blurred.sentence
    overall = {row.name: row for row in blurred.rows if row.scope == "all"}
    assert overall["synthetic"].spectrum > overall["floor (real train)"].spectrum + 3
    assert overall["synthetic"].texture > 2 * overall["floor (real train)"].texture
    assert overall["synthetic"].c2st.low > 0.9
    for name in ("copy of train", "SMOTE in pixels", "class Gaussian (PCA)"):
        assert overall[name].kind == "reference"
    assert any(name in blurred.sentence for name in ("copy of train", "SMOTE", "class Gaussian"))


def test_one_bad_class_is_named():
    good, bad = sample(160, 3), sample(160, 3, change=blur)
    mixed = good.labels == 0
    pixels = np.where(mixed[:, None, None, None], good.pixels, bad.pixels)
    result = run(Sample(pixels, extract(pixels), good.labels, np.full(160, "")))
    assert result.found
    assert "pneumonia" in result.sentence or "The synthetic images are clearly" in result.sentence
    far = {row.scope: row for row in result.rows if row.kind == "synthetic"}
    floor = {row.scope: row for row in result.rows if row.kind == "floor"}
    assert [is_far(far[s], floor[s]) for s in CLASSES] == [False, True]


def test_another_mix_of_classes_is_no_infidelity():
    synthetic = sample(400, 3)
    rows = np.concatenate([np.flatnonzero(synthetic.labels == 0)[:40], np.flatnonzero(synthetic.labels == 1)])
    result = run(synthetic.take(rows))
    assert {row.scope: row.n for row in result.rows} == {"all": 120, "normal": 40, "pneumonia": 80}
    assert not result.found


def test_counts_are_common_to_all_sets_and_capped():
    a, b = np.repeat([0, 1], [700, 900]), np.repeat([0, 1, 2], [600, 1400, 9])
    assert equal_counts([a[:50], b], 3) == [50, 0, 0]
    assert equal_counts([a, b], 2) == [400, 600]


def test_few_images_or_subjects_have_no_rows():
    synthetic = sample(160, 3)
    few = synthetic.take(np.concatenate([np.flatnonzero(synthetic.labels == c)[:n] for c, n in ((0, 80), (1, 9))]))
    assert {row.scope for row in run(few).rows} == {"all", "normal"}
    nobody = run(synthetic.take(np.arange(8)))
    assert (nobody.rows, nobody.found) == ([], False)
    assert nobody.sentence == "Fidelity was not judged: too few images or subjects are common to the sets."
    crowded = sample(160, 2)
    one = Sample(crowded.pixels, crowded.features, crowded.labels, np.full(160, "one"))
    assert compare(sample(160, 1), {"synthetic": synthetic, "floor (real train)": one}, CLASSES, 0, "", "").rows == []


def test_without_a_floor_nothing_is_judged():
    result = compare(sample(60, 1), {"synthetic": sample(60, 3, change=blur)}, CLASSES, 0, "", "")
    assert len(result.rows) == 3
    assert (result.found, result.sentence) == (False, "Fidelity was not judged: there is no floor to compare with.")


def row(kid: tuple[float, float, float], coverage: float, spectrum: float, kind="synthetic", name="synthetic"):
    return FidelityRow.model_construct(
        name=name,
        kind=kind,
        scope="all",
        kid=Estimate(value=kid[0], low=kid[1], high=kid[2]),
        coverage=coverage,
        spectrum=spectrum,
    )


@pytest.mark.parametrize(
    ("low", "coverage", "spectrum", "far"),
    [
        (0.2, 0.5, 0.5, True),
        (0.2, 0.9, 4.0, True),
        (0.2, 0.9, 0.5, False),  # unlike, but not by much
        (0.05, 0.5, 4.0, False),  # by much, but perhaps by chance
    ],
)
def test_rule(low, coverage, spectrum, far):
    floor = row((0.0, -0.1, 0.1), 0.95, 0.3, "floor")
    assert is_far(row((0.3, low, 0.4), coverage, spectrum), floor) is far


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (0.3, "stands between SMOTE in pixels (0.20) and class Gaussian (PCA) (0.90)"),
        (1.3, "No reference generator is further away; the furthest is class Gaussian (PCA) (0.90)"),
        (-0.1, "nearer than every reference generator; next is copy of train (0.01)"),
    ],
)
def test_sentence_places_the_set_among_the_references(value, words):
    names = {"class Gaussian (PCA)": 0.9, "copy of train": 0.01, "SMOTE in pixels": 0.2}
    references = [row((k, k, k), 0.9, 1, "reference", name) for name, k in names.items()]
    rows = [row((value, value, value), 0.9, 1), row((0.0, -0.1, 0.1), 0.9, 1, "floor"), *references]
    assert words in judge(rows, CLASSES)[1]
