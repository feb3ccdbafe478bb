"""Plausible evaluations for the tests of the report: three classes with everything measured, and two with little."""

from __future__ import annotations

import json

from evaluate.report_rows import (
    CHOSEN_ARM,
    CLASSES,
    CONTROL,
    REAL,
    arm_table,
    contrast_table,
    estimate,
    fidelity_rows,
    subgroup,
)

from medsyn.evaluate.results import Report


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
