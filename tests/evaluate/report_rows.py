"""Rows of the tables of a plausible evaluation."""

from __future__ import annotations

from medsyn.evaluate.results import MEASURES, PROBABILITY, RANKING

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
