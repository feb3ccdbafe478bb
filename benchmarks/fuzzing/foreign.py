"""What else others send: options, synthetic sets, checkpoints and what a user hands over, with files that fit them."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from safetensors.torch import save

import medsyn
from fuzzing import handed
from medsyn import generator
from medsyn.config import load_pipeline, read_preset
from medsyn.config.presets import shipped
from medsyn.generator import Generator
from medsyn.images import synthetic_png
from medsyn.synthetic import MANIFEST, SyntheticSet

FILES = {
    "pipeline": "pipeline.yaml",
    "preset": "preset.yaml",
    "card": "card.json",
    "manifest": "manifest.parquet",
    "images": "images.npz",
    "config": "config.json",
    "weights": "generator.safetensors",
    **handed.FILES,
}
"""Target -> the file of it that is spoilt."""
N, SIDE, CLASSES = 12, 16, ["a", "b"]


def corpus() -> dict[str, list[bytes]]:
    """Sound files of every target."""
    checkpoints = [_checkpoint(network, first_stage) for network, first_stage in _sizes()]
    made, packed = _set(), io.BytesIO()
    np.savez(packed, train_images=_pixels(), train_labels=np.arange(N)[:, None] % 2)
    return {
        "pipeline": [p.read_bytes() for p in sorted(shipped("pipelines").glob("*.yaml"))],
        "preset": [p.read_bytes() for p in sorted(shipped("configs").glob("*.yaml"))],
        "card": [made["card.json"]],
        "manifest": [made["manifest.parquet"]],
        "images": [packed.getvalue()],
        "config": [config for config, _ in checkpoints],
        "weights": [weights for _, weights in checkpoints],
        **handed.corpus(),
    }


def _sizes() -> list[tuple[dict[str, Any], dict[str, Any]]]:
    conv = {"kind": "conv", "channels": [4, 8], "blocks": 1, "latent": 4}
    completion = {"kind": "completion", "channels": [4, 8], "blocks": 1, "maps": 1}
    mixture = {"kind": "mixture", "classes": 2, "components": 3}
    flow = {"kind": "flow", "classes": 2, "width": 8, "blocks": 1, "steps": 2, "frequencies": 2}
    pca = {"kind": "pca", "coefficients": 3, "halvings": 0}
    return [
        (conv, {"kind": "none"}),
        (completion, pca | {"prior": mixture}),
        ({"kind": "pyramid", "levels": [completion, completion]}, pca | {"prior": flow, "halvings": 1}),
    ]


def _checkpoint(network: dict[str, Any], first_stage: dict[str, Any]) -> tuple[bytes, bytes]:
    """Content of config.json and generator.safetensors."""
    config = {"schema": 3, "classes": CLASSES, "image_shape": [1, SIDE, SIDE], "batch": 4, "modality": "xray"}
    config |= {"condition_schema": {"class": {"kind": "categorical", "values": CLASSES}}}
    config |= {"network": network, "first_stage": first_stage}
    torch.manual_seed(0)
    weights = save(Generator(config).state())
    return json.dumps(config | {"digest": hashlib.sha256(weights).hexdigest()}).encode(), weights


def _pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (N, SIDE, SIDE), np.uint8)


def _set() -> dict[str, bytes]:
    """Files of a synthetic set."""
    card = {"schema": 2, "modality": "xray", "classes": CLASSES, "n": N, "seed": 0, "image_shape": [1, SIDE, SIDE]}
    counts = dict.fromkeys(CLASSES, N // 2)
    card |= {"images_per_class": counts, "judged": counts, "rejected": {}, "bits": 8, "formats": ["png"]}
    card |= {"truncation": 1.0, "checkpoint_digest": "c" * 64, "sums_digest": "d" * 64, "made_on": {"device": "cpu"}}
    files = {f"images/{CLASSES[k % 2]}/{k:08d}.png": synthetic_png(p[None], "fuzz") for k, p in enumerate(_pixels())}
    rows = [
        {
            **{"index": k, "row": k, "label": CLASSES[k % 2], "accepted": True, "png": name, "seed": 0},
            **{"scores": {"label": 0.5}, "checkpoint_digest": card["checkpoint_digest"]},
            "pixel_digest": hashlib.sha256(_pixels()[k].tobytes()).hexdigest(),
        }
        for k, name in enumerate(files)
    ]
    table = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=MANIFEST), table)
    return files | {"card.json": json.dumps(card).encode(), "manifest.parquet": table.getvalue()}


def write(target: str, data: bytes, sound: dict[str, list[bytes]], number: int, folder: Path) -> None:
    """A folder in which one file is spoilt, and all others are as they were.

    Args:
        target: One of `FILES`.
        data: The spoilt file.
        sound: The corpus.
        number: Of the case; which of several sound checkpoints the rest is of.
        folder: Empty.
    """
    if target in handed.FILES:
        handed.write(target, data, number, folder)
        return
    if target in ("card", "manifest", "images"):
        for name, content in _set().items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
    if target in ("config", "weights"):
        k = number % len(sound["config"])
        config, weights = sound["config"][k], sound["weights"][k]
        if target == "weights":  # whoever changes them writes their digest anew
            config = json.dumps(json.loads(config) | {"digest": hashlib.sha256(data).hexdigest()}).encode()
        (folder / FILES["config"]).write_bytes(config)
        (folder / FILES["weights"]).write_bytes(weights)
    (folder / FILES[target]).write_bytes(data)


def _set_is_read(folder: Path) -> None:
    opened = SyntheticSet.open(folder)
    opened.candidates()
    opened.labels(CLASSES)
    opened.images()
    loaded = medsyn.load_synthetic(folder)
    for place in range(len(loaded)):
        loaded[place]
    medsyn.verify_synthetic(folder, share=1, workspace=folder / "nowhere")


def _generator_is_read(folder: Path) -> None:
    model = generator.load(folder)
    model.sample(np.array([0, len(model.classes) - 1]), 0, np.arange(2))


READ: dict[str, Callable[[Path], object]] = {
    "pipeline": lambda folder: load_pipeline(folder / FILES["pipeline"]),
    "preset": lambda folder: read_preset(folder / FILES["preset"]),
    **dict.fromkeys(("card", "manifest", "images"), _set_is_read),
    **dict.fromkeys(("config", "weights"), _generator_is_read),
    **handed.READ,
}
"""Target -> what reads it, as a command would."""
