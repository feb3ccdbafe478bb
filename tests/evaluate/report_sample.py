"""A plausible evaluation for the tests of the report: three classes, six arms, two classifiers, pictures of blobs."""

from __future__ import annotations

import json

import numpy as np
from scipy.ndimage import gaussian_filter

from medsyn.evaluate.galleries import Galleries, NearestPair
from medsyn.evaluate.results import Report

CLASSES = ["normal", "pneumonia", "pleural effusion"]
ARMS = [  # name, kind, ratio, AUROC above the plain control, balanced accuracy at 0.5 above it
    ("real", "control", None, 0.000, 0.000),
    ("real + classical", "control", None, 0.021, 0.028),
    ("real, oversampled + classical", "control", None, 0.024, 0.041),
    ("real + synthetic ×0.5 + classical", "synthetic", 0.5, 0.037, 0.085),
    ("real + synthetic ×1 + classical", "synthetic", 1.0, 0.033, 0.096),
    ("synthetic only + classical", "synthetic", None, -0.018, 0.004),
]
CHOSEN = {"real, oversampled + classical", "real + synthetic ×0.5 + classical"}
REAL = dict(zip(CLASSES, (431, 1214, 62), strict=True))


def estimate(value: float, half: float = 0.018, spread: float = 0.004) -> dict[str, object]:
    seeds = [round(value + spread * d, 4) for d in (-1, 0.2, 0.8)]
    return {"value": value, "low": value - half, "high": value + half, "per_seed": seeds}


def arm_table(classifier: str, base: float) -> list[dict[str, object]]:
    table = []
    for name, kind, ratio, ranking, half in ARMS:
        real = 0 if kind == "synthetic" and ratio is None else 1
        made = 0.0 if kind == "control" else ratio or 1.0
        test = {
            "auroc": estimate(base + ranking),
            "balanced_accuracy": estimate(base - 0.11 + ranking, 0.031),
            "accuracy": estimate(base - 0.07 + ranking, 0.027),
        }
        table.append(
            {
                "classifier": classifier,
                "name": name,
                "kind": kind,
                "ratio": ratio,
                "chosen": name in CHOSEN,
                "training_images": {c: n * real + round(n * made) for c, n in REAL.items()},
                "val": {"auroc": estimate(base + ranking + 0.007, 0.026)},
                "test": test,
                "test_at_half": {"balanced_accuracy": estimate(base - 0.19 + half, 0.033)},
            }
        )
    return table


def contrast_table(classifier: str, shift: float) -> list[dict[str, object]]:
    control = "real, oversampled + classical"
    effects = {"real + synthetic ×0.5 + classical": 0.0132, "real + synthetic ×1 + classical": 0.0094}
    effects["synthetic only + classical"] = -0.0418
    return [
        {
            "classifier": classifier,
            "arm": arm,
            "control": control,
            "measure": measure,
            "effect": estimate(effect + shift, 0.0169 if measure == "auroc" else 0.029),
            "primary": classifier == "cnn" and measure == "auroc" and arm in CHOSEN,
        }
        for measure in ("auroc", "balanced_accuracy", "accuracy")
        for arm, effect in effects.items()
    ]


def fidelity_rows() -> list[dict[str, object]]:
    rows = []
    for scope, n in {"all": 600, "normal": 240, "pneumonia": 300, "pleural effusion": 60}.items():
        for name, kid, values in [
            ("synthetic", 0.0412, (0.711, 0.533, 0.846, 0.702)),
            ("floor (real train)", 0.0031, (0.861, 0.852, 1.013, 0.941)),
            ("copy of train", 0.0030, (0.863, 0.849, 1.018, 0.944)),
        ]:
            keys = ("precision", "recall", "density", "coverage")
            row = {"name": name, "scope": scope, "n": n, "kid": estimate(kid, 0.0021)}
            rows.append(row | dict(zip(keys, values, strict=True)))
    return rows


def make_report(classes: list[str] | None = None, **changes: object) -> Report:
    """A three-class report with two classifiers and six arms; ``classes`` renames the classes."""
    content = {
        "verdict": {
            "decision": "no evidence",
            "sentence": "On 412 test images of 300 patients, adding 0.5 synthetic images per real one changed AUROC by "
            "+0.013 (95 % interval −0.004 to +0.030): no evidence that the synthetic images help.",
            "rule": "helps: the 95 % interval of the primary difference lies above zero; hurts: below zero; "
            "otherwise no evidence. Arm and control are chosen on val by AUROC.",
            "classifier": "cnn",
            "measure": "auroc",
            "arm": "real + synthetic ×0.5 + classical",
            "control": "real, oversampled + classical",
            "effect": estimate(0.0132, 0.0169),
            "warnings": [
                "Class 'pleural effusion' has 8 subjects in test; its numbers are uncertain.",
                "This is look number 3 at this test split; a good result is less surprising each time.",
            ],
        },
        "arms": arm_table("cnn", 0.912) + arm_table("probe", 0.887),
        "contrasts": contrast_table("cnn", 0.0) + contrast_table("probe", -0.006),
        "fidelity": {
            "extractor": "EfficientNet-Lite0 (ImageNet), 224 × 224",
            "held_out": "val and test, 600 images",
            "rows": fidelity_rows(),
        },
        "copying": {
            "tested": True,
            "examined": 12000,
            "copies": 0,
            "limit": 0.081,
            "n": 1000,
            "share": estimate(0.058, 0.015),
            "quantile": 0.05,
            "null": 0.05,
            "p_value": 0.271,
            "nearest_ratio": 0.987,
            "found": False,
            "sentence": "58 of 1000 synthetic images lie nearer to train than 95 % of unseen real images do.",
        },
        "collapse": {
            "per_class": {"normal": 0.81, "pneumonia": 0.77, "pleural effusion": 0.64},
            "found": False,
            "sentence": "Every class holds at least 0.64 times as many distinct images as real ones do.",
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
        "settings": {"ratios": [0.5, 1.0], "classifiers": ["probe", "cnn"], "seeds": 3, "steps": 600, "primary": "cnn"},
        "software": {"medsyn": "0.1.0", "torch": "2.13.0", "python": "3.11.9"},
        "seconds": 1844.2,
        "created": "2026-01-03T09:05:00+00:00",
        "modality": "xray",
    }
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = content
        for parent in parents:
            place = place[parent]
        place[last] = value
    text = json.dumps(content)
    for old, new in zip(CLASSES, classes or CLASSES, strict=True):
        text = text.replace(json.dumps(old), json.dumps(new))
    return Report.model_validate_json(text)


def blobs(n: int, seed: int, channels: int = 1, side: int = 48) -> np.ndarray:
    """Smooth random pictures, uint8 [n, channels, side, side]."""
    noise = np.random.default_rng(seed).normal(size=(n, channels, side, side))
    smooth = gaussian_filter(noise, (0, 0, 5, 5))
    low, high = smooth.min((1, 2, 3), keepdims=True), smooth.max((1, 2, 3), keepdims=True)
    return ((smooth - low) / (high - low) * 255).astype(np.uint8)


def make_galleries(classes: list[str] | None = None) -> Galleries:
    names = classes or CLASSES
    pairs = zip(blobs(8, 1), blobs(8, 2), strict=True)
    return Galleries(
        synthetic={name: blobs(12, 10 + k) for k, name in enumerate(names)},
        real={name: blobs(12, 20 + k) for k, name in enumerate(names)},
        closest=[NearestPair(a, b, names[k % 3], 0.131 + 0.07 * k) for k, (a, b) in enumerate(pairs)],
    )
