"""Verify a synthetic set: read-only, in flat memory, inside of a workspace or out."""

from __future__ import annotations

from pathlib import Path

from medsyn import compute, generator, portable
from medsyn.augment.verification import card, files, records
from medsyn.augment.verification.card import Card
from medsyn.augment.verification.images import Images
from medsyn.augment.verification.options import VerifyOptions
from medsyn.augment.verification.results import Finding, Regenerated, Verified
from medsyn.errors import EnvironmentFault, MissingError
from medsyn.generator import Generator
from medsyn.progress import SILENT, Progress
from medsyn.synthetic.lineage import checkpoints
from medsyn.workspace import SYNTHETIC, Workspace


def run(options: VerifyOptions, workspace: Workspace, progress: Progress = SILENT) -> Verified:
    """Check a set against its card, its sums and its manifest, and make a sample of its images again.

    Args:
        options: Which set, and how much of it.
        workspace: Where names are looked up, and the generator is looked for; nothing is written.
        progress: Listener.

    Raises:
        MissingError: No such set or generator.
        DataError: The folder has no card that can be read, or the generator is damaged.
    """
    folder = _folder(options.synthetic, workspace)
    told = card.read(folder)
    progress.say(f"Set: {folder.name}" + ("" if options.synthetic else " (the newest)"))
    source = _generator(options.generator, told.checkpoint_digest, folder, workspace)
    model, wrong = _loaded(source, told, options.device)
    named, findings = files.check(folder, told.sums_digest, progress)
    manifest = records.check(folder, told, named)
    here = {"device": str(model.device) if model else "", **compute.platform_facts()}
    looked = Images(folder, told, named, model, here=here == told.made_on)
    seen = looked.check(manifest.accepted, options.share, options.seed, progress)
    regenerated = None
    if source is not None and model is not None:
        regenerated = Regenerated(
            source.name, looked.remade, looked.identical, looked.largest, dict(told.made_on), here
        )
    return Verified(
        path=folder,
        files=len(named),
        images=manifest.accepted,
        wanted=sum(told.wanted.values()) or manifest.accepted,
        judged=manifest.judged,
        sampled=looked.sampled,
        marked=looked.marked,
        regenerated=regenerated,
        findings=[*findings, *manifest.findings, *seen, *wrong],
    )


def _folder(name: str | None, workspace: Workspace) -> Path:
    try:
        return workspace.chosen(SYNTHETIC, name)
    except MissingError:
        if name and Path(name).is_dir():  # a set that has lost its card
            return Path(name).absolute()
        raise


def _generator(name: str | None, digest: str, folder: Path, workspace: Workspace) -> Path | None:
    """The generator that is named, or the newest one that has this digest, beside the set or in the workspace."""
    if name is not None:
        return portable.chosen(workspace, name)
    around = Workspace(folder.parent.parent)
    return next(iter([*checkpoints(workspace, digest), *checkpoints(around, digest)]), None)


def _loaded(source: Path | None, told: Card, device: str | None) -> tuple[Generator | None, list[Finding]]:
    """The generator, where it is the one that made the set; what is wrong with it, where it is not."""
    if source is None:
        return None, []
    model = generator.load(source, _device(device, told.made_on.get("device", "auto")))
    if model.config["digest"] != told.checkpoint_digest:
        other = f"its weights have digest {model.config['digest'][:16]}, the set's {told.checkpoint_digest[:16]}"
        return None, [Finding("generator", f"generator {source.name} did not make this set: {other}")]
    if model.classes != told.classes:
        of = f"{', '.join(model.classes)}, of the set: {', '.join(told.classes)}"
        return None, [Finding("generator", f"classes of generator {source.name}: {of}")]
    return model, []


def _device(asked: str | None, made_on: str) -> str:
    """As asked for, or the kind that made the set, where it is here: another kind changes the last bits."""
    if asked is not None:
        return str(compute.device(asked))
    try:
        return str(compute.device(made_on.partition(":")[0]))
    except EnvironmentFault:
        return str(compute.device("auto"))
