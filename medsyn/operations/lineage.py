"""What was made from what, and what is not what the same commands would make now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from medsyn.operations.items import Item, Read
from medsyn.workspace import DATASET, EVALUATION, GENERATOR, SYNTHETIC, Kind


@dataclass
class Lineage:
    """Results as trees.

    Attributes:
        roots: What was made from nothing that is here, oldest first; mostly datasets.
        by_dataset: Content digest -> the newest dataset that has it.
        by_generator: Digest of the weights -> the newest generator that has it.
    """

    roots: list[Item]
    by_dataset: dict[str, Item]
    by_generator: dict[str, Item]


def lineage(results: Mapping[Kind, list[Read]]) -> Lineage:
    """Hang every result below the one that it was made from, and say what is stale."""
    datasets, generators = results[DATASET], results[GENERATOR]
    by_dataset = {str(d.get("content_digest")): d for d in datasets if d.get("content_digest")}
    by_generator = {str(g.get("digest")): g for g in generators if g.get("digest")}
    roots = [d.item for d in datasets]
    for dataset in datasets:
        _superseded(dataset, datasets)
    for generator in generators:
        name, digest = generator.get("dataset", "name"), generator.get("dataset", "content_digest")
        parent = _which(datasets, "content_digest", digest, name)
        _hang(generator.item, parent, roots, f"its dataset ({name or 'unknown'}) is not here")
        if parent is not None and parent.item.stale:
            generator.item.stale.append(f"dataset {parent.item.stale[0]}")
    for made in results[SYNTHETIC]:
        parent = _which(generators, "digest", made.get("checkpoint_digest"), made.get("generator"))
        _hang(made.item, parent, roots, f"its generator ({made.get('generator') or 'unknown'}) is not here")
        if parent is not None:
            _outdone(made, parent, generators)
    sets = results[SYNTHETIC]
    for evaluation in results[EVALUATION]:
        source = _judged(evaluation, sets)
        name, digest = evaluation.get("dataset", "name"), evaluation.get("dataset", "digest")
        parent = source or _which(datasets, "content_digest", digest, name)
        _hang(evaluation.item, parent, roots, _missing(evaluation, source))
        if source is not None and source.item.stale:
            evaluation.item.stale.append("the set it judges is")
        elif source is None and parent is not None and parent.item.stale:
            evaluation.item.stale.append(f"dataset {parent.item.stale[0]}")
    return Lineage(
        roots,
        {digest: one.item for digest, one in by_dataset.items()},
        {digest: one.item for digest, one in by_generator.items()},
    )


def _which(results: list[Read], key: str, digest: str | None, name: str | None) -> Read | None:
    """The result with this digest: of several the one that is named, else the newest."""
    same = [one for one in results if digest and one.get(key) == digest]
    return next((one for one in same if one.item.name == name), same[-1] if same else None)


def _hang(item: Item, parent: Read | None, roots: list[Item], missing: str) -> None:
    if parent is not None:
        parent.item.derived.append(item)
        return
    roots.append(item)
    if missing and not item.damaged:
        item.notes.append(missing)


def _superseded(dataset: Read, datasets: list[Read]) -> None:
    """Whether later datasets of the same name hold something else."""
    name, digest = dataset.get("name"), dataset.get("content_digest")
    later = [d for d in datasets if d.number > dataset.number and name and d.get("name") == name and d.main]
    if not later:
        return
    newest = later[-1]
    if newest.get("content_digest") == digest:
        dataset.item.notes.append(f"{newest.item.name} is the same")
        return
    more = (newest.item.facts["images"] or 0) - (dataset.item.facts["images"] or 0)
    change = f", {abs(more):,} image{'s' * (abs(more) != 1)} {'more' if more > 0 else 'fewer'}" if more else ""
    dataset.item.stale.append(f"{newest.item.name} is newer{change}")


def _outdone(made: Read, parent: Read, generators: list[Read]) -> None:
    """Whether its generator is stale, or another one has been trained on the same scans since."""
    name = parent.get("name")
    later = [g for g in generators if g.number > parent.number and name and g.get("name") == name]
    later = [g for g in later if g.get("digest") != parent.get("digest") and g.main]
    if later:
        made.item.stale.append(f"generator {later[-1].item.name} is newer than {parent.item.name}")
    elif parent.item.stale:
        made.item.stale.append("its generator is")


def _judged(evaluation: Read, sets: list[Read]) -> Read | None:
    """The set that an evaluation judged; of another tool's images, or those of generators trained on the way, none."""
    told = evaluation.get("synthetic") or {}
    if told.get("foreign"):
        return None
    same = [s for s in sets if s.item.name == told.get("name")]
    # A name comes again when the newest set is deleted: digest and time tell which one was meant.
    meant = {told.get("checkpoint_digest"), None}
    if "unknown" in meant:
        return next((s for s in same if s.item.created <= evaluation.item.created), None)
    return next((s for s in same if s.get("checkpoint_digest") in meant), None)


def _missing(evaluation: Read, source: Read | None) -> str:
    name = evaluation.get("synthetic", "name")
    return "" if source is not None else f"neither the set it judges ({name}) nor its dataset is here"
