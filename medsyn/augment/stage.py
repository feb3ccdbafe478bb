"""From a checkpoint to a labelled synthetic set."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import Executor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from medsyn import __version__, compute, generator, portable, tracking
from medsyn.augment import counts, generation, sheets
from medsyn.augment.finishing import finish, first_images
from medsyn.augment.generation import Generation
from medsyn.augment.making import Spec
from medsyn.augment.selection import fitting
from medsyn.augment.tally import Tally
from medsyn.augment.unfinished import Unfinished, others, unfinished
from medsyn.augment.writers import ENCODERS, Origin, check_depth
from medsyn.augment.writers.npz import NpzWriter
from medsyn.cluster import connected
from medsyn.config import AugmentOptions
from medsyn.data import Dataset
from medsyn.data.lookup import by_digest
from medsyn.errors import DataError, MedsynError
from medsyn.progress import SILENT, Progress
from medsyn.synthetic import SCHEMA_VERSION
from medsyn.synthetic.lineage import learnt_from_synthetic
from medsyn.workspace import SYNTHETIC, Build, Workspace, atomic_file, read_json

if TYPE_CHECKING:
    from medsyn.pacs.sending import SendResult

LIMITS = [
    "For research; not for diagnosis.",
    "Synthetic does not mean safe to share: a generator can repeat what it learnt. Keep the checkpoint to yourself: "
    "with it, and seed and number, anyone makes every candidate again, those that were left out, too.",
    "The label is the class the generator was asked for; nobody has read these images.",
    "Whether these images help a classifier is for 'medsyn evaluate' to say.",
]
UNTESTED = (
    "the dataset that the generator learnt from is not in this workspace: no test for copies of patients, for labels "
    "and for images off the manifold"
)


@dataclass(frozen=True)
class AugmentResult:
    """What `run` made.

    Attributes:
        path: The set's folder.
        name: Its name.
        modality: Preset name.
        n: Images.
        images_per_class: Class -> images.
        rejected: Rule -> candidates that were left out for it.
        rates: Class -> rule -> share of the candidates that fail it.
        contact_sheet: A picture of the first images of each class.
        mlflow_run: Run id, None without tracking.
        beside_real: Folder of sheets beside real images, where those were asked for; it is never to be shared.
        warnings: What the user must know.
        sent: What became of the set at the PACS that it was to be sent to.
    """

    path: Path
    name: str
    modality: str
    n: int
    images_per_class: dict[str, int]
    rejected: dict[str, int]
    rates: dict[str, dict[str, float]]
    contact_sheet: Path
    mlflow_run: str | None
    beside_real: Path | None = None
    warnings: list[str] = field(default_factory=list)
    sent: SendResult | None = None


def run(options: AugmentOptions, workspace: Workspace, progress: Progress = SILENT) -> AugmentResult:
    """Generate a labelled synthetic set, or go on with one that the same options have begun.

    Args:
        options: What to make.
        workspace: Where generators lie and the set goes.
        progress: Listener.

    Raises:
        MissingError: No generator yet.
        UsageError: Colour of 16 bits in a format that has none.
        DataError: The checkpoint is damaged, or a class yields too few usable images; what was made is kept as a set.
        EnvironmentFault: The set would not fit on the disk, or could not be written, or the cluster cannot be used.
    """
    source = portable.chosen(workspace, options.generator, options.modality)
    progress.say(f"Generator: {source.name}" + ("" if options.generator else " (the newest)"))
    device = compute.device(options.device, options.threads)
    model = generator.load(source, device)
    check_depth(options.formats, model.image_shape[0], options.bits)
    if options.to:
        from medsyn.pacs.client import Pacs

        # Who cannot reach the server is told so before hours of work, not after them.
        Pacs(options.to, progress).check()
    with connected(options.cluster, workspace, progress) as cluster:
        result = _Job(options, workspace, progress, source, model, cluster).execute(str(device))
    return replace(result, sent=_sent(result.path, options.to, progress)) if options.to else result


class _Job:
    """One set, from its options to the folder."""

    def __init__(
        self,
        options: AugmentOptions,
        workspace: Workspace,
        progress: Progress,
        source: Path,
        model: generator.Generator,
        cluster: Executor | None,
    ) -> None:
        self.options, self.workspace, self.progress, self.cluster = options, workspace, progress, cluster
        self.source, self.model, self.config = source, model, model.config
        real: dict[str, int] = self.config["training"]["images_per_class"]
        self.tally = Tally(counts.per_class(options.n, real, options.balance), options.max_tries)
        self.dataset = by_digest(workspace, self.config["dataset"]["content_digest"])

    def execute(self, device: str) -> AugmentResult:
        options, workspace, config = self.options, self.workspace, self.config
        self.progress.say("Images: " + ", ".join(f"{label} {n}" for label, n in self.tally.wanted.items()))
        self._tell_of_the_same()
        _remember_subjects(self.source, config["digest"], workspace)
        spec = self._spec(device)
        with unfinished(workspace, self._facts(spec)) as made:
            n, npz = sum(self.tally.wanted.values()), "npz" in options.formats
            need = generation.check_space(spec, self.model, n, npz, made, anyway=options.yes)
            self.progress.say(f"On disk: about {need / 2**20:,.0f} MiB")
            facts = self._fitted(spec)
            tags = {"medsyn.parent_run": config.get("mlflow_run"), "medsyn.checkpoint_digest": config["digest"]}
            with tracking.start(workspace, "augment", config["modality"], tags) as tracked:
                tracked.params(options.model_dump(exclude={"to", "cluster"}) | {"generator": self.source.name})
                staged = self._generate(made, spec)
                if not any(self.tally.accepted.values()):
                    made.drop(0)
                    raise self._short("nothing is kept")
                card = self._card(spec, facts, tracked.id)
                shown = first_images(made, spec, self.model, sheets.SHOWN)
                card["sums_digest"] = finish(made, spec, staged, card, shown)
                tracked.metrics([{"images": card["n"], "candidates": sum(self.tally.judged.values())}])
                for file in ("card.md", "contact_sheet.png"):
                    if (made.path / file).exists():
                        tracked.artifact(made.path / file)
                path = Build(workspace, SYNTHETIC, config["name"], made.path).commit(card)
                tracked.tags({"medsyn.result": path.name})
        return self._result(path, card, tracked.id, self._beside_real(path, shown))

    def _tell_of_the_same(self) -> None:
        """Say which set already has these images: candidates are a function of generator, seed and truncation."""
        mine = (self.config["digest"], self.options.seed, self.options.truncation)
        for path in reversed(self.workspace.all(SYNTHETIC)):
            with suppress(DataError):  # a damaged card of another set
                card = read_json(path / SYNTHETIC.main_file)
                if tuple(card.get(key) for key in ("checkpoint_digest", "seed", "truncation")) == mine:
                    self.progress.say(f"{path.name} is of the same seed: images of it come again; --seed makes others")
                    return

    def _spec(self, device: str) -> Spec:
        options = self.options
        return Spec(
            checkpoint=self.source,
            origin=Origin.of_generator(self.config, options.seed, options.truncation),
            formats=tuple(name for name in ENCODERS if name in options.formats),
            bits=options.bits,
            keep_all=options.keep_all,
            workspace=self.workspace.path,
            dataset=self.dataset,
            device=device,
            selection=fitting.key_of(self.dataset, self.model.classes, device) if self.dataset else None,
        )

    def _fitted(self, spec: Spec) -> dict[str, Any]:
        """Facts of the selection, which is fitted now where it was not before; empty where that cannot be."""
        if spec.dataset is None or spec.selection is None:
            self.progress.say(UNTESTED)  # before hours of work; `_result` warns of it
            return {}
        return fitting.fitted(
            self.workspace, spec.dataset, spec.selection, self.model.classes, spec.device, self.progress
        )

    def _facts(self, spec: Spec) -> dict[str, Any]:
        """All that the set depends on: the same command goes on with what a killed one has left."""
        options = self.options
        return {
            "schema": SCHEMA_VERSION,
            "origin": vars(spec.origin),
            "wanted": self.tally.wanted,
            "max_tries": options.max_tries,
            "formats": sorted(options.formats),
            "bits": options.bits,
            "keep_all": options.keep_all,
            "selection": spec.selection,
            "made_on": self._made_on(spec),
        }

    def _made_on(self, spec: Spec) -> dict[str, str]:
        return {"device": spec.device, **compute.platform_facts()}

    def _generate(self, made: Unfinished, spec: Spec) -> NpzWriter | None:
        options, model, n = self.options, self.model, sum(self.tally.wanted.values())
        npz = None
        if "npz" in options.formats:
            npz = NpzWriter(made.work / "images.npy", n, model.image_shape, options.bits)
        job = Generation(made, spec, model.classes, self.tally, npz)
        done = job.restore()
        if made.damaged:
            self.progress.say("Something of the unfinished set is damaged: it is made again from there on")
        if done:
            self.progress.say(f"Going on with an unfinished set: {done} of {n} images are there")
        left = others(self.workspace, made.path)
        if left:
            self.progress.say(f"{len(left)} other unfinished sets wait for their command: {left[0].parent}")
        workers = generation.workers_of(options.workers, options.threads, n - done, spec.device)
        with self.progress.task("generating", n) as task, generation.pool(workers, self.cluster) as pool:
            job.run(pool, options.batch_size, model.batch, task.update)
        return npz

    def _card(self, spec: Spec, facts: dict[str, Any], run_id: str | None) -> dict[str, Any]:
        tally, config, options = self.tally, self.config, self.options
        rejected = sum(tally.reasons.values(), Counter[str]())
        return {
            "schema": SCHEMA_VERSION,
            "modality": config["modality"],
            "name": config["name"],
            "synthetic": True,
            "classes": self.model.classes,
            "n": sum(tally.accepted.values()),
            "complete": not any(tally.missing.values()),
            "images_per_class": tally.accepted,
            "wanted": tally.wanted,
            "judged": tally.judged,
            "rejected": dict(rejected),
            "rates": tally.rates(),
            "selection": {"kept_all": options.keep_all, "calibrated_on": facts.get("calibrated_on"), **facts},
            "image_shape": list(self.model.image_shape),
            "bits": options.bits,
            "seed": options.seed,
            "balance": options.balance,
            "truncation": options.truncation,
            "max_tries": options.max_tries,
            "formats": options.formats,
            "generator": self.source.name,
            "checkpoint_digest": config["digest"],
            "dataset_digest": config["dataset"]["content_digest"],
            "mlflow_run": run_id,
            "made_on": self._made_on(spec),
            "medsyn": __version__,
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "limits": self._limits(),
        }

    def _limits(self) -> list[str]:
        if self.dataset is None:
            tested = "The real images were not at hand: these images were NOT tested for copies of patients."
        elif self.options.keep_all:
            tested = (
                "Nothing was left out (--keep-all), copies of patients among it: the manifest has each image's scores."
            )
        else:
            tested = (
                "What lies nearer to a training image than real images of others do was left out, image by image; "
                "'medsyn evaluate' tests the set as a whole."
            )
        n, wanted = sum(self.tally.accepted.values()), sum(self.tally.wanted.values())
        missing = [f"Not complete: {n} images of the {wanted} that were asked for."] if n < wanted else []
        return [*missing, *_inherited(self.config), *LIMITS, tested]

    def _beside_real(self, path: Path, shown: dict[str, Any]) -> Path | None:
        if not self.options.show_real:
            return None
        if self.dataset is None:
            self.progress.say("No real image to show beside: the dataset is not in this workspace")
            return None
        folder = self.workspace.private / "contact_sheets" / path.name
        sheets.write_beside_real(shown, Dataset.open(self.dataset, splits=("train",)), folder)
        return folder

    def _result(self, path: Path, card: dict[str, Any], run_id: str | None, beside_real: Path | None) -> AugmentResult:
        short = self.tally.short()
        if short and not self.options.allow_short:
            raise self._short(f"what was made is kept as {path.name}")
        return AugmentResult(
            path=path,
            name=path.name,
            modality=card["modality"],
            n=card["n"],
            images_per_class=card["images_per_class"],
            rejected=card["rejected"],
            rates=card["rates"],
            contact_sheet=path / "contact_sheet.png",
            mlflow_run=run_id,
            beside_real=beside_real,
            warnings=[
                *([] if self.dataset else [UNTESTED]),
                *_inherited(self.config),
                *map(self.tally.told, short),
                *([self._cause(short)] if short else []),
            ],
        )

    def _short(self, kept: str) -> DataError:
        short = self.tally.short()
        return DataError(
            f"{'; '.join(map(self.tally.told, short))}; {kept}",
            where="augment",
            mend=f"{self._cause(short)} --allow-short takes fewer images, --keep-all every one.",
        )

    def _cause(self, short: list[str]) -> str:
        truncation = self.options.truncation
        if truncation < 1 and self.tally.rule(short) == "near_duplicate":
            return f"With --truncation {truncation:g} images differ little: raise it."
        return self.tally.cause(short)


def _sent(path: Path, url: str, progress: Progress) -> SendResult:
    from medsyn.pacs.sending import send

    try:
        return send(path, url, progress)
    except MedsynError as error:
        later = f"The set is kept as {path.name}: 'medsyn send {path.name} --to {url}' sends what is missing."
        raise type(error)(error.what, where=error.where, mend=f"{error.mend} {later}") from error


def _inherited(config: Mapping[str, Any]) -> list[str]:
    """Limits that come with a generator."""
    n = config["training"].get("synthetic_images", 0)
    if not n:
        return []
    return [f"{learnt_from_synthetic(n, config['training']['images'])}, and the selection took them for real ones."]


def _remember_subjects(source: Path, digest: str, workspace: Workspace) -> None:
    """Keep the keys of whom the generator learnt from, where `evaluate` finds them when the generator is gone.

    Not in the set itself: that is made to be shared.
    """
    file = source / "subjects.parquet"
    if file.is_file():
        with atomic_file(workspace.create().private / f"subjects-{digest[:16]}.parquet", mode=0o600) as partial:
            shutil.copyfile(file, partial)
