"""An inspection in the terminal: fits 80 columns, reads without colour."""

from __future__ import annotations

from collections import defaultdict

from rich.markup import escape
from rich.table import Table

from medsyn.data.schema import SPLITS
from medsyn.inspection.page import percent
from medsyn.inspection.results import UNKNOWN, Inspection
from medsyn.inspection.stage import InspectResult
from medsyn.manner import answer
from medsyn.page.numbers import modality_name, p_value
from medsyn.terminal import out, shown_path


def tell(result: InspectResult, *, as_json: bool) -> None:
    """Print the facts: for people, or as JSON and nothing else."""
    if as_json:
        answer(result.report)
        return
    show(result.report)
    if result.html:
        out.print(f"Page: {shown_path(result.html)}")


def show(report: Inspection) -> None:
    """Print what matters most; the page has the rest."""
    c, h, w = report.size
    kind = "simulated " if report.simulated else ""
    out.print(
        f"[bold]{escape(report.name)}[/]: {report.images} {kind}{modality_name(report.modality)} images of "
        f"{report.subjects} subjects, {len(report.classes)} classes, {h} × {w} {'grey' if c == 1 else 'colour'}"
    )
    out.print(_counts(report))
    if report.covariates:
        out.print(_covariates(report))
    out.print(_listed(_rest(report)))
    _findings(report)


def _counts(report: Inspection) -> Table:
    between = " " if report.images < 100_000 else "\n"
    table = _table("class", wide=True)
    for split in (*SPLITS, "all"):
        table.add_column(split, justify="right", no_wrap=True)
    for row in report.counts:
        cells = [(row.images[s], row.units[s]) for s in SPLITS]
        cells.append((sum(row.images.values()), sum(row.units.values())))
        table.add_row(escape(row.label), *(f"{i}{between}({u})" for i, u in cells))
    table.caption = "images (subjects)"
    table.caption_justify = "left"
    return table


def _covariates(report: Inspection) -> Table:
    table = _table("covariate")
    table.add_column("V", justify="right", no_wrap=True)
    table.add_column("p", justify="right", no_wrap=True)
    table.add_column("largest gap between two classes", overflow="fold")
    table.add_column("", no_wrap=True)
    for row in report.covariates:
        if row.gap is None or row.cramers_v is None or row.p_value is None:
            totals = [sum(n) for n in zip(*row.images.values(), strict=True)]
            shares = [f"{level}: {percent(n / sum(totals))}" for level, n in zip(row.levels, totals, strict=True)]
            table.add_row(escape(row.title), "–", "–", escape(", ".join(shares)), "")
            continue
        gap = row.gap
        table.add_row(
            escape(row.title),
            f"{row.cramers_v:.2f}",
            p_value(row.p_value).removeprefix("= "),
            escape(f"{gap.level}: {percent(gap.high_share)} of {gap.high}, {percent(gap.low_share)} of {gap.low}"),
            "[yellow]![/]" if row.confounded else "",
        )
    return table


def _rest(report: Inspection) -> dict[str, str]:
    quartiles = report.per_subject.quartiles
    leaking = [f"{leak.crossing} {leak.what}" for leak in report.leaks if leak.crossing]
    examined = ", ".join(f"{leak.examined} {leak.what}" for leak in report.leaks)
    rest = {"in two splits": ", ".join(leaking) or f"none of {examined}"}
    same = [f"{title} {value}" for title, value in report.same.items() if value != UNKNOWN]
    unknown = [title for title, value in report.same.items() if value == UNKNOWN]
    if same:
        rest["same for all"] = "; ".join(same)
    if unknown:
        rest[UNKNOWN] = "; ".join(unknown)
    if quartiles and quartiles[-1] > 1:
        rest["per subject"] = f"{quartiles[0]:.0f} to {quartiles[-1]:.0f} images, median {quartiles[2]:g}"
    if report.splits.joined_units:
        rest["joined"] = f"{report.splits.joined_subjects} subjects into {report.splits.joined_units} units"
    told = [
        f"{b.label} {b.mean:.2f}" + ("" if b.auroc is None else f" (AUROC {b.auroc:.2f})") for b in report.brightness
    ]
    if told:
        rest["brightness"] = ", ".join(told)
    odd = [f"{o.found} {o.kind}" for o in report.outliers if o.found]
    rest["odd images"] = ", ".join(odd) or "none"
    targets: dict[str, list[str]] = defaultdict(list)
    for t in report.targets:
        targets[t.task].append(f"{t.value if t.state == 'known' else t.state} {t.images}")
    rest |= {f"target {task}": ", ".join(values) for task, values in targets.items()}
    if report.inputs:
        counted = [f"{i.rows} {i.outcome}" + (f" ({i.reason})" if i.reason else "") for i in report.inputs]
        rest[f"{report.files} inputs"] = ", ".join(counted)
    return rest


def _listed(facts: dict[str, str]) -> Table:
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(style="dim", no_wrap=True, max_width=24, overflow="ellipsis")
    table.add_column(overflow="fold")
    for key, value in facts.items():
        table.add_row(escape(key), escape(value))
    return table


def _findings(report: Inspection) -> None:
    if not report.findings:
        out.print("[green]✓[/] nothing stands out")
        return
    table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for finding in report.findings:
        table.add_row("[bold red]✗[/]" if finding.severe else "[yellow]![/]", escape(finding.sentence))
    out.print(table)


def _table(first: str, *, wide: bool = False) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", title_justify="left")
    table.add_column(first, overflow="fold", min_width=12 if wide else None)
    return table
