"""Every command that a page shows is one that there is, with options that it has and values that it takes."""

from __future__ import annotations

import re
import shlex
from typing import Any

import pytest
import typer

from docs.pages import ALL, arguments, blocks, name, prose
from medsyn.cli import app
from medsyn.config import STAGES, validate

CLI: Any = typer.main.get_command(app)
SHOWN = [(name(page), line) for page in ALL for block in blocks(page, "sh", "bash", "") for line in block.lines]
CALLS = [(page, line, call) for page, line in SHOWN if "medsyn" in line for call in arguments(line)]
INLINE = [
    (name(page), code)
    for page in ALL
    if page.name != "CHANGELOG.md"  # it tells of options of earlier versions
    for code in re.findall(r"(?<!`)`([^`\n]+)`(?!`)", prose(page))
]
FOREIGN = {"--env-manager", "--nthreads", "--nworkers", "--only", "--train", "--strict"}
"""Options of other programs that prose names: MLflow's, Dask's, the benchmarks', mkdocs'."""
MANNER = ("as_json", "quiet", "verbose", "log_format")
"""How a command speaks: of all commands, and no options of a stage."""


def resolve(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words name, and what is left of them."""
    command, rest = CLI, list(words)
    while hasattr(command, "commands") and rest and not rest[0].startswith("-"):
        assert rest[0] in command.commands, f"there is no command '{rest[0]}'"
        command = command.commands[rest.pop(0)]
    return command, rest


def options(command: Any) -> set[str]:
    own = {text for parameter in command.params for text in (*parameter.opts, *parameter.secondary_opts)}
    return own | {"--help", "-h"}


def every_option(command: Any = CLI) -> set[str]:
    return options(command).union(*(every_option(c) for c in getattr(command, "commands", {}).values()))


def test_there_are_commands():
    assert {call[0] for _, _, call in CALLS if call} >= {"ingest", "train-gan", "augment", "evaluate", "verify"}
    assert len(CALLS) > 40


def test_commands_within_others_count():
    assert arguments("a=$(medsyn status --json | jq .x) && medsyn gc") == [["status", "--json"], ["gc"]]
    assert ("reference/operations.md", ["evaluate", "--json"]) in [(page, call) for page, _, call in CALLS]


@pytest.mark.parametrize(("page", "line", "call"), CALLS, ids=[f"{page}: {line[:60]}" for page, line, _ in CALLS])
def test_a_command_of_a_page(page: str, line: str, call: list[str]):
    command, rest = resolve(call)
    if rest and rest[0].endswith("-completion"):
        return  # it would write into the user's shell
    with command.make_context("medsyn", rest) as context:
        given = {key: value for key, value in context.params.items() if value not in (None, (), [])}
    if call[0] in STAGES:
        for key in ("workspace", *MANNER):
            given.pop(key, None)
        validate(STAGES[call[0]], given, where=line)


@pytest.mark.parametrize(("page", "code"), [shown for shown in INLINE if shown[1].startswith("medsyn ")])
def test_a_command_in_a_sentence(page: str, code: str):
    words = [word for word in shlex.split(re.sub(r"\[[^\]]*\]|<[^>]*>|\.\.\.|…", "", code)) if word != "medsyn"]
    command, rest = resolve(words)
    for word in rest:
        if word.startswith("--"):
            assert word.split("=")[0] in options(command), f"{page}: {code}"


@pytest.mark.parametrize(("page", "code"), [shown for shown in INLINE if shown[1].startswith("--")])
def test_an_option_in_a_sentence(page: str, code: str):
    for option in re.findall(r"(?<!\S)--[a-z][a-z-]*", code):
        assert option in every_option() | FOREIGN, f"{page}: {code}"
