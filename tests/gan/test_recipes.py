import re
import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import SMALL
from typer.testing import CliRunner

from gan.test_train import templates
from gan.toy import toy_images, write_dataset
from medsyn import generator
from medsyn.cli import app
from medsyn.config import TrainOptions
from medsyn.errors import UsageError
from medsyn.gan import run
from medsyn.gan.recipes import RECIPES
from medsyn.workspace import Workspace, read_json

PAGE = Path(__file__).parents[2] / "docs" / "pages" / "reference" / "train-gan.md"
LEARNT: dict[str, dict[str, Any]] = {
    "latent-r3gan": {"budget": "4kimg"},  # as it is
    "autoencoder-r3gan": {"budget": "4kimg", "knobs": {**SMALL, "prior_steps": 800}},  # few images alone train none
    "r3gan": {"budget": "16kimg", "knobs": {**SMALL, "width": 0.5, "learning_rate": 3e-3}},
    "dcgan": {"budget": "20kimg", "knobs": {**SMALL, "width": 0.5}},
    "wgan-gp": {"budget": "6kimg", "batch": 8, "knobs": {**SMALL, "width": 0.5}},
}
"""What a recipe needs for the toy: well under a minute of a core."""


def test_every_recipe_is_asked_to_learn_the_toy() -> None:
    assert set(RECIPES) == LEARNT.keys()


@pytest.mark.parametrize("name", LEARNT)
def test_a_recipe_learns_every_mode_and_the_classes(workspace: Workspace, name: str) -> None:
    write_dataset(workspace, *toy_images(40))
    result = run(TrainOptions(**{"recipe": name, "threads": 1, "batch": 32, **LEARNT[name]}), workspace)
    assert not result.closed_form
    labels = np.repeat([0, 1], 200)
    images = generator.load(result.path).sample(labels, seed=3, index=np.arange(400))[:, 0]
    modes, mode_label = templates()
    distance = np.sqrt(np.square(images[:, None] - modes).mean((2, 3)))
    nearest = distance.argmin(1)
    assert (mode_label[nearest] == labels).mean() >= 0.95
    clear = distance.min(1) < 0.14  # half of the way between the nearest two modes, which lie 0.28 apart
    assert clear.mean() > 0.7
    assert (np.bincount(nearest[clear], minlength=6) >= 10).all()


def test_a_new_recipe_is_one_file_and_one_line(
    monkeypatch: pytest.MonkeyPatch, workspace: Workspace, toy: Path, tmp_path: Path
) -> None:
    (snippet,) = re.findall(r"```python\n# medsyn/gan/recipes/mine\.py\n(.*?)```", PAGE.read_text(), re.DOTALL)
    (tmp_path / "mine.py").write_text(snippet)
    recipe = runpy.run_path(str(tmp_path / "mine.py"))["RECIPE"]
    monkeypatch.setitem(RECIPES, "mine", recipe)
    result = run(TrainOptions(recipe="mine", budget="0.3kimg", threads=1, knobs={"monitor_images": 32}), workspace)
    assert read_json(result.path / "config.json")["network"]["channels"] == [24, 64]
    assert generator.load(result.path).sample(np.array([1]), 0, np.array([0])).shape == (1, 1, 16, 16)


def test_an_unknown_recipe_is_refused_with_those_that_exist(workspace: Workspace, toy: Path) -> None:
    with pytest.raises(UsageError, match=r"latent-r3gan.*wgan-gp"):
        run(TrainOptions(recipe="stylegan", budget="0.3kimg"), workspace)


def test_help_names_every_recipe() -> None:
    text = " ".join(CliRunner().invoke(app, ["train-gan", "--help"]).output.split())
    assert all(name in text for name in RECIPES)
