import json
from pathlib import Path

import numpy as np
import pytest

from medsyn import generator
from medsyn.errors import DataError
from medsyn.generator import Generator


def written(made: Generator, folder: Path) -> Path:
    digest = generator.save(made, folder)
    (folder / "config.json").write_text(json.dumps(made.config | {"digest": digest}))
    return folder


@pytest.fixture
def folder(small: Generator, tmp_path: Path) -> Path:
    return written(small, tmp_path)


def test_round_trip(either: Generator, tmp_path: Path) -> None:
    folder = written(either, tmp_path)
    labels, index = np.arange(20) % 3, np.arange(20)
    loaded = generator.load(folder)
    assert loaded.classes == either.classes
    assert loaded.image_shape == (1, 12, 12)
    assert np.array_equal(loaded.sample(labels, 0, index), either.sample(labels, 0, index))
    before = (folder / "generator.safetensors").read_bytes()
    assert generator.save(loaded, folder) == loaded.config["digest"]
    assert (folder / "generator.safetensors").read_bytes() == before


def test_changed_weights_are_refused(folder: Path) -> None:
    file = folder / "generator.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError, match="SHA-256"):
        generator.load(folder)


@pytest.mark.parametrize("name", ["config.json", "generator.safetensors"])
def test_missing_files(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(DataError, match=name):
        generator.load(folder)


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 99},
        {"network": {"kind": "future"}},
        {"first_stage": {"kind": "future", "coefficients": 9}},
        {
            "first_stage": {
                "kind": "pca",
                "coefficients": 8,
                "prior": {"kind": "mixture", "classes": 3, "components": 6},
            }
        },
        {"first_stage": {"kind": "pca", "coefficients": 9, "prior": {"kind": "oracle"}}},
        {"first_stage": {"kind": "pca", "coefficients": 9, "prior": {"kind": "flow", "classes": 3}}},
        {"condition_schema": {"class": {"kind": "continuous"}}},
        {"condition_schema": {}},
        {"image_shape": [1, 10, 10]},
    ],
)
def test_a_config_that_does_not_fit_is_refused(folder: Path, change: dict) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(DataError, match=r"config\.json"):
        generator.load(folder)
