"""A study in the terminal."""

from __future__ import annotations

from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from medsyn.manner import answer
from medsyn.page.numbers import number
from medsyn.readers.results import Readers, Share
from medsyn.readers.scoring import percent
from medsyn.readers.stage import ScoreResult, StudyResult
from medsyn.terminal import out, shown_path, warn


def made(result: StudyResult, *, as_json: bool) -> None:
    """Print where the page is and what to do with it."""
    if as_json:
        facts = asdict(result) | {"page": str(result.page), "key": str(result.key)}
        answer(facts)
        return
    real = ", ".join(f"{n} of {split}" for split, n in result.splits.items())
    out.print(
        f"[green]✓[/] reader study [bold]{result.study}[/]: {result.cases} cases, half synthetic, half real ({real}), "
        f"{len(result.classes)} classes"
    )
    out.print(f"Page:  {shown_path(result.page)}")
    if not result.simulated:
        warn("The page shows real patients and is readable by you alone (0600): keep it within your team.")
    out.print(f"[dim]What is what: {shown_path(result.key)}, not for readers[/]")
    out.print("[dim]Then: medsyn reader-study --score answers-*.json[/]")


def scored(result: ScoreResult, *, as_json: bool) -> None:
    """Print how well readers did."""
    if as_json:
        facts = result.found.model_dump(mode="json")
        facts |= {"evaluation": result.evaluation.name if result.evaluation else None}
        facts["warnings"] = [*facts["warnings"], *result.warnings]
        answer(facts)
        return
    out.print(escape(result.found.sentence))
    out.print(_table(result.found))
    both = result.found.together
    if both:
        name = "Cohen's" if len(result.found.readers) == 2 else "Fleiss'"
        kappas = [(a.kappa.value if a.kappa else None) for a in (both.agreement_call, both.agreement_label)]
        out.print(f"{name} kappa: real or synthetic {number(kappas[0], 2)}, class {number(kappas[1], 2)}")
    for warning in (*result.found.warnings, *result.warnings):
        warn(warning)
    if result.evaluation:
        out.print(f"Report: {shown_path(result.evaluation / 'report.html')}#readers")
    out.print(f"[dim]{shown_path(result.page)}[/]")


def _table(found: Readers) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("reader")
    for name in ("told rightly", "synthetic", "real", "d′", "class, real", "class, synthetic", "s, real", "s, synth."):
        table.add_column(name, justify="right")
    for r in found.readers:
        seconds = [number(t.median if t else None, 1) for t in (r.seconds_real, r.seconds_synthetic)]
        shares = [_share(s) for s in (r.told, r.sensitivity, r.specificity)]
        named = [_share(s) for s in (r.named_real, r.named_synthetic)]
        table.add_row(escape(r.reader), *shares, number(r.d_prime.value, 2), *named, *seconds)
    return table


def _share(share: Share) -> str:
    return f"{percent(share.value)} ({share.k}/{share.n})"
