"""The first half of an ingest: which files there are, what they are, and what of them becomes part of the dataset."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Set
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, groupby
from typing import TypeVar

from medsyn.compute import portions
from medsyn.config import IngestOptions, Modality, Preset, load_preset
from medsyn.errors import DataError, UsageError
from medsyn.ingest import inclusion, isolation, ledger, masks, reading, scan, series, subjects
from medsyn.ingest.dicomweb import Services
from medsyn.ingest.journal import Journal
from medsyn.ingest.labels import LabelSource
from medsyn.ingest.masks import MaskLabel
from medsyn.ingest.source import LookFor, Recipe
from medsyn.progress import Progress, track

T = TypeVar("T")


@dataclass
class Choice:
    """Looks at every file once, then settles modality, series, masks, labels and patients.

    Attributes:
        key: Project key.
        services: DICOMweb services among the paths.
        continued: Modality of the dataset that is added to, None where there is none.
        cluster: Where to look, None: here.
        caveats: What every later report must repeat.
        ways_to_label: Options that would give labels, where none did.
    """

    options: IngestOptions
    key: bytes
    journal: Journal
    progress: Progress
    where: str
    services: Services
    continued: Modality | None = None
    cluster: Executor | None = None
    caveats: list[str] = field(default_factory=list)
    ways_to_label: list[str] = field(default_factory=list)
    _masks: bool = False

    def look(self, tables: Set[str]) -> None:
        """Find the files and take a first look at each, but for the tables that say something of them."""
        options, journal = self.options, self.journal
        tag = (options.label_from or "").partition("tag:")[2] or None
        look_for = LookFor(self.key, tag, options.allow_burned_in, options.max_pixels)
        remote = self.services.fetch(journal, look_for, self.progress)
        files = scan.find(self.services.files, options.max_pixels, tables) if self.services.files else ()
        journal.find(chain(files, remote), look_for)
        unknown = journal.count("probe IS NULL")
        known = journal.count() - unknown
        if known:
            self.progress.say(f"{known} files are known from an earlier run")
        chunks = portions(journal.unknown(), reading.CHUNK)
        with isolation.mapper(options.workers, unknown, self.cluster) as over:
            probed = over(partial(scan.probe_chunk, look=look_for), chunks)
            for probes in track(self.progress, "Looking at files", probed, -(-unknown // reading.CHUNK)):
                journal.looked(probes)
        for reason, n in journal.folders_left_out().items():
            if reason == scan.LABELS_FILE.reason:
                continue
            self.progress.say(f"folders left out: {n} {reason} (see the ledger)")

    def choose(self, source: LabelSource) -> Recipe:
        """Settle modality, series and labels: what is left will be read."""
        options, journal = self.options, self.journal
        if not journal.kinds():
            raise nothing_left(
                journal,
                self.where,
                "no readable image among",
                "DICOM, NIfTI, PNG, JPEG, TIFF, BMP and MedMNIST-layout npz are read.",
            )
        preset = self._preset()
        named = options.modality is not None
        for probes in portions(journal.probes("kind = 'dicom'"), 1000):
            journal.refuse(inclusion.of_other_modality(probes, preset.dicom_modalities, named, preset.modality))
        self.caveats += self._settle_series()
        self._pair_masks()
        self._label(source)
        volumes = (not p.picture for p in journal.probes("kind IN ('dicom', 'nifti')"))
        hounsfield = preset.storage == "hounsfield" and any(volumes)
        if preset.storage == "hounsfield" and not hounsfield:
            self.caveats.append("plain pictures hold no Hounsfield units: grey values are relative")
        return Recipe(
            self.key,
            preset,
            options.size or inclusion.native_side(journal.probes()) or preset.size,
            hounsfield,
            window_source="user" if options.window else "preset",
            slices=options.slices,
            colour=(options.colour or preset.colour) == "rgb",
            max_pixels=options.max_pixels,
            mask_label=options.mask_label,
            target=options.label_columns[0],
        )

    def _preset(self) -> Preset:
        options, journal = self.options, self.journal
        preset, why = scan.choose_modality(
            journal.kinds(),
            [i.member or i.path for i in journal.inputs("kind = 'npz'")],
            options.modality or self.continued,
        )
        if self.continued:
            why = f"that of '{options.name}', which is added to"
        if why != "named":
            self.progress.say(f"modality: {preset.modality} ({why})")
        if options.window:
            if preset.window is None:
                raise self._no_window(f"{preset.modality} ({why})")
            preset = preset.model_copy(update={"window": options.window})
        return preset

    def _no_window(self, modality: str) -> UsageError:
        codes = load_preset("ct").dicom_modalities
        of_ct = 0 if self.continued else sum(n for (_, code), n in self.journal.kinds().items() if code in codes)
        return UsageError(
            f"{modality} has no Hounsfield units to put a window on",
            where="--window",
            mend=f"Say --modality ct to take the {of_ct} files of CT alone, or leave it out."
            if of_ct
            else "Leave it out: files' own windows and percentiles apply.",
        )

    def _label(self, source: LabelSource) -> None:
        journal, key = self.journal, self.key
        inputs, wanted = _Again(journal.inputs), _Again(journal.probes)
        joined, refused = inclusion.join(source, inputs, wanted, key, self._masks)
        for line in joined.told:
            self.progress.say(line)
        if not joined.labelled:
            inclusion.tell_folders(journal.inputs("kind = 'raster'"), self.progress)
            scans = journal.inputs("kind IN ('dicom', 'nifti', 'raster')")
            self.ways_to_label = inclusion.ways_to_label(scans, journal.kinds(), self._masks)
        journal.label(joined.rows)
        # What an earlier run of this name said of a file holds until a newer one says something else.
        kept = journal.keep_labels()
        journal.refuse({n: why for n, why in refused.items() if n not in kept})  # from here on they are not wanted
        unsettled = _Again(lambda: (p for p in journal.probes() if p.number not in kept))
        claims, told = subjects.require(source, inputs, unsettled, joined.rows, key)
        self.caveats += joined.caveats + told + journal.notes
        journal.claim(claims)
        if extended := journal.extended_series():
            self.caveats.append(
                f"{extended} series have new files beside those of an earlier run: slices of the two "
                "are numbered apart; ingest them in one run to settle them together"
            )

    def _settle_series(self) -> list[str]:
        told: Counter[str] = Counter()
        slices = self.journal.probes("kind = 'dicom' AND series IS NOT NULL", "series, number")
        for _, members in groupby(slices, key=lambda p: p.series):
            stacked = [p for p in members if p.frames == 1 and p.position is not None]
            if stacked:
                settled = series.settle(stacked, self.options.slices)
                self.journal.settle_series(settled.places)
                self.journal.refuse(settled.refused)
                told += settled.told
        return series.sentences(told)

    def _pair_masks(self) -> None:
        rule = self.options.mask_label
        name = MaskLabel.parse(rule).name if rule else None
        paired = masks.pair(lambda: self.journal.probes("kind IN ('nifti', 'raster')"), prefer=name)
        self.journal.refuse(paired.refused)
        self.journal.settle_masks(paired.masks)
        self._masks = bool(paired.masks)
        if paired.masks:
            self.progress.say(f"{len(paired.masks)} files have a segmentation of their own")


def nothing_left(journal: Journal, where: str, what: str, mend: str, end: str = "files") -> DataError:
    """The error to raise where nothing can be ingested, with what became of the files."""
    summary = ledger.summarise(journal.rows())
    reasons = ", ".join(f"{reason} {n}" for reason, n in summary.reasons.most_common())
    return DataError(f"{what} {summary.files} {end} ({reasons})", where=where, mend=mend)


class _Again(Iterable[T]):
    """A query that is asked anew each time: so that nobody holds all of its answer."""

    def __init__(self, query: Callable[[], Iterator[T]]) -> None:
        self._query = query

    def __iter__(self) -> Iterator[T]:
        return self._query()
