"""Do the intervals and verdicts of `medsyn evaluate` hold what they promise? Simulated scores, the real statistics.

    python benchmarks/statistics_simulation.py

No network is trained and no image read: the scores that trained classifiers would give are drawn from a known law and
then go through `scoring.score`, `statistics.bootstrap_weights`, `Scores.minus` and `verdict.decide` as in an
evaluation. The score of arm a, seed s, for an image of subject u with label y is

    score = (separation_a + luck_as) y + subject_u + arm x subject_au + arm x seed x subject_asu + image_asi,

every term normal; all but the first have variances that sum to 1, so that the true AUROC of two classes is known in
closed form. Images of a subject (2 each) share the three subject terms: they are clustered. ``luck`` is the variance
between trainings; arm x seed x subject is the interaction of trainings and subjects. Test subjects, luck and all else
are drawn anew in every simulation, so the estimand is the procedure: train again, test on other subjects.

Scenarios, at least 2,000 simulations each: no difference; +3 points of AUROC; as these two with 3 times the seed
variance in the synthetic arm; few subjects (8 positive, 32 negative; 5 positive, 35 negative); near the ceiling (AUROC
0.98); 3 classes with +3 points and without; and **no difference with selection on val**: 10 synthetic arms and 5
controls, all equally good, of which one each is chosen by val AUROC, val images being scored by the *same* trained
networks (their luck is shared between val and test, as it is in truth).

Reported: share of `helps` and `hurts`, share of 95 % intervals that hold the truth, each with its Monte-Carlo
standard error, and power (share of `helps`) beside theory: the power of a t test whose standard error is the true one,
taken from 4,000 (3 classes: 2,000; selection: 1,000) independent simulations without any bootstrap, at the median of
the estimated degrees of freedom.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from scipy.special import softmax
from scipy.stats import nct, norm
from scipy.stats import t as student

from medsyn import compute
from medsyn.evaluate import statistics, verdict
from medsyn.evaluate.measures import ranking, scoring

SUBJECT, ARM_SUBJECT, SEED_SUBJECT = 0.40, 0.10, 0.15  # shares of the variance; the rest is of the image
PER_SUBJECT = 2
SEEDS = 5
MARGIN = 0.01


@dataclass(frozen=True)
class Scenario:
    """What is drawn: subjects of each class, separations of control and synthetic arm, sd of their luck."""

    name: str
    subjects: tuple[int, ...]
    control: float
    effect: float = 0.0  # in AUROC
    luck: tuple[float, float] = (0.12, 0.12)
    candidates: tuple[int, int] = (1, 1)  # controls and synthetic arms to choose from on val

    @property
    def separations(self) -> tuple[float, float]:
        wanted = area(self.control, self.luck[0]) + self.effect
        return self.control, float(norm.ppf(wanted) * np.sqrt(2 + self.luck[1] ** 2))


def area(separation: float, luck: float) -> float:
    """True AUROC of two classes, averaged over trainings."""
    return float(norm.cdf(separation / np.sqrt(2 + luck**2)))


SCENARIOS = [
    Scenario("null", (60, 60), 1.3),
    Scenario("plus 3 points", (60, 60), 1.3, 0.03),
    Scenario("null, unequal seed variance", (60, 60), 1.3, 0.0, (0.12, 0.36)),
    Scenario("plus 3 points, unequal seed variance", (60, 60), 1.3, 0.03, (0.12, 0.36)),
    Scenario("null, few subjects (8 of 40)", (32, 8), 1.3),
    Scenario("plus 3 points, few subjects (8 of 40)", (32, 8), 1.3, 0.03),
    Scenario("null, fewest subjects (5 of 40)", (35, 5), 1.3),
    Scenario("null, near the ceiling (AUROC 0.98)", (60, 60), 2.92),
    Scenario("null, 3 classes", (40, 40, 40), 1.3),
    Scenario("plus 3 points, 3 classes", (40, 40, 40), 1.3, 0.03),
    Scenario("null, 10 synthetic arms and 5 controls, chosen on val", (60, 60), 1.3, candidates=(5, 10)),
]


def split(subjects: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Units and labels of a split."""
    units = np.repeat(np.arange(sum(subjects)), PER_SUBJECT)
    return units, np.repeat(np.repeat(np.arange(len(subjects)), subjects), PER_SUBJECT)


def probabilities(
    rng: np.random.Generator, labels: np.ndarray, classes: int, arms: list[tuple[float, np.ndarray]]
) -> list[np.ndarray]:
    """Scores of every arm (its separation and each seed's luck) on the same subjects, as ``[S, n, K]``."""
    n = len(labels) // PER_SUBJECT
    shape = (n, 1) if classes == 2 else (n, classes)
    hot = (labels == 1)[:, None] if classes == 2 else np.eye(classes)[labels]
    subject = rng.normal(0, np.sqrt(SUBJECT), shape)
    image = np.sqrt(1 - SUBJECT - ARM_SUBJECT - SEED_SUBJECT)
    found = []
    for separation, luck in arms:
        of_subject = subject + rng.normal(0, np.sqrt(ARM_SUBJECT), shape)
        of_subject = of_subject + rng.normal(0, np.sqrt(SEED_SUBJECT), (len(luck), *shape))
        score = np.repeat(of_subject, PER_SUBJECT, axis=1) + rng.normal(0, image, (len(luck), len(labels), shape[1]))
        score += (separation + luck)[:, None, None] * hot
        if classes == 2:
            p = norm.cdf(score[:, :, 0] - separation / 2)
            found.append(np.stack([1 - p, p], 2))
        else:
            found.append(softmax(score, axis=2))
    return found


def once(scenario: Scenario, rng: np.random.Generator) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """One study: the chosen control and synthetic arm on test."""
    units, labels = split(scenario.subjects)
    classes = len(scenario.subjects)
    arms = [
        (separation, rng.normal(0, luck, SEEDS))
        for separation, luck, count in zip(scenario.separations, scenario.luck, scenario.candidates, strict=True)
        for _ in range(count)
    ]
    controls = scenario.candidates[0]
    if len(arms) > 2:
        on_val = probabilities(rng, labels, classes, arms)
        val = [np.mean([ranking.auroc(seed, labels)[0] for seed in p]) for p in on_val]
        arms = [arms[int(np.argmax(val[:controls]))], arms[controls + int(np.argmax(val[controls:]))]]
    return probabilities(rng, labels, classes, arms), labels, units


def simulate(scenario: Scenario, simulations: int, draws: int) -> dict[str, object]:
    """All simulations of one scenario."""
    started = time.perf_counter()
    classes = len(scenario.subjects)
    truth = scenario.effect if classes == 2 else large(scenario)
    rng = compute.numpy_rng("statistics simulation", scenario.name)
    effects = []
    for i in range(simulations):
        arms, labels, units = once(scenario, rng)
        weights = statistics.bootstrap_weights(units, labels, draws, i)
        control, synthetic = (scoring.score(p, None, labels, units, weights, measures=("auroc",)) for p in arms)
        effects.append(synthetic.minus(control, "auroc"))
    decisions = [verdict.decide(e, MARGIN) for e in effects]
    shares = {d: decisions.count(d) / simulations for d in ("helps", "hurts", "equivalent", "no evidence")}
    covered = float(np.mean([e.low <= truth <= e.high for e in effects]))
    true_se = spread(scenario, 4_000 if classes == 2 else 2_000)
    df = float(np.median([e.df for e in effects if e.df]))
    result: dict[str, object] = {
        **asdict(scenario),
        "truth": round(truth, 5),
        "mean_effect": round(float(np.mean([e.value for e in effects])), 5),
        "decisions": {d: round(v, 4) for d, v in shares.items()},
        "decided": round(shares["helps"] + shares["hurts"], 4),
        "coverage": round(covered, 4),
        "coverage_mc_se": round(float(np.sqrt(covered * (1 - covered) / simulations)), 4),
        "true_se": round(true_se, 5),
        "root_mean_estimated_variance": round(float(np.sqrt(np.mean([e.se**2 for e in effects]))), 5),
        "median_df": round(df, 1),
        "mean_width": round(float(np.mean([e.high - e.low for e in effects])), 4),
        "seconds": 0.0,
    }
    if scenario.effect:
        power = shares["helps"]
        result["power"] = round(power, 4)
        result["power_mc_se"] = round(float(np.sqrt(power * (1 - power) / simulations)), 4)
        result["power_in_theory"] = round(float(nct.sf(student.isf(0.025, df), df, truth / true_se)), 4)
    result["seconds"] = round(time.perf_counter() - started, 1)
    return result


def spread(scenario: Scenario, simulations: int) -> float:
    """True standard error of the effect: independent simulations, no bootstrap."""
    rng = compute.numpy_rng("statistics simulation", "theory", scenario.name)
    if sum(scenario.candidates) > 2:
        simulations = 1_000
    values = []
    for _ in range(simulations):
        (control, synthetic), labels, _ = once(scenario, rng)
        values.append(
            np.mean(
                [ranking.auroc(b, labels) - ranking.auroc(a, labels) for a, b in zip(control, synthetic, strict=True)]
            )
        )
    return float(np.std(values, ddof=1))


def large(scenario: Scenario) -> float:
    """True difference of macro AUROCs with three classes, where no formula is at hand: 200 times 600 subjects."""
    if not scenario.effect and scenario.luck[0] == scenario.luck[1]:
        return 0.0
    rng = compute.numpy_rng("statistics simulation", "truth", scenario.name)
    big = replace(scenario, subjects=(200,) * len(scenario.subjects))
    values = []
    for _ in range(200):
        (control, synthetic), labels, _ = once(big, rng)
        values.append(
            np.mean(
                [ranking.auroc(b, labels) - ranking.auroc(a, labels) for a, b in zip(control, synthetic, strict=True)]
            )
        )
    return float(np.mean(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--simulations", type=int, default=2000)
    parser.add_argument("--draws", type=int, default=150)
    parser.add_argument("--only", type=int, nargs="+", help="numbers of scenarios, from 0")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "statistics_simulation.json")
    options = parser.parse_args()
    started = time.perf_counter()
    rows = []
    for i, scenario in enumerate(SCENARIOS):
        if options.only and i not in options.only:
            continue
        row = simulate(scenario, options.simulations, options.draws)
        rows.append(row)
        power = f", power {row['power']:.3f} (theory {row['power_in_theory']:.3f})" if "power" in row else ""
        print(
            f"{scenario.name}: coverage {row['coverage']:.3f}, helps or hurts {row['decided']:.3f}{power}, "
            f"se {row['root_mean_estimated_variance']:.4f} (true {row['true_se']:.4f}), {row['seconds']} s",
            flush=True,
        )
    numbers = {
        "command": " ".join(["python benchmarks/statistics_simulation.py", *sys.argv[1:]]),
        "simulations": options.simulations,
        "draws": options.draws,
        "seeds": SEEDS,
        "images_per_subject": PER_SUBJECT,
        "margin": MARGIN,
        "monte_carlo_se_of_5_percent": round(float(np.sqrt(0.05 * 0.95 / options.simulations)), 4),
        "scenarios": rows,
        "seconds": round(time.perf_counter() - started, 1),
        "machine": {
            "processor": platform.machine(),
            "cores": compute.cores(),
            "python": platform.python_version(),
            "numpy": np.__version__,
        },
    }
    options.out.parent.mkdir(exist_ok=True)
    options.out.write_text(json.dumps(numbers, indent=2) + "\n")


if __name__ == "__main__":
    main()
