"""What holds the house together: short files, no cycles, stages apart, each module importable alone, light imports."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from commands import environment

ROOT = Path(__file__).parents[1]
LONGEST = 400
FOLDERS = ("medsyn", "tests", "benchmarks")
STAGES = {"medsyn.ingest", "medsyn.gan", "medsyn.augment", "medsyn.evaluate"}
MLFLOW = {"medsyn.tracking.delivery", "medsyn.tracking.registry", "medsyn.tracking.store", "medsyn.generator.served"}
"""Who imports MLflow: what talks to it, and the file that MLflow stores with a model and runs."""
MODULES = {
    ".".join(p.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): p
    for p in sorted((ROOT / "medsyn").rglob("*.py"))
}
ALONE = """
import os, sys, traceback
import matplotlib, mlflow, monai, pandas, plotly, pydantic, pydicom, requests, scipy.stats, sklearn, torch, typer
for name in sys.argv[1:]:
    sys.stdout.flush()
    if not os.fork():
        try:
            __import__(name)
        except BaseException:
            print(name, traceback.format_exc(), flush=True)
        os._exit(0)
    os.wait()
"""


def imports(tree: ast.AST, *, lazily: bool = True) -> Iterator[str]:
    """Modules that a module imports, in functions too if ``lazily``; submodules by their own names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            continue
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not lazily:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.module, "medsyn imports its own modules by their whole names"
            assert not node.level, "medsyn imports its own modules by their whole names"
            inside = (f"{node.module}.{name.name}" for name in node.names)
            yield from (name if name in MODULES else node.module for name in inside)
        yield from imports(node, lazily=lazily)


def graph_of(*, lazily: bool) -> dict[str, set[str]]:
    """Module of medsyn -> all that it imports."""
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in MODULES.items()}
    return {name: set(imports(tree, lazily=lazily)) - {name} for name, tree in trees.items()}


@pytest.fixture(scope="module")
def graph() -> dict[str, set[str]]:
    """Module of medsyn -> all that it ever imports, also in a function."""
    return graph_of(lazily=True)


def packages_of(name: str) -> set[str]:
    """Packages around a module, whose __init__ runs before it does."""
    parts = name.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts))}


def test_no_file_is_long() -> None:
    files = (p for folder in FOLDERS for p in (ROOT / folder).rglob("*.py"))
    lines = {str(p.relative_to(ROOT)): len(p.read_text(encoding="utf-8").splitlines()) for p in files}
    assert len(lines) > 300
    assert {path: n for path, n in lines.items() if n > LONGEST} == {}


def test_imports_go_round_in_no_circle(graph: dict[str, set[str]]) -> None:
    assert len(graph) > 300
    order = list(TopologicalSorter({m: named & MODULES.keys() for m, named in graph.items()}).static_order())
    assert order.index("medsyn.errors") < order.index("medsyn.ingest.stage")


def test_nor_do_they_through_the_packages_around_what_is_imported() -> None:
    found = {}
    for module, named in graph_of(lazily=False).items():
        own = named & MODULES.keys()
        found[module] = own.union(*(packages_of(name) for name in own)) - packages_of(module) - {module} | own
    list(TopologicalSorter(found).static_order())


def test_no_stage_imports_another(graph: dict[str, set[str]]) -> None:
    def package(name: str) -> str:
        return ".".join(name.split(".")[:2])

    found = {(package(m), package(n)) for m, named in graph.items() for n in named & MODULES.keys()}
    assert ("medsyn.ingest", "medsyn.data") in found
    assert [(a, b) for a, b in found if a != b and {a, b} <= STAGES] == []


def test_tracking_alone_speaks_to_mlflow(graph: dict[str, set[str]]) -> None:
    assert {m for m, named in graph.items() if any(n.split(".")[0] == "mlflow" for n in named)} == MLFLOW
    assert not any("medsyn.generator.served" in named for named in graph.values())


def test_every_module_can_be_imported_alone() -> None:
    modules = MODULES.keys() - {"medsyn.__main__"}
    done = subprocess.run([sys.executable, "-c", ALONE, *sorted(modules)], env=environment(), capture_output=True)
    assert (done.returncode, done.stdout.decode()) == (0, ""), done.stderr.decode()


def test_an_ingest_loads_no_torch_in_any_of_its_processes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "medsyn", "ingest", "--sample-subjects", "60", "--size", "32", "--workers", "2"]
    told = environment(PYTHONPROFILEIMPORTTIME="1", MEDSYN_WORKSPACE=str(tmp_path / "workspace"))
    done = subprocess.run(command, cwd=tmp_path, env=told, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    loaded = [line.rpartition("|")[2].strip() for line in done.stderr.splitlines() if line.startswith("import time:")]
    assert loaded.count("medsyn.ingest.reading") > 1  # in the command, and in the server of its workers
    assert {"mlflow", "numpy"} <= set(loaded)
    assert not {"torch", "monai"} & set(loaded)
