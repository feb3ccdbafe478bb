"""Wheel and sdist in a fresh environment outside of the checkout: what is built holds all that runs need."""

from __future__ import annotations

import site
import subprocess
import sys
from pathlib import Path

import pytest
from chain import PIPELINE
from commands import environment

from medsyn import __version__
from medsyn.config import MODALITIES, shipped
from medsyn.workspace import EVALUATION, KINDS, Workspace

ROOT = Path(__file__).parents[2]
LOOK = """
import sys, medsyn, medsyn.config as config
for modality in config.MODALITIES:
    config.load_preset(modality)
for pipeline in sys.argv[1:]:
    config.load_pipeline(pipeline)
print(medsyn.__file__)
"""

pytestmark = pytest.mark.system


def run(*command: object, cwd: Path) -> str:
    """Run a program that must succeed, without a way to the checkout; its standard output."""
    words = list(map(str, command))
    done = subprocess.run(words, cwd=cwd, env=environment(PYTHONPATH=""), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with wheel and sdist of the checkout."""
    pytest.importorskip("hatchling", reason="building needs hatchling")
    folder = tmp_path_factory.mktemp("built")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-t", "sdist", "-d", folder, cwd=ROOT)
    return folder


def files_of(folder: Path) -> set[str]:
    """Paths of all files below, but for compiled ones."""
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


@pytest.mark.parametrize("kind", ["*.whl", "*.tar.gz"])
def test_what_is_built_works_outside_of_the_checkout(
    built: Path, kind: str, tmp_path: Path, workspace: Workspace
) -> None:
    """Dependencies are not installed anew: they come from the environment that runs the tests.

    A .pth file in the fresh environment names its site-packages. The .pth files there are not heeded, so that a
    checkout that is installed as editable stays unseen.
    """
    fresh = tmp_path / "fresh"
    run(sys.executable, "-m", "venv", fresh, cwd=tmp_path)
    python, medsyn = fresh / "bin" / "python", fresh / "bin" / "medsyn"
    installed = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip())
    assert installed.is_relative_to(fresh)
    (installed / "dependencies.pth").write_text("\n".join(site.getsitepackages()) + "\n")
    (package,) = built.glob(kind)
    # --ignore-installed: pip sees the tests' own medsyn and takes it for this one.
    pip = (python, "-m", "pip", "--isolated", "--disable-pip-version-check", "install", "--no-index", "--no-deps")
    run(*pip, "--no-build-isolation", "--ignore-installed", package, cwd=tmp_path)

    pipelines = [p.stem for p in shipped("pipelines").glob("*.yaml")]
    seen = Path(run(python, "-c", LOOK, *pipelines, cwd=tmp_path).strip())
    assert seen == installed / "medsyn" / "__init__.py"
    beside = {f"{name}/{file}" for name in ("configs", "pipelines") for file in files_of(ROOT / name)}
    assert {f"configs/{modality}.yaml" for modality in MODALITIES} <= beside
    assert files_of(seen.parent) == files_of(ROOT / "medsyn") | beside

    assert __version__ in run(medsyn, "--version", cwd=tmp_path)
    # Sample, preset, weights of the feature network, templates and scripts of the pages: each is used.
    (tmp_path / "chain.yaml").write_text(PIPELINE)
    run(medsyn, "run", "chain.yaml", "-w", workspace.path, cwd=tmp_path)
    run(medsyn, "inspect", "-w", workspace.path, cwd=tmp_path)
    run(medsyn, "status", "--check", "-w", workspace.path, cwd=tmp_path)
    assert [len(workspace.all(of)) for of in KINDS] == [1] * 4
    (inspection,) = workspace.path.glob("inspections/*.html")
    for page in (workspace.latest(EVALUATION) / "report.html", inspection):
        assert page.read_text(encoding="utf-8").rstrip().endswith("</html>")
