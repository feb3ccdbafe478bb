"""The chosen generator in MLflow's model registry, and which one is the champion of its modality."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from medsyn.gan.monitor import EXTRACTOR, Check
from medsyn.tracking import MODELS, Registered, Run

_PREFIX = "medsyn."
_CHECK = ("kid", "coverage", "precision", "recall")


def register(mlflow: Run, path: Path, config: Mapping[str, Any]) -> Registered | None:
    """Register a committed checkpoint as the next version of ``medsyn-<modality>``.

    Args:
        mlflow: The run that trained it.
        path: The checkpoint folder.
        config: Content of its config.json.

    Returns:
        None where tracking is off or fails.
    """
    monitor, plan, name = config["monitor"], config["plan"], f"{MODELS}{config['modality']}"
    measured = {key: monitor[key] for key in _CHECK if key in monitor}
    told = f" KID {measured['kid']:.3f}, coverage {measured['coverage']:.2f} on tune." if measured else ""
    facts = {
        "generator": path.name,
        "modality": config["modality"],
        "recipe": config["recipe"],
        "digest": config["digest"],
        "dataset": config["dataset"]["name"],
        "dataset_digest": config["dataset"]["content_digest"],
        "monitor": f"{plan['monitor_images']} samples, {EXTRACTOR}",
        **measured,
    }
    tags = {_PREFIX + key: value for key, value in facts.items()}
    return mlflow.register(
        path,
        name,
        config["classes"],
        f"Generator {path.name}: {config['recipe']}, {plan['kimg']:g} kimg planned.{told} "
        "Makes synthetic images; for research, not for diagnosis. card.md in the artifacts tells the rest.",
        tags,
        takes_over,
    )


def takes_over(tags: Mapping[str, str], champion: Mapping[str, str]) -> bool:
    """Whether a new version becomes the champion.

    On another dataset their figures cannot be compared, and the newest is champion, as it is for ``medsyn augment``:
    whoever ingested more scans and trained anew means the new generator. On the same one, judged by the same extractor
    and number of samples, the better one is champion (`Check.score` with the present champion as the unit); judged
    otherwise, as in a budget of seconds, the champion stays.

    Args:
        tags: Of the new version.
        champion: Of the version that the alias points to.
    """
    data, judge = (tags.get(_PREFIX + key) == champion.get(_PREFIX + key) for key in ("dataset_digest", "monitor"))
    new, old = _check(tags), _check(champion)
    if not (data and new and old):
        return True
    return judge and new.score(old) < old.score(old)


def _check(tags: Mapping[str, str]) -> Check | None:
    try:
        return Check(**{key: float(tags[_PREFIX + key]) for key in _CHECK})
    except (KeyError, ValueError):
        return None
