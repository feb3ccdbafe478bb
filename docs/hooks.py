"""Pages that are made when the site is built: README as its home, every command's --help, changelog, contributing."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import get_type_hints

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from medsyn.config import STAGES

ROOT = Path(__file__).resolve().parents[1]
FROM_THE_TOP = {"README.md": "index.md", "CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md"}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages; mkdocs calls this by its name."""
    made = {page: at_home((ROOT / source).read_text(encoding="utf-8")) for source, page in FROM_THE_TOP.items()}
    made |= {"reference/commands.md": commands(), "reference/options.md": options()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Leave the room of the side menu to pages that stand alone in it."""
    if page.parent is None:
        page.meta["hide"] = ["navigation"]
    return markdown


def at_home(text: str) -> str:
    """A page of the top folder with the links that it has in the site; other files of the repository are named only."""
    text = text.replace("](docs/pages/", "](")
    for source, page in FROM_THE_TOP.items():
        text = text.replace(f"]({source})", f"]({page})")
    return re.sub(r"\[([^\]]+)\]\((?:pipelines|configs|benchmarks)/[^)]*\)", r"\1", text)


def commands() -> str:
    """All commands and options, as Typer tells them."""
    tell = [sys.executable, "-m", "typer", "medsyn.cli", "utils", "docs", "--name", "medsyn", "--title", "Commands"]
    text = subprocess.run(tell, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    text = re.sub(r"\[bold\](.*?)\[/\]", r"`\1`", text)  # Rich's markup
    text = re.sub(r"<list\[(\w+)\]>", r"<\1> ...", text)
    text = re.sub(r"\*\*Commands\*\*:\n\n(\* .*\n)+", "", text)  # cut off there, and headings anyway
    return re.sub(r"\* `[^`]+`: Show this message and exit\.\n", "", text)


def options() -> str:
    """The options of every stage under the names that they have in Python and in pipeline files."""
    text = (
        "# Options\n\nOf the stages in [Python](python.md) and in [pipeline files](../quickstart.md#from-one-file).\n"
    )
    for stage, model in STAGES.items():
        text += f"\n## {stage}\n\n| option | what it does | type | default |\n|---|---|---|---|\n"
        types = get_type_hints(model)
        for name, field in model.model_fields.items():
            default = "required" if field.is_required() else f"`{field.get_default(call_default_factory=True)!r}`"
            kind = re.sub(r"^Optional\[(.*)\]$", r"\1 | None", inspect.formatannotation(types[name]))
            text += f"| `{name}` | {field.description or 'as on the command line'} | `{kind}` | {default} |\n"
    return text
