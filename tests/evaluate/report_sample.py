"""Plausible evaluations for the tests of the report: three classes with everything measured, and two with little."""

from __future__ import annotations

import json

from medsyn.evaluate.results import MEASURES, PROBABILITY, RANKING, Report

CLASSES = ["normal", "pneumonia", "pleural effusion"]
CONTROL, CHOSEN_ARM = "real, oversampled + classical", "real + synthetic ×0.5 + classical"
ARMS = [  # name, kind, ratio, AUROC above the plain control, balanced accuracy at 0.5 above it
    ("real", "control", None, 0.000, 0.000),
    ("real + classical", "control", None, 0.021, 0.028),
    (CONTROL, "control", None, 0.024, 0.041),
    ("real, class weights + classical", "control", None, 0.022, 0.040),
    ("real, duplicated ×1.5 + classical", "control", None, 0.020, 0.027),
    (CHOSEN_ARM, "synthetic", 0.5, 0.037, 0.085),
    ("real + synthetic ×1 + classical", "synthetic", 1.0, 0.033, 0.096),
    ("synthetic only + classical", "synthetic", None, -0.018, 0.004),
    ("real + 100 more patients + classical", "more real", None, 0.031, 0.060),
]
OPENED = {"real", CONTROL, CHOSEN_ARM}
REAL = dict(zip(CLASSES, (431, 1214, 62), strict=True))
SPREAD = {"auroc": 0.018, "auprc": 0.022, "brier": 0.006, "calibration_error": 0.009}


def estimate(value: float, half: float = 0.018, spread: float = 0.004) -> dict[str, object]:
    seeds = [round(value + spread * d, 4) for d in (-1.3, -0.4, 0.2, 0.7, 0.8)]
    return {"value": value, "low": value - half, "high": value + half, "per_seed": seeds}


def on_test(base: float) -> dict[str, object]:
    """Every measure of an arm, from its AUROC."""
    below = {"auprc": 0.04, "accuracy": 0.07, "balanced_accuracy": 0.11, "f1": 0.12, "sensitivity": 0.1}
    below |= {"specificity": 0.05, "ppv": 0.15, "npv": 0.03, "sensitivity_at_specificity": 0.09}
    below["specificity_at_sensitivity"] = 0.08
    values = {m: base - below.get(m, 0.0) for m in MEASURES} | {"brier": 0.31 - base * 0.2, "calibration_error": 0.041}
    return {m: estimate(values[m], SPREAD.get(m, 0.031)) for m in MEASURES}


def calibration(shift: float) -> list[dict[str, object]]:
    return [
        {"predicted": p, "observed": round(min(1.0, p * (1 - shift) + 0.02), 3), "n": n}
        for p, n in ((0.21, 14), (0.45, 61), (0.62, 90), (0.81, 133), (0.95, 114))
    ]


def arm_table(setting: str, classifier: str, base: float) -> list[dict[str, object]]:
    table = []
    for name, kind, ratio, ranking, half in ARMS:
        real = 0 if kind == "synthetic" and ratio is None else 1
        made = 0.0 if kind != "synthetic" else ratio or 1.0
        auroc, opened = base + ranking, name in OPENED
        decided = {m: estimate(base - 0.19 + half, 0.033) for m in MEASURES if m not in (*RANKING, *PROBABILITY)}
        classes = {
            c: {
                m: estimate(auroc - 0.01 * k, 0.02 + 0.02 * k)
                for m in ("auroc", "auprc", "sensitivity", "specificity", "f1")
            }
            for k, c in enumerate(CLASSES)
        }
        table.append(
            {
                "setting": setting,
                "classifier": classifier,
                "name": name,
                "kind": kind,
                "ratio": ratio,
                "chosen": name in {CONTROL, CHOSEN_ARM},
                "training_images": {c: n * real + round(n * made) for c, n in REAL.items()},
                "real_images": {c: n * real for c, n in REAL.items()},
                "val": estimate(auroc + 0.007, 0.026),
                "test": on_test(auroc) if opened else None,
                "test_at_half": decided if opened else None,
                "per_class": classes if opened else None,
                "calibration": calibration(0.12 if kind == "control" else 0.05) if opened else [],
                "external": {m: e for m, e in on_test(auroc - 0.06).items() if m != "ppv"} if opened else None,
            }
        )
    return table


def contrast(setting: str, classifier: str, arm: str, measure: str, effect: float, **more: object) -> dict[str, object]:
    half = 0.0169 if measure == "auroc" else 0.029
    found = {"setting": setting, "classifier": classifier, "arm": arm, "control": CONTROL, "measure": measure}
    return found | {"effect": estimate(effect, half), "primary": False, "p_holm": 0.61} | more


def contrast_table() -> list[dict[str, object]]:
    main = [
        contrast(
            "all data",
            "cnn",
            CHOSEN_ARM,
            m,
            0.0132 if m == "auroc" else 0.011,
            primary=m == "auroc",
            p_holm=None if m == "auroc" else 0.44,
        )
        for m in MEASURES
    ]
    return [
        *main,
        contrast("all data", "probe", CHOSEN_ARM, "auroc", 0.0072),
        contrast("25 % of the subjects", "cnn", CHOSEN_ARM, "auroc", 0.0311, p_holm=0.0004),
        contrast("all data", "cnn", CHOSEN_ARM, "auroc", 0.0021, test_set="xray-009 (other hospital)"),
    ]


def fidelity_rows() -> list[dict[str, object]]:
    kinds = [  # name, kind, KID, precision, recall, density, coverage, C2ST, Vendi
        ("synthetic", "synthetic", 0.0412, 0.711, 0.533, 0.846, 0.702, 0.871, 0.72),
        ("unfiltered", "unfiltered", 0.0533, 0.655, 0.561, 0.771, 0.689, 0.893, 0.74),
        ("floor (real train)", "floor", 0.0031, 0.861, 0.852, 1.013, 0.941, 0.512, 1.01),
        ("copy of train", "reference", 0.0030, 0.863, 0.849, 1.018, 0.944, 0.508, 1.01),
        ("SMOTE in pixels", "reference", 0.0127, 0.921, 0.611, 1.31, 0.902, 0.744, 0.81),
        ("class Gaussian (PCA)", "reference", 0.1633, 0.402, 0.288, 0.391, 0.447, 0.991, 0.55),
    ]
    keys = ("name", "kind", "precision", "recall", "density", "coverage", "vendi")
    rows = []
    for scope, n in {"all": 600, "normal": 240, "pneumonia": 300, "pleural effusion": 60}.items():
        for name, kind, kid, *parts, c2st, vendi in kinds:
            row = dict(zip(keys, (name, kind, *parts, vendi), strict=True)) | {"scope": scope, "n": n}
            row |= {"kid": estimate(kid, 0.0021), "fid": kid * 900 + 12 if n > 100 else None}
            row |= {"spectrum": kid * 9, "histogram": kid / 3, "texture": kid * 12}
            row |= {"ms_ssim": 0.31 + 0.07 * (kind == "synthetic"), "c2st": estimate(c2st, 0.021) if n > 100 else None}
            rows.append(row)
    return rows


def subgroup(covariate: str, value: str, n: int, base: float, effect: float | None) -> dict[str, object]:
    known = effect is not None
    return {
        "covariate": covariate,
        "value": value,
        "images": round(n * 1.4),
        "subjects": n,
        "control": estimate(base, 0.03) if known else None,
        "synthetic": estimate(base + (effect or 0), 0.03) if known else None,
        "effect": estimate(effect or 0, 0.031) if known else None,
    }


def make_content() -> dict:
    subjects = {
        split: {c: max(1, n // d) for c, n in REAL.items()} for split, d in (("train", 2), ("val", 10), ("test", 8))
    }
    small = {split: {c: max(1, n // 4) for c, n in subjects[split].items()} for split in ("train", "val")}
    return {
        "verdict": {
            "decision": "no evidence",
            "sentence": "On 412 test images of 213 patients, adding 0.5 synthetic images per real one changed AUROC by "
            "+0.013 (95 % interval −0.004 to +0.030): no evidence that the synthetic images help.",
            "rule": "helps: the 95 % interval of the primary difference lies above zero; hurts: below zero; "
            "equivalent: inside the margin; otherwise no evidence. Arm and control are chosen on val by AUROC.",
            "estimand": "The interval covers a repetition of the whole procedure: generator and classifiers trained "
            "anew, tested on other patients of the same kind.",
            "setting": "all data",
            "classifier": "cnn",
            "measure": "auroc",
            "margin": 0.01,
            "arm": CHOSEN_ARM,
            "control": CONTROL,
            "effect": estimate(0.0132, 0.0169) | {"se": 0.0074, "df": 7.3, "p_value": 0.118},
            "quick": False,
            "detectable": 0.024,
            "needed_subjects": 1830,
            "delong": None,
            "worth": {
                "patients": 64,
                "sentence": "On val, these synthetic cases were worth about 64 real patients: as many more patients "
                "would raise the control as far.",
            },
            "warnings": [
                "Class 'pleural effusion' has 8 subjects in test; its numbers are uncertain.",
                "This is look number 3 at this test split; a good result is less surprising each time.",
            ],
        },
        "compared": [
            {
                "name": "all data",
                "description": "Every subject of train, and val as it is.",
                **{f"{split}_subjects": counts for split, counts in subjects.items()},
                "regenerated": False,
                "repeats": 5,
            },
            {
                "name": "25 % of the subjects",
                "description": "A quarter of train and val, drawn anew for every repeat.",
                "train_subjects": small["train"],
                "val_subjects": small["val"],
                "test_subjects": subjects["test"],
                "regenerated": True,
                "repeats": 5,
            },
        ],
        "arms": arm_table("all data", "cnn", 0.912)
        + arm_table("all data", "probe", 0.887)
        + arm_table("25 % of the subjects", "cnn", 0.861),
        "contrasts": contrast_table(),
        "curve": [
            {
                "setting": name,
                "subjects": n,
                "control": estimate(base, 0.02),
                "synthetic": estimate(base + gain, 0.02),
                "effect": estimate(gain, 0.015),
            }
            for name, n, base, gain in (
                ("all data", 853, 0.936, 0.013),
                ("50 % of the subjects", 427, 0.914, 0.021),
                ("25 % of the subjects", 213, 0.885, 0.031),
            )
        ],
        "subgroups": [
            subgroup("sex", "F", 104, 0.931, 0.018),
            subgroup("sex", "M", 109, 0.941, 0.008),
            subgroup("age band", "18 to 40", 61, 0.949, 0.004),
            subgroup("age band", "40 to 65", 88, 0.938, 0.016),
            subgroup("age band", "over 65", 59, 0.918, 0.022),
            subgroup("age band", "unknown", 5, 0.0, None),
        ],
        "gaps": [
            {"covariate": "sex", "control": 0.010, "synthetic": 0.000},
            {"covariate": "age band", "control": 0.031, "synthetic": 0.013},
        ],
        "shortcut": {
            "tested": True,
            "features": ["mean brightness", "contrast", "file size"],
            "auroc": estimate(0.688, 0.041),
            "control": 0.936,
            "found": False,
            "sentence": "Brightness and size alone reach AUROC 0.688, far below the classifier that sees the picture.",
        },
        "fidelity": {
            "extractor": "EfficientNet-Lite0 (ImageNet), 224 × 224",
            "held_out": "val and test, 600 images",
            "rows": fidelity_rows(),
            "found": True,
            "sentence": "KID 0.0412 is 13 times that of real training images: far from real.",
        },
        "copying": {
            "tested": True,
            "examined": 12000,
            "copies": 0,
            "limit": 0.081,
            "n": 1000,
            "share": estimate(0.517, 0.031),
            "null": 0.5,
            "null_99": 0.542,
            "p_value": 0.271,
            "references": 412,
            "nearest_ratio": 0.987,
            "distance_ratio": 0.953,
            "membership": {"auroc": estimate(0.508, 0.024), "members": 412, "non_members": 412},
            "found": False,
            "sentence": "517 of 1000 synthetic images lie nearer to a training image than to an unseen one: chance.",
        },
        "collapse": {
            "per_class": {"normal": 0.81, "pneumonia": 0.77, "pleural effusion": 0.64},
            "found": False,
            "sentence": "Every class holds at least 0.64 times as many distinct images as real ones do.",
        },
        "labels": {
            "tested": True,
            "auroc": 0.941,
            "reference": 0.943,
            "found": False,
            "sentence": "A classifier trained on real images reads the synthetic labels as well as real ones.",
        },
        "leakage": {
            "near_duplicates": 0,
            "examined": 753,
            "checks": [
                "Subjects: none is in two splits.",
                "Generator: its 853 subjects were compared with val and test; none meets them.",
            ],
            "found": False,
            "sentence": "No image of val or test all but equals a training image of another subject.",
        },
        "selection": {
            "tested": True,
            "judged": {"normal": 4311, "pneumonia": 4020, "pleural effusion": 5207},
            "accepted": {"normal": 4000, "pneumonia": 4000, "pleural effusion": 4000},
            "rejected": {
                "normal": {"label": 250, "off_manifold": 61},
                "pneumonia": {"off_manifold": 18, "copy": 2},
                "pleural effusion": {"label": 1102, "off_manifold": 93, "copy": 12},
            },
            "replaced": 1538,
            "measure": "auroc",
            "filtered": estimate(0.949),
            "unfiltered": estimate(0.946),
            "effect": estimate(0.0031, 0.0069),
            "decision": "no evidence",
            "filtered_copies": 0,
            "unfiltered_copies": 14,
            "notes": [],
            "sentence": "Selection replaced 1538 of 12000 images and changed AUROC by +0.003 (95 % interval −0.004 to "
            "+0.010): no evidence that it helps the classifier; 0 of the images all but equal a training image with "
            "it, 14 without.",
        },
        "dataset": {
            "name": "xray-001",
            "digest": "9f2c" * 16,
            "modality": "xray",
            "image_shape": [1, 64, 64],
            "classes": CLASSES,
            "images_per_class": {
                c: {"test": n // 4, "train": n, "tune": n // 10, "val": n // 5} for c, n in REAL.items()
            },
            "units_per_class": {
                c: {"test": n // 8, "train": n // 2, "tune": n // 20, "val": n // 10} for c, n in REAL.items()
            },
            "caveats": ["Patients are unknown for 41 images; each counts as a patient of its own."],
        },
        "external": {
            "name": "xray-009",
            "digest": "77aa" * 16,
            "modality": "xray",
            "image_shape": [1, 64, 64],
            "classes": CLASSES,
            "images_per_class": {c: {"test": 100} for c in REAL},
            "units_per_class": {c: {"test": 90} for c in REAL},
            "caveats": [],
        },
        "synthetic": {
            "name": "xray-002",
            "n": 12000,
            "images_per_class": {"normal": 4000, "pneumonia": 4000, "pleural effusion": 4000},
            "generator": "xray-001, latent-r3gan, 240 kimg",
            "checkpoint_digest": "1b7e" * 16,
            "generator_subjects": "853 recorded subjects, all in train; none of them in val or test.",
        },
        "looks_at_test": [
            {
                "number": k,
                "when": f"2026-01-{k:02d}T09:05:00+00:00",
                "evaluation": f"xray-{k:03d}",
                "synthetic": "xray-002",
            }
            for k in (1, 2, 3)
        ],
        "settings": {
            "ratios": [0.5, 1.0],
            "classifiers": ["cnn", "probe"],
            "seeds": 5,
            "steps": 600,
            "primary": "cnn",
            "specificity": 0.9,
            "sensitivity": 0.9,
            "prevalence": None,
        },
        "software": {"medsyn": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        "seconds": 1844.2,
        "timings": {"features": 101.0, "arms": 1620.4, "checks": 122.8},
        "created": "2026-01-03T09:05:00+00:00",
        "modality": "xray",
    }


def make_report(classes: list[str] | None = None, **changes: object) -> Report:
    """Three classes, three comparisons, a curve, subgroups, an external test set; ``classes`` renames the classes."""
    return _with(make_content(), CLASSES, classes or CLASSES, changes)


def make_binary(classes: list[str] | None = None, **changes: object) -> Report:
    """Two classes, one comparison, a foreign synthetic set, and none of what needs more data."""
    content = make_content()
    kept = CLASSES[:2]
    settings = content["settings"] | {"classifiers": ["cnn"], "seeds": 2, "quick": True}
    content |= {"curve": [], "subgroups": [], "gaps": [], "external": None, "settings": settings, "timings": {}}
    content["compared"] = content["compared"][:1]
    content["arms"] = [
        a | {"external": None} for a in content["arms"] if (a["setting"], a["classifier"]) == ("all data", "cnn")
    ]
    content["contrasts"] = [
        c for c in contrast_table() if c["setting"] == "all data" and c["classifier"] == "cnn" and "test_set" not in c
    ]
    content["verdict"] |= {"quick": True, "worth": None, "detectable": None, "needed_subjects": None}
    content["verdict"]["delong"] = {"difference": 0.0119, "p_value": 0.19, "agrees": True}
    content["fidelity"]["rows"] = [
        r for r in fidelity_rows() if r["scope"] in ("all", *kept) and r["kind"] != "unfiltered"
    ]
    why = "the set was made by another tool, and no rejected candidates are known"
    content["selection"] = {"tested": False, "sentence": f"Selection was not compared: {why}."}
    content["synthetic"] |= {
        "foreign": True,
        "generator": "unknown",
        "checkpoint_digest": "unknown",
        "generator_subjects": "no record found",
        "images_per_class": {"normal": 6000, "pneumonia": 6000},
    }
    content["copying"]["membership"] = None
    content["shortcut"] = {
        "tested": False,
        "features": [],
        "auroc": None,
        "control": None,
        "found": False,
        "sentence": "Not tested: too few subjects.",
    }
    content["labels"] |= {"tested": False, "auroc": None, "reference": None, "sentence": "Not tested."}
    content["dataset"]["classes"] = kept
    del content["collapse"]["per_class"][CLASSES[2]]
    for counts in ("images_per_class", "units_per_class"):
        del content["dataset"][counts][CLASSES[2]]
    return _with(content, kept, classes or kept, changes)


def _with(content: dict, old: list[str], new: list[str], changes: dict[str, object]) -> Report:
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = value
    text = json.dumps(content)
    for before, after in zip(old, new, strict=True):
        text = text.replace(json.dumps(before), json.dumps(after))
    return Report.model_validate_json(text)
