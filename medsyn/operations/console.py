"""A workspace in the terminal: fits 80 columns, reads without colour."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.markup import escape
from rich.table import Table
from rich.text import Text
from rich.tree import Tree

from medsyn import terminal
from medsyn.operations.gc import Collected
from medsyn.operations.items import Item
from medsyn.operations.models import Model
from medsyn.operations.status import Status
from medsyn.operations.underway import Begun
from medsyn.page.numbers import signed

COLOURS = {"helps": "green", "hurts": "red", "equivalent": "blue"}


def show_status(found: Status) -> None:
    """Print the tree, then what is under way, then what takes room."""
    root = Tree(
        Text.assemble(
            (terminal.plain_path(found.workspace), "bold"),
            (f"  {bytes_(found.bytes)}; {bytes_(found.free_bytes)} free on this disk", "dim"),
        ),
        guide_style="dim",
    )
    for item in found.results:
        _branch(root, item)
    terminal.tree(root)
    if not found.results:
        terminal.out.print("  Nothing is in it yet: medsyn ingest begins.")
    if found.unfinished:
        terminal.out.print("[bold]Unfinished[/]")
        for one in found.unfinished:
            _begun(one)
    rest = sorted(found.other.items(), key=lambda one: -one[1])
    told = [f"{name} {bytes_(n)}" for name, n in rest if n >= 10**6]
    if told:
        terminal.out.print(Text(f"Beside results: {', '.join(told)}", style="dim"))
    if found.removable:
        terminal.out.print(f"[dim]medsyn gc would free {bytes_(found.removable)}; medsyn gc --dry-run tells what[/]")


def _branch(tree: Tree, item: Item) -> None:
    lines = [
        Text.assemble((item.name, "bold"), f"  {item.kind}", (f"  {day(item.created)}, {bytes_(item.bytes)}", "dim")),
        *filter(None, [_told(item)]),
        *(Text.assemble(("✗ ", "bold red"), text) for text in item.damaged),
        *(Text.assemble(("! ", "yellow"), f"stale: {text}") for text in item.stale),
        *(Text.assemble(("· ", "dim"), (text, "dim")) for text in item.notes),
    ]
    branch = tree.add(Text("\n").join(lines))
    for one in item.derived:
        _branch(branch, one)


def _told(item: Item) -> Text | None:
    """What a result is, in one line."""
    facts = item.facts
    if not facts:
        return None
    if item.kind == "dataset":
        side = f", {facts['size'][0]} px" if facts["size"] else ""
        classes = ", ".join(facts["classes"][:4]) + (", ..." if len(facts["classes"]) > 4 else "")
        told = f"{number(facts['images'])} {facts['modality']} images of {number(facts['subjects'])} subjects"
        return Text(f"{told}{side}: {classes or 'no labels'}")
    if item.kind == "generator":
        figures = [f"KID {facts['kid']:.2f}"] if facts["kid"] is not None else []
        figures += [f"coverage {facts['coverage']:.2f}"] if facts["coverage"] is not None else []
        judged = f"{', '.join(figures)} on tune; " if figures else ""
        length = f", {facts['kimg']:g} kimg" if facts["kimg"] is not None else ""
        return Text(f"{judged}{facts['recipe'] or facts['modality']}{length}")
    if item.kind == "synthetic set":
        per_class = ", ".join(f"{label} {number(n)}" for label, n in (facts["images_per_class"] or {}).items())
        short = "" if facts["complete"] else "; fewer than were asked for"
        return Text(f"{number(facts['images'])} images" + (f" ({per_class})" if per_class else "") + short)
    if facts["verdict"] is None:
        return None
    effect = ""
    if facts["effect"] is not None:
        effect = f": {facts['measure']} {signed(facts['effect'])}"
        if facts["low"] is not None:
            effect += f" ({signed(facts['low'])} to {signed(facts['high'])})"
    return Text.assemble((facts["verdict"], COLOURS.get(facts["verdict"], "yellow")), effect)


def _begun(one: Begun) -> None:
    share = ""
    if one.done is not None:
        verb = {"training": "shown", "synthetic set": "made", "ingest": "read"}[one.kind]
        share = f", {one.done:,}" + (f" of {one.total:,}" if one.total else "")
        share += f" {'files' if one.kind == 'ingest' else 'images'} {verb}"
    state = "running" if one.running else "stopped"
    what = f"{one.kind}{f' {one.name}' if one.name else ''}"
    terminal.out.print(Text.assemble(f"  {what}", (f"  {state} {day(one.changed)}{share}", "dim")))
    if one.damaged:
        terminal.out.print(Text.assemble("    ", ("✗ ", "bold red"), one.damaged))
    elif one.go_on:
        terminal.out.print(Text.assemble("    ", ("goes on with ", "dim"), one.go_on))
    elif not one.running and one.kind == "training":
        terminal.out.print("    [dim]--resume takes a newer one of this dataset first[/]")


def show_models(models: list[Model], store: str | None) -> None:
    """Print generators, the newest first, and who is champion."""
    if not models:
        terminal.out.print("No generator yet: medsyn train-gan makes one.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("generator", no_wrap=True)
    table.add_column("modality")
    table.add_column("dataset", overflow="fold")
    table.add_column("KID", justify="right")
    table.add_column("coverage", justify="right")
    table.add_column("made", no_wrap=True)
    table.add_column("in the registry", overflow="fold")
    for model in models:
        where = model.version or "–"
        table.add_row(
            f"[bold]{escape(model.generator or '–')}[/]" + ("" if model.path else " [dim](not here)[/]"),
            escape(model.modality or "–"),
            escape(model.dataset or "–"),
            "–" if model.kid is None else f"{model.kid:.3f}",
            "–" if model.coverage is None else f"{model.coverage:.2f}",
            day(model.created, time=False),
            f"[green]{escape(where)} champion[/]" if model.champion else escape(where),
        )
    terminal.table(table)
    if store is not None:
        terminal.out.print(f"[dim]Registry: {escape(store)}[/]")
    else:
        terminal.warn("MLflow's registry was not asked: it is not there, or does not answer.")


def show_collected(found: Collected) -> None:
    """Print what went, or would go."""
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column(overflow="fold", style="dim")
    for one in found.removed:
        table.add_row(escape(terminal.plain_path(one.path)), bytes_(one.bytes), one.why)
    if found.removed:
        terminal.table(table)
    for path, why in found.kept.items():
        terminal.warn(f"{path} stays: {why}")
    n = len(found.removed)
    if not n:
        terminal.out.print("[green]✓[/] nothing to remove")
    elif found.dry:
        terminal.out.print(f"{n} to remove, {bytes_(found.bytes)}; nothing was touched (--dry-run)")
    else:
        terminal.out.print(f"[green]✓[/] {n} removed, {bytes_(found.bytes)} freed")


def bytes_(n: int) -> str:
    """A size in decimal units."""
    size = float(n)
    for unit in ("bytes", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 9.95 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} TB"


def number(n: int | None) -> str:
    return "?" if n is None else f"{n:,}"


def day(moment: str, *, time: bool = True) -> str:
    """An ISO time as people read it here, in their own time zone."""
    try:
        at = datetime.fromisoformat(moment)
    except ValueError:
        return "–"
    at = (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone()
    return at.strftime("%Y-%m-%d %H:%M" if time else "%Y-%m-%d")
