"""What a user sees in the terminal: progress bars, what a stage made, errors."""

from __future__ import annotations

import logging
import shlex
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

from medsyn import manner
from medsyn.busy import Busy
from medsyn.errors import MedsynError
from medsyn.logs import FACTS, SPOKEN, OnConsole
from medsyn.manner import Manner
from medsyn.progress import Task
from medsyn.torchrun import launched

log = logging.getLogger("medsyn")

UNLIKE = 0.05
"""Coverage of tune below which a generator is not to be used unseen."""

WIDE = 200
"""Columns of a table where there is no terminal."""


# Without emoji: 'module:x' is no cross.
# Of several processes that torchrun started, the first one speaks; what goes wrong, any of them may tell.
class _Out(Console):
    """Standard output: whatever shows that a command is at work makes room for it."""

    def print(self, *objects: Any, **how: Any) -> None:
        _busy.rest()
        super().print(*objects, **how)


out = _Out(highlight=False, soft_wrap=True, emoji=False, quiet=launched()[0] > 0)
err = Console(stderr=True, highlight=False, soft_wrap=True, emoji=False)


def speak(how: Manner) -> None:
    """Let everything that is printed from here on, and what is logged to standard error, follow these settings."""
    out.stderr = how.as_json
    level = logging.DEBUG if how.verbose else logging.INFO if how.log_json and not how.quiet else logging.WARNING
    log.setLevel(logging.DEBUG if how.verbose else logging.INFO)
    for old in [handler for handler in log.handlers if isinstance(handler, OnConsole)]:
        log.removeHandler(old)
    log.addHandler(OnConsole(err, level, as_json=how.log_json, dated=how.verbose))


@contextmanager
def hushed() -> Iterator[None]:
    """What is printed within says only that all went well: where that was not asked for, it is not said."""
    before, out.quiet = out.quiet, out.quiet or manner.current.quiet or manner.current.log_json
    try:
        yield
    finally:
        out.quiet = before


class _BarTask:
    def __init__(self, bars: Progress, task: TaskID) -> None:
        self._bars, self._task = bars, task

    def update(self, done: float, note: str = "") -> None:
        self._bars.update(self._task, completed=done, note=note)


def _bars_shown() -> bool:
    return err.is_terminal and not manner.current.quiet and not manner.current.log_json


class Terminal:
    """Progress on a terminal; plain lines, without bars, where the output is not one."""

    @contextmanager
    def task(self, label: str, total: float) -> Iterator[Task]:
        columns = (
            TextColumn("  {task.description:<12}"),
            BarColumn(bar_width=28),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TimeRemainingColumn(compact=True),
            TextColumn("[dim]{task.fields[note]}"),
        )
        started = time.monotonic()
        with _busy.suspended(), Progress(*columns, console=err, disable=not _bars_shown()) as bars:
            task = bars.add_task(label, total=total or 1, note="")
            yield _BarTask(bars, task)
            bars.update(task, completed=total or 1)
        facts = {"task": label, "total": total, "seconds": round(time.monotonic() - started, 3)}
        log.info("%s: %g in %.1f s", label, total, facts["seconds"], extra={FACTS: facts})

    def say(self, text: str) -> None:
        notice(text)


_busy = Busy(err, _bars_shown)
at_work = _busy.__call__
manner.before_answering = _busy.rest


def notice(text: str) -> None:
    """Tell one line on standard error: not the answer, but good to know."""
    if manner.current.log_json:
        log.info(text, extra={SPOKEN: True})
    elif not manner.current.quiet:
        err.print(f"  {escape(text)}")


def heading(stage: str) -> None:
    if manner.current.log_json or manner.current.quiet:
        return
    err.print(f"[bold cyan]{escape(stage)}[/]")


def show(stage: str, result: Any) -> None:
    """Print what a stage made."""
    {"ingest": _ingest, "train-gan": _train, "augment": _augment, "evaluate": _evaluate}[stage](result)


def show_next(stage: str, result: Any, workspace: Path | None) -> None:
    """Print the command that comes next, with the workspace where one was named."""
    following = {"ingest": "train-gan", "train-gan": "augment", "augment": "evaluate"}.get(stage)
    if following:
        named = f" --workspace {shown_path(workspace)}" if workspace else ""
        if stage == "ingest":
            out.print(f"[dim]Look at it: medsyn inspect{named}[/]")
        out.print(f"[dim]Next: medsyn {following} --modality {result.modality}{named}[/]")


def _ingest(result: Any) -> None:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("class")
    for split in ("train", "tune", "val", "test"):
        table.add_column(split, justify="right")
    for label, counts in result.images_per_class.items():
        table.add_row(escape(label), *(str(counts.get(s, 0)) for s in ("train", "tune", "val", "test")))
    outcomes = ", ".join(f"{n} {outcome}" for outcome, n in result.outcomes.items())
    out.print(
        f"[green]✓[/] dataset [bold]{escape(result.path.name)}[/]: {result.images} images of {result.subjects} subjects"
    )
    if result.images_per_class:
        out.print(table)
    else:
        ways = ", or ".join(result.ways_to_label)
        warn(
            "No image has a label, so no generator can be trained on this"
            + (f": ingest again with {ways}" if ways else "")
            + ". medsyn inspect shows it all the same."
        )
    out.print(f"[dim]{result.files} files. In {shown_path(result.ledger)}, a row an image or file: {outcomes}[/]")
    left_out = [f"{reason} {n}" for reason, n in result.reasons.items() if reason != "labels_file"]
    if left_out:
        reasons = ", ".join(left_out[:6])
        out.print(f"[dim]Left out: {escape(reasons)}[/]")
    for caveat in result.caveats:
        warn(caveat)


def _train(result: Any) -> None:
    monitor = ", ".join(f"{k} {v:.3f}" for k, v in result.monitor.items() if isinstance(v, float))
    trained = f"{result.kimg:.1f} kimg in {result.seconds:.0f} s"
    out.print(
        f"[green]✓[/] generator [bold]{escape(result.path.name)}[/]: "
        + (f"a mixture of Gaussians, no snapshot of {trained} is kept" if result.closed_form else trained)
        + (f" ({monitor} on tune)" if monitor else "")
    )
    if result.monitor.get("coverage", 1) < UNLIKE:
        warn("Hardly any image of tune has a sample near it: look at the samples, and train longer.")
    for caveat in (*result.health, *result.caveats):
        warn(caveat)
    out.print(f"[dim]samples: {shown_path(result.grid)}, model card: {shown_path(result.card)}[/]")
    if result.registered:
        out.print(f"[dim]in MLflow's registry: {escape(result.registered)}[/]")


def explored(result: Any) -> None:
    """Print where the pictures of a generator are."""
    out.print(f"[green]✓[/] generator [bold]{escape(result.generator)}[/] in pictures:")
    for file in result.files:
        out.print(f"  {shown_path(file)}")


def sent(result: Any) -> None:
    """Print what became of a synthetic set at a PACS."""
    before = result.instances - result.sent
    out.print(
        f"[green]✓[/] {result.sent} instances of [bold]{escape(result.path.name)}[/] sent to {escape(result.url)}"
        + (f", {before} were there before" if before else "")
        + f"; the server finds all {result.instances}"
    )
    for what, n in result.warnings.items():
        warn(f"{n} instances were taken with a warning ({what})")


def delivered(result: Any, store: str) -> None:
    """Print what MLflow has got that it had missed."""
    if manner.current.as_json:
        manner.answer({"delivered": result.delivered, "elsewhere": result.elsewhere, "store": store})
        return
    n = result.delivered
    out.print(f"[green]✓[/] {n} runs delivered" if n else "MLflow has missed nothing", f"({escape(store)})")
    for other in sorted(set(result.elsewhere)):
        warn(f"{result.elsewhere.count(other)} runs wait for {other}: name it with MLFLOW_TRACKING_URI")


def _augment(result: Any) -> None:
    counts = ", ".join(f"{c} {n}" for c, n in result.images_per_class.items())
    out.print(f"[green]✓[/] synthetic set [bold]{escape(result.path.name)}[/]: {result.n} images ({escape(counts)})")
    if result.rejected:
        table = Table(box=None, pad_edge=False, header_style="dim", style="dim")
        rules = sorted({rule for rates in result.rates.values() for rule in rates})
        table.add_column("of the candidates of")
        for rule in rules:
            table.add_column(rule, justify="right")
        for label, rates in result.rates.items():
            table.add_row(escape(label), *(f"{rates[rule]:.1%}" if rule in rates else "0" for rule in rules))
        out.print(table)
        out.print(f"[dim]failed these rules; {sum(result.rejected.values())} were left out, see manifest.csv[/]")
    for warning in result.warnings:
        warn(warning)
    out.print(f"[dim]{shown_path(result.path)}, contact sheet: {shown_path(result.contact_sheet)}[/]")
    if result.sent:
        sent(result.sent)
    if result.beside_real:
        warn(f"Sheets beside real patients, for your team alone: {shown_path(result.beside_real)}")


def verified(result: Any, *, as_json: bool) -> None:
    """Print what became of every check of a synthetic set: a line each, or as JSON and nothing else."""
    if as_json:
        manner.answer(result.facts())
        return
    wrong = {finding.check for finding in result.findings}
    lines = [("[green]✓[/]", check, text) for check, text in _well(result) if check not in wrong]
    lines += [("[red]✗[/]", finding.check, finding.sentence) for finding in result.findings]
    lines += [("[yellow]![/]", "generator", text) for text in _doubts(result, within="generator" not in wrong)]
    of = f" of the {result.wanted:,} that were asked for" if result.images < result.wanted else ""
    out.print(f"synthetic set [bold]{escape(result.name)}[/]: {result.images:,} images{of}")
    table = Table.grid(padding=(0, 2, 0, 0))
    for mark, check, text in lines:
        table.add_row(mark, check, escape(text))
        if not out.is_terminal:  # a line stays a line, for other programs
            out.print(f"{mark}  {check:<9}  {escape(text)}")
    if out.is_terminal:
        out.print(table)


def _well(result: Any) -> Iterator[tuple[str, str]]:
    """What can be said of a check that found nothing wrong."""
    yield "files", f"{result.files:,} files are those of SHA256SUMS, and that is the one card.json names"
    yield "manifest", f"{result.images:,} images of {result.judged:,} candidates, as card.json counts them"
    if result.sampled:
        marked = f"; {result.marked:,} files say that they are synthetic" if result.marked else ""
        yield "images", f"{result.sampled:,} at random have the pixels of the manifest{marked}"
    again = result.regenerated
    if again is not None and again.images == again.identical:
        yield "generator", f"{again.images:,} images made again by {again.generator}, bit for bit"


def _doubts(result: Any, *, within: bool) -> Iterator[str]:
    """What a verification could not say for certain; ``within``: all images are within a grey level."""
    again = result.regenerated
    if again is None:
        if within:
            yield "not here, so no image was made again: name its folder with --generator"
    elif again.images > again.identical:
        made, here = (
            f"torch {facts.get('torch')} on {facts.get('device')}, {facts.get('machine')}, {facts.get('instructions')}"
            for facts in (again.made_on, again.here)
        )
        if within:
            yield (
                f"{again.identical:,} of {again.images:,} images made again by {again.generator} bit for bit, the "
                "others within 1 grey level, as on another platform"
            )
        yield f"made with {made}; here {here}" if made != here else f"made on a platform like this one: {here}"


def _evaluate(result: Any) -> None:
    verdict = result.report.verdict
    colour = {"helps": "green", "hurts": "red", "equivalent": "blue"}.get(verdict.decision, "yellow")
    out.print(f"[bold {colour}]Verdict: {verdict.decision}[/]")
    out.print(escape(verdict.sentence))
    for warning in verdict.warnings:
        warn(warning)
    if result.report.selection.tested:
        out.print(escape(result.report.selection.sentence))
    out.print(f"Report: {shown_path(result.html)}")


def warn(text: str) -> None:
    """Print a warning: with the answer, or, where that is for a machine or unwanted, on standard error."""
    if manner.current.log_json:
        log.warning(text, extra={SPOKEN: True})
    else:
        console = err if manner.current.quiet or manner.current.as_json else out
        console.print(f"[yellow]![/] {escape(text)}")


def fail(error: MedsynError | str, code: int) -> None:
    """Print the one line of an error, and as the answer where that is JSON."""
    facts: dict[str, object]
    if isinstance(error, MedsynError):
        line = error.line()
        facts = {"kind": type(error).__name__, "what": error.what, "where": error.where, "mend": error.mend}
    else:
        line, facts = error, {"what": error}
    facts["exit_code"] = int(code)
    if manner.current.log_json:
        log.error(line, extra={FACTS: {"error": facts}, SPOKEN: True})
    else:
        err.print(f"[bold red]Error:[/] {escape(line)}")
    if manner.current.as_json:
        manner.answer({"error": facts})


def ui_hint(command: str) -> None:
    out.print(f"Runs:   {escape(command)}")


def tree(renderable: RenderableType) -> None:
    """Print what is laid out: wrapped to the terminal; as it is, a line a line, where there is none."""
    out.print(renderable, soft_wrap=not out.is_terminal)


def table(renderable: RenderableType) -> None:
    """Print a table: as wide as the terminal; as wide as it likes where there is none."""
    out.print(renderable, soft_wrap=False, width=None if out.is_terminal else WIDE)


def shown_path(path: Path) -> str:
    """A path as the user may type it, relative where that is shorter, for rich's markup."""
    return escape(plain_path(path))


def plain_path(path: Path) -> str:
    """As `shown_path`, for what is no markup."""
    try:
        short = path.relative_to(Path.cwd())
    except ValueError:
        short = path
    return shlex.quote(str(short))
