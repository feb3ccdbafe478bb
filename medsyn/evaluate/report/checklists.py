"""Two checklists filled from the results: what medsyn knows is written in, what it does not know stays blank.

The 7 Cs: Zamzmi et al. 2025, Scorecard for synthetic medical data evaluation (doi 10.1038/s44172-025-00450-1, arXiv
2406.11143). Names and meanings were checked against the description of the seven criteria in the README of the FDA's
GenAI ScoreCard toolbox; they are put in our own words here.

CLAIM: Tejani et al. 2024 (doi 10.1148/ryai.240300), 44 items. Numbers and subjects were checked against two public
transcriptions of the list, not against the journal's page; they are put in our own words here.
"""

from __future__ import annotations

from dataclasses import dataclass

from medsyn.evaluate.report.numbers import interval, measure_name
from medsyn.evaluate.results import FidelityRow, Report
from medsyn.page.numbers import count, modality_name, number, signed

SCORECARD_SOURCE = (
    "Zamzmi et al. 2025, doi 10.1038/s44172-025-00450-1. Names and meanings checked against the README of the FDA's "
    "GenAI ScoreCard toolbox; in our words. This is no assessment by the FDA."
)
CLAIM_SOURCE = (
    "CLAIM 2024 update, Tejani et al., doi 10.1148/ryai.240300. Item numbers and subjects checked against public "
    "transcriptions of the list; in our words: wording not verified against the journal's page. Blank: medsyn cannot "
    "know it; the authors must fill it in."
)


@dataclass(frozen=True)
class Item:
    """One line of a checklist; no answer: medsyn does not know."""

    name: str
    meaning: str
    answers: list[str]
    section: str = ""  # id of the part of the report that has the details
    heading: str = ""  # part of the checklist


def scorecard(report: Report) -> list[Item]:
    """The seven criteria of the synthetic medical data scorecard, with what this evaluation measured of each."""
    synthetic = next((r for r in report.fidelity.rows if r.scope == "all" and r.kind == "synthetic"), None)
    floor = next((r for r in report.fidelity.rows if r.scope == "all" and r.kind == "floor"), None)
    return [
        Item(
            "Congruence",
            "Do synthetic and real images follow the same distribution?",
            [*_congruence(synthetic, floor), report.fidelity.sentence],
            "fidelity",
        ),
        Item(
            "Coverage",
            "Do they show the whole range of real patients, and anything new?",
            [*_coverage(synthetic, floor), report.collapse.sentence],
            "diversity",
        ),
        Item(
            "Constraint",
            "Do they keep the limits that anatomy, physics and the clinic set?",
            [
                f"Labels: {report.labels.sentence}" if report.labels.tested else "",
                "Anatomical plausibility was not measured here: it needs readers, see their section.",
            ],
            "labels",
        ),
        Item(
            "Completeness",
            "Is everything there that the task needs?",
            [
                f"{count(report.synthetic.n)} images, each with one of {len(report.dataset.classes)} labels: "
                + ", ".join(f"{name} {count(n)}" for name, n in report.synthetic.images_per_class.items())
                + ".",
                _absent(report),
            ],
            "data",
        ),
        Item(
            "Compliance",
            "Are privacy, formats and rules kept?",
            [
                report.copying.sentence,
                _membership(report),
                "No formal privacy guarantee (such as differential privacy) was computed, and no rule of any country "
                "was checked.",
            ],
            "privacy",
        ),
        Item(
            "Comprehension",
            "Is it clear how the data were made, and written down?",
            [
                f"Generator: {report.synthetic.generator}, checkpoint {report.synthetic.checkpoint_digest[:12]}.",
                f"Learnt from: {_ended(report.synthetic.generator_subjects)}",
                f"{len(report.settings)} settings and {len(report.software)} software versions are listed.",
            ],
            "settings",
        ),
        Item(
            "Consistency",
            "Is quality the same in every subgroup, class and repetition?",
            [*_gaps(report), *_repeats(report), *_classes(report)],
            "subgroups",
        ),
    ]


def claim(report: Report) -> list[Item]:
    """The 44 items of CLAIM 2024; only what an evaluation knows is answered."""
    known = _claim_answers(report)
    return [
        Item(str(k), subject, known.get(k, ([], ""))[0], known.get(k, ([], ""))[1], part) for k, part, subject in CLAIM
    ]


def _claim_answers(report: Report) -> dict[int, tuple[list[str], str]]:
    verdict, dataset = report.verdict, report.dataset
    shape = " × ".join(map(str, dataset.image_shape))
    compared = "; ".join(f"{s.name}: {_ended(s.description)}" for s in report.compared)
    subjects = [f"{s.name}: test {_counts(s.test_subjects)} subjects." for s in report.compared]
    needed = (
        [f"{count(verdict.needed_subjects)} test subjects would make {number(verdict.margin)} detectable."]
        if verdict.needed_subjects is not None
        else []
    )
    detectable = (
        [f"Detectable in 80 % of repetitions: {number(verdict.detectable)}."] if verdict.detectable is not None else []
    )
    ends = interval(verdict.effect, difference=True)
    primary = f"{measure_name(verdict.measure)}, “{verdict.arm}” minus “{verdict.control}”"
    external = (
        [f"External dataset {report.external.name}, {_sums(report.external.images_per_class)} images."]
        if report.external
        else ["None: not measured."]
    )
    return {
        1: (
            [f"Deep learning: {verdict.classifier} classifier; synthetic images by {report.synthetic.generator}."],
            "settings",
        ),
        4: ([f"Primary: {primary}; margin {number(verdict.margin)}."], "verdict"),
        6: (["Feasibility: whether adding synthetic images changes a classifier."], "verdict"),
        7: ([f"Dataset {dataset.name}, digest {dataset.digest[:12]}."], "data"),
        9: ([f"{modality_name(dataset.modality)} images brought to {shape} (channels × pixels)."], "data"),
        10: ([compared] if compared else [], "settings-compared"),
        19: (
            [
                "Fixed once at ingest, by subject within class, or as the user gave them; stored with the dataset."
                if report.verdict.setting == "all data"
                else "Drawn by subject within class, as the settings compared say."
            ],
            "data",
        ),
        20: (["Subject, widened to subjects that share an image.", report.leakage.sentence], "data"),
        21: ([*subjects, *detectable, *needed], "verdict"),
        22: ([f"{a} classifier." for a in dict.fromkeys(a.classifier for a in report.arms)], "settings"),
        23: ([", ".join(f"{name} {version}" for name, version in report.software.items()) + "."], "settings"),
        25: (["Every setting is listed; all arms share architecture, steps and selection."], "settings"),
        26: (["Arms, thresholds and networks are chosen on val; test is opened for chosen arms."], "utility"),
        28: (["Ranking, decisions at two thresholds, probabilities: see the tables."], "utility"),
        29: ([verdict.estimand, "Holm's correction over the secondary differences."], "utility"),
        30: (
            [
                f"{len(report.compared)} settings, {len({a.classifier for a in report.arms})} classifiers.",
                report.shortcut.sentence,
            ],
            "settings-compared",
        ),
        32: ([f"Test split of {dataset.name}, looks at it so far: {len(report.looks_at_test)}."], "data"),
        33: (external, "utility"),
        35: ([_split_counts(report)], "data"),
        37: ([verdict.sentence], "verdict"),
        38: (
            [f"Difference {signed(verdict.effect.value)}, 95 % interval {ends or 'none'}."],
            "verdict",
        ),
        40: (["See the limits below.", *verdict.warnings], "limits"),
        42: (["The evaluation is repeatable from the pipeline file in the report."], "settings"),
    }


def _congruence(synthetic: FidelityRow | None, floor: FidelityRow | None) -> list[str]:
    if synthetic is None:
        return []
    beside = f"; real training images: {number(floor.kid.value, 4)}" if floor else ""
    return [f"KID {number(synthetic.kid.value, 4)}{beside}."]


def _coverage(synthetic: FidelityRow | None, floor: FidelityRow | None) -> list[str]:
    if synthetic is None:
        return []
    beside = f" (real training images {number(floor.recall)} and {number(floor.coverage)})" if floor else ""
    return [f"Recall {number(synthetic.recall)}, coverage {number(synthetic.coverage)}{beside}."]


def _membership(report: Report) -> str:
    found = report.copying.membership
    if found is None:
        return ""
    ends = f" ({interval(found.auroc)})" if interval(found.auroc) else ""
    return f"Membership inference: AUROC {number(found.auroc.value)}{ends}; 0.5 is chance."


def _absent(report: Report) -> str:
    absent = [name for name in report.dataset.classes if not report.synthetic.images_per_class.get(name)]
    return f"Without a synthetic image: {', '.join(absent)}." if absent else ""


def _gaps(report: Report) -> list[str]:
    return [
        f"{gap.covariate}: AUROC differs by {number(gap.control)} between groups without, {number(gap.synthetic)} with "
        "synthetic images."
        for gap in report.gaps
    ]


def _repeats(report: Report) -> list[str]:
    seeds = report.verdict.effect.per_seed
    return [f"Repeats of the training: {signed(min(seeds))} to {signed(max(seeds))}."] if seeds else []


def _classes(report: Report) -> list[str]:
    ratios = report.collapse.per_class.values()
    return (
        [f"Diversity of the classes, synthetic over real: {number(min(ratios), 2)} to {number(max(ratios), 2)}."]
        if ratios
        else []
    )


def _split_counts(report: Report) -> str:
    units: dict[str, int] = {}
    for counts in report.dataset.units_per_class.values():
        for split, n in counts.items():
            units[split] = units.get(split, 0) + n
    sums = ", ".join(f"{split} {count(n)}" for split, n in units.items())
    return f"Subjects of the stored split, one with images of two classes counted in both: {sums}."


def _sums(table: dict[str, dict[str, int]]) -> str:
    return count(sum(n for counts in table.values() for n in counts.values()))


def _counts(table: dict[str, int]) -> str:
    return ", ".join(f"{name} {count(n)}" for name, n in table.items())


def _ended(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


CLAIM = (
    (1, "Title", "Says that AI is studied, and of which kind"),
    (2, "Abstract", "Summary of design, methods, results and conclusions"),
    (3, "Introduction", "Background; what the AI is for and where it would be used"),
    (4, "Introduction", "Aims and hypotheses"),
    (5, "Study design", "Prospective or retrospective"),
    (6, "Study design", "Goal of the study"),
    (7, "Data", "Where the data come from"),
    (8, "Data", "Who was included and who was left out"),
    (9, "Data", "Processing of the images beforehand"),
    (10, "Data", "Choice of parts of the data"),
    (11, "Data", "How identities were removed"),
    (12, "Data", "What was done about missing data"),
    (13, "Data", "How the images were acquired"),
    (14, "Reference standard", "How the reference labels were obtained"),
    (15, "Reference standard", "Why that reference was chosen"),
    (16, "Reference standard", "Who made the labels"),
    (17, "Reference standard", "How the test set was labelled"),
    (18, "Reference standard", "Agreement between and within readers"),
    (19, "Partitions", "How cases came into the partitions"),
    (20, "Partitions", "At which level the partitions are separate"),
    (21, "Testing data", "Sample size that was intended"),
    (22, "Model", "Description of the model"),
    (23, "Model", "Software and versions"),
    (24, "Model", "How the parameters start"),
    (25, "Training", "How training was done"),
    (26, "Training", "How the final model was chosen"),
    (27, "Training", "Combination of several models"),
    (28, "Evaluation", "Measures of performance"),
    (29, "Evaluation", "Statistics of significance and uncertainty"),
    (30, "Evaluation", "Robustness, sensitivity to choices"),
    (31, "Evaluation", "Means to explain what the model does"),
    (32, "Evaluation", "Test on internal data"),
    (33, "Evaluation", "Test on external data"),
    (34, "Evaluation", "Registration of a clinical trial"),
    (35, "Results: data", "How many patients or examinations were included and excluded"),
    (36, "Results: data", "Who the patients of each partition are"),
    (37, "Results: performance", "Performance with its uncertainty"),
    (38, "Results: performance", "Diagnostic performance and its precision"),
    (39, "Results: performance", "Analysis of what went wrong"),
    (40, "Discussion", "Limits of the study"),
    (41, "Discussion", "What it means for practice"),
    (42, "Other", "Full protocol or technical details"),
    (43, "Other", "Availability of software, model and data"),
    (44, "Other", "Funding and the funders' role"),
)
"""Number, part and subject of each item."""
