"""What the threat model promises of the code: no pickle, no unsafe YAML, no shell, no text that becomes markup."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from evaluate.report_pictures import make_galleries
from evaluate.report_sample import CLASSES, make_content

from medsyn.evaluate.report import write
from medsyn.evaluate.results import MEASURES, Arm, Decision, FidelityRow, Report

SOURCES = sorted((Path(__file__).parents[1] / "medsyn").rglob("*.py"))
PICKLES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "pandas.read_pickle"}
SHELLS = {"subprocess", "pty", "popen2", "commands"}
CALLS = {
    *("eval", "exec", "compile", "os.system", "os.popen", "os.execv", "os.spawnv", "os.startfile"),
    *("yaml.load", "yaml.load_all", "yaml.full_load", "yaml.unsafe_load", "yaml.Loader", "yaml.FullLoader"),
    *("yaml.UnsafeLoader", "yaml.CLoader", "pd.read_pickle", "tempfile.mktemp"),
}
SCRIPT = "<script>alert(9)</script>"


def named(node: ast.expr) -> str:
    """``a.b.c`` of an expression, empty where it is none."""
    if isinstance(node, ast.Attribute):
        return f"{named(node.value)}.{node.attr}" if named(node.value) else ""
    return node.id if isinstance(node, ast.Name) else ""


def keywords(call: ast.Call) -> dict[str, object]:
    return {k.arg: getattr(k.value, "value", ...) for k in call.keywords if k.arg}


def dangers(path: Path) -> Iterator[str]:
    """What a module does that runs or unpickles what it reads."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            modules = [n.name for n in node.names] if isinstance(node, ast.Import) else [str(node.module)]
            yield from (name for name in modules if name.split(".")[0] in PICKLES | SHELLS)
        elif isinstance(node, ast.Attribute) and named(node) in CALLS:
            yield named(node)
        elif isinstance(node, ast.Call):
            name, given = named(node.func), keywords(node)
            if name in CALLS:
                yield name
            if name == "torch.load" and given.get("weights_only") is not True:
                yield "torch.load without weights_only"
            if given.get("allow_pickle", False) is not False or given.get("shell", False) is not False:
                yield f"{name} with a pickle or a shell"
            if name.endswith(("Environment", "Template")) and "autoescape" not in given:
                yield f"{name} without autoescape"


def test_nothing_unpickles_evaluates_or_opens_a_shell() -> None:
    assert len(SOURCES) > 300
    found = {path.name: list(dangers(path)) for path in SOURCES}
    # A Dask cluster runs whatever its scheduler is sent, pickled: whoever reaches it needs no further way in.
    assert {name: what for name, what in found.items() if what} == {"cluster.py": ["pickle"]}


@pytest.mark.parametrize(
    "line",
    [
        *("import pickle", "from joblib import load", "import subprocess", "yaml.load(text)", "eval(text)"),
        *("os.system(text)", "torch.load(file)", "np.load(file, allow_pickle=True)", "run(text, shell=True)"),
        *("loader = yaml.UnsafeLoader", "jinja2.Environment(loader=x)"),
    ],
)
def test_the_search_finds_what_it_looks_for(tmp_path: Path, line: str) -> None:
    (tmp_path / "module.py").write_text(line)
    assert list(dangers(tmp_path / "module.py"))


def spoilt(value: Any) -> Any:
    """A report's content with a script at the end of every text, but of those that the schema fixes."""
    fixed = {*MEASURES, *get_args(Decision), "all", "xray", "auroc", "2026-01-03T09:05:00+00:00"}
    for model in (Arm, FidelityRow):
        fixed |= set(get_args(model.model_fields["kind"].annotation))
    if isinstance(value, str):
        return value if value in fixed else value + SCRIPT
    if isinstance(value, dict):
        return {spoilt(key) if key in CLASSES else key: spoilt(part) for key, part in value.items()}
    return [spoilt(part) for part in value] if isinstance(value, list) else value


def test_no_label_name_or_sentence_of_a_report_becomes_markup(tmp_path: Path) -> None:
    content = spoilt(make_content())
    write(Report.model_validate(content), make_galleries(spoilt(CLASSES)), tmp_path)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert page.count("&lt;script&gt;alert(9)") > 100
    assert SCRIPT not in page
    assert not re.search(r"<script>alert", page)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert markdown.count("alert(9)") > 50
    outside = re.sub(r"```.*?```", "", markdown, flags=re.DOTALL)  # of code, no reader makes markup
    assert "<script" not in outside.replace("\\<", "")
