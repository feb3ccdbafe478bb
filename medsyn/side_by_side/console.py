"""Evaluations side by side in the terminal."""

from __future__ import annotations

from rich.markup import escape
from rich.table import Table

from medsyn.manner import answer
from medsyn.side_by_side.stage import CompareResult
from medsyn.side_by_side.table import Cell, parts
from medsyn.terminal import out, shown_path, warn

_COLOURS = {"helps": "green", "hurts": "red", "equivalent": "blue", "no evidence": "yellow"}


def tell(result: CompareResult, *, as_json: bool) -> None:
    """Print the comparison: for people, what is not comparable first; or as JSON and nothing else."""
    if as_json:
        facts = result.found.model_dump(mode="json")
        answer(facts)
        return
    severe = [doubt.text for doubt in result.found.doubts if doubt.severe]
    if severe:
        out.print("[bold red]NOT COMPARABLE[/]")
    for text in severe:
        out.print(f"[red]✗[/] {escape(text)}")
    out.print(_facts(result))
    if result.found.settings or result.found.software:
        out.print(_settings(result))
    for doubt in result.found.doubts:
        if not doubt.severe:
            warn(doubt.text)
    if result.html:
        out.print(f"Page: {shown_path(result.html)}")


def _facts(result: CompareResult) -> Table:
    table = _table("", result)
    for part in parts(result.found.evaluations):
        if part.title == "Readers" and not any(c.readers for c in result.found.evaluations):
            continue
        table.add_row(f"[bold]{part.title}[/]")
        for line in part.lines:
            table.add_row(f"  {escape(line.name)}", *map(_cell, line.cells))
    return table


def _settings(result: CompareResult) -> Table:
    table = _table("what differs", result)
    for title, rows in (("Settings", result.found.settings), ("Software", result.found.software)):
        if rows:
            table.add_row(f"[bold]{title}[/]")
            for row in rows:
                table.add_row(f"  {escape(row.name)}", *(escape(v) if v is not None else "–" for v in row.values))
    return table


def _table(head: str, result: CompareResult) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(head, overflow="fold")
    for column in result.found.evaluations:
        table.add_column(escape(column.name), overflow="fold")
    return table


def _cell(cell: Cell) -> str:
    text = escape(cell.text)
    colour = _COLOURS.get(cell.text)
    shown = f"[{colour}]{text}[/]" if colour else text
    return f"{shown} [dim]({escape(cell.small)})[/]" if cell.small else shown
