"""The model card of a checkpoint: card.json holds the facts, card.md shows them (after Mitchell et al. 2019)."""

from __future__ import annotations

import platform
import re
from pathlib import Path
from typing import Any

import numpy as np
import torch

from medsyn import __version__
from medsyn.gan.material import Material
from medsyn.gan.monitor import EXTRACTOR, MIN_REFERENCE
from medsyn.gan.recipes import RECIPES
from medsyn.gan.session import Session
from medsyn.generator import Generator
from medsyn.page.environment import environment
from medsyn.workspace import atomic_file, write_json

SCHEMA_VERSION = 1
JSON, MARKDOWN = "card.json", "card.md"
COVARIATES = ("view", "sex", "age_band", "vendor")
FEWEST = 5
"""Smaller groups of subjects are not counted one by one: a card travels further than the scans."""

CLOSED_FORM = "a mixture of Gaussians over principal components; no network that the recipe trained is kept"

INTENDED = [
    "Labelled synthetic scans of this modality and these classes, to add to the real training images of a classifier "
    "where 'medsyn evaluate' finds that they help.",
    "Research on methods, teaching, and tests of software that reads scans.",
]
OUT_OF_SCOPE = [
    "Diagnosis, treatment, or any other decision about a patient.",
    "Test sets: a classifier must be tested on real patients.",
    "Classes, modalities or populations other than those of the training data.",
    "Proof that a finding looks a certain way: the images show what the network learnt, not what anatomy allows.",
]
LIMITS = [
    "The label of an image is the class that was asked for; nobody has read these images.",
    "Tune picked the snapshot that was kept, so its figures flatter; 'medsyn evaluate' judges on patients that this "
    "training never saw.",
    "What is rare in the training data is rarer, or missing, in the samples; small lesions are learnt last.",
    "Confounders of the training data (view, device, brightness) are learnt with the classes: see 'medsyn inspect'.",
]
ETHICS = [
    "The weights are made from patients' scans and can repeat what they learnt: treat a checkpoint as you treat the "
    "scans until someone who may decide has decided otherwise.",
    "Synthetic does not mean safe to share: 'medsyn evaluate' tests for copies, and passing does not prove that there "
    "are none.",
    "Groups of patients who are few in the training data are served worse; the counts above say who they are.",
]


def write(card: dict[str, Any], folder: Path) -> None:
    """Write card.json and card.md into a checkpoint folder."""
    write_json(folder / JSON, card)
    with atomic_file(folder / MARKDOWN) as partial:
        partial.write_text(markdown(card), encoding="utf-8")


def markdown(card: dict[str, Any]) -> str:
    """The card for people, of nothing but the facts in card.json."""
    text = environment("medsyn.gan", escape=False).get_template("card.md.j2").render(card)
    return re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n"


def describe(session: Session, generator: Generator, config: dict[str, Any]) -> dict[str, Any]:
    """Gather the facts of a training that is over.

    Args:
        session: The training.
        generator: Its chosen generator.
        config: What config.json will say.

    Returns:
        Content of card.json: JSON types only, no key or identifier of a patient, image or file.
    """
    material, plan = session.material, session.plan
    return {
        "schema": SCHEMA_VERSION,
        "model": {
            "name": config["name"],
            "modality": config["modality"],
            "classes": generator.classes,
            "image_shape": list(generator.image_shape),
            "recipe": plan.recipe,
            "recipe_about": CLOSED_FORM if session.best.closed_form else RECIPES[plan.recipe].about,
            "parameters": {
                "first_stage": sum(value.numel() for value in generator.first_stage.state_dict().values()),
                "network": _parameters(generator.network),
                "discriminator": _parameters(session.trainer.discriminator),
            },
            "checkpoint_digest": config["digest"],
            "mlflow_run": config["mlflow_run"],
            "medsyn": __version__,
            "created": config["created"],
        },
        "intended_use": {"uses": INTENDED, "out_of_scope": OUT_OF_SCOPE},
        "training_data": _split(material, "train") | {"synthetic_images": material.synthetic} | _origin(material),
        "evaluation_data": _split(material, "tune"),
        "metrics": _metrics(session, config["monitor"]),
        "training": {
            "plan": plan.to_json(),
            "kimg": session.trainer.images / 1000,
            "kept_at_kimg": session.best.images / 1000,
            "closed_form": session.best.closed_form,
            "health": [event["sentence"] for event in session.recovery.events],
        },
        "compute": _compute(session),
        "ethical_considerations": ETHICS,
        "limits": [*material.caveats, *LIMITS],
    }


def _parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def _origin(material: Material) -> dict[str, Any]:
    dataset = material.dataset
    return {
        "dataset": dataset.path.name,
        "content_digest": dataset.digest,
        "simulated": dataset.meta.get("source") == "built-in sample",
        "caveats": [str(caveat) for caveat in dataset.meta.get("caveats", [])],
    }


def _split(material: Material, split: str) -> dict[str, Any]:
    """Counts of one split, all and by class, and of its subjects by covariate."""
    rows = material.train if split == "train" else material.tune
    labels = material.dataset.labels(rows)
    table = material.dataset.table.loc[rows]
    counts = np.bincount(labels, minlength=len(material.dataset.classes)).tolist()
    groups = {}
    for name in COVARIATES:
        subjects = table.groupby(name)["subject"].nunique()
        if len(subjects):
            groups[name] = {
                str(value): int(n) if n >= FEWEST else f"fewer than {FEWEST}" for value, n in subjects.items()
            }
    return {
        "split": split,
        "images": len(rows),
        "images_per_class": dict(zip(material.dataset.classes, counts, strict=True)),
        "subjects": int(table["subject"].nunique()),
        "subjects_by": groups,
    }


def _metrics(session: Session, monitor: dict[str, float]) -> dict[str, Any]:
    """Of the kept snapshot against tune; ``all`` is None where tune is too small to compare with."""
    measured = session.best.check is not None
    return {
        "extractor": EXTRACTOR,
        "samples": session.plan.monitor_images if measured else 0,
        "fewest_images_of_a_class": MIN_REFERENCE,
        "all": {k: v for k, v in monitor.items() if k != "kept_at_kimg"} if measured else None,
        "per_class": session.best.per_class(),
    }


def _compute(session: Session) -> dict[str, Any]:
    seconds, cuda = session.seconds(), session.device.type == "cuda"
    units = 1 if cuda else session.plan.threads
    return {
        "device": torch.cuda.get_device_name(session.device) if cuda else f"CPU ({platform.machine()})",
        "threads": session.plan.threads,
        "seconds": round(seconds, 1),
        "device_hours" if cuda else "core_hours": round(seconds * units / 3600, 4),
        "images_per_second": round(session.trainer.images / max(seconds, 1e-9), 1),
        "precision": session.plan.precision,
        "torch": torch.__version__,
        "python": platform.python_version(),
    }
