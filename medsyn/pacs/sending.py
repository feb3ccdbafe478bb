"""Sending: the DICOM files of a synthetic set to an archive, each acknowledged by it, and found there at the end."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from medsyn.compute import portions
from medsyn.errors import DataError, EnvironmentFault, MissingError
from medsyn.pacs import client
from medsyn.pacs.client import LIST, UID_OF, Pacs, Refusal
from medsyn.pacs.messages import first
from medsyn.progress import SILENT, Progress
from medsyn.workspace import SYNTHETIC, Workspace, disk_errors, private_folder

BATCH_FILES, BATCH_BYTES = 100, 8 * 2**20
"""Of one request at most; a larger file goes alone, and servers may want less."""
ROUNDS = 3
"""Times that what the server does not find is sent."""
PAUSES = (1.0, 4.0)
"""Seconds before a server is asked again for what it does not find."""
ENOUGH = 5
"""Instances refused after which a server that has taken none is asked no more."""
REASONS = {
    0x0110: "processing failure",
    0x0111: "there is another instance of this UID",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0x0210: "duplicate invocation",
    0xA700: "out of resources",
    0xA900: "does not match its SOP class",
    0xB000: "elements were changed",
    0xB006: "elements were left out",
    0xB007: "does not match its SOP class",
    0xC000: "cannot be understood",
    0xC122: "transfer syntax not supported",
}
"""FailureReason and WarningReason (PS3.18 annex I, PS3.4 B.2.3)."""
_LOOKED_AT = ("SyntheticData", "StudyInstanceUID", "SOPInstanceUID")


@dataclass(frozen=True)
class SendResult:
    """What `send` did.

    Attributes:
        path: The set.
        url: The service.
        instances: In the set; the server has been found to have all of them.
        sent: Of these, by this call.
        warnings: What the server says it did to instances that it has stored -> how many.
    """

    path: Path
    url: str
    instances: int
    sent: int
    warnings: dict[str, int]


def send(set_path: Path, url: str, progress: Progress = SILENT) -> SendResult:
    """Send the DICOM files below ``dicom/`` of a synthetic set (STOW-RS); what the server has already is not sent.

    What it acknowledges is noted in ``private/sent/`` of the set's workspace, so that a call after a broken one goes
    on; of a set that lies elsewhere, the server is asked. At the end the server is asked for all instances (QIDO-RS),
    and what it does not find is sent again.

    Args:
        set_path: A committed synthetic set.
        url: Root of the DICOMweb service.
        progress: Listener.

    Raises:
        MissingError: The set holds no DICOM.
        DataError: A file that is not marked as synthetic (then nothing was sent), or that the server refuses.
        EnvironmentFault: The server cannot be reached, or refuses access: the same call goes on later.
        UsageError: No DICOMweb service.
    """
    instances = _instances(set_path)
    pacs = Pacs(url, progress)
    pacs.check()
    sending = _Sending(pacs, set_path, progress)
    missing = sending.unknown(instances)
    for _ in range(ROUNDS):
        sending.send(missing)
        missing = sending.not_found(instances)
        if not missing:
            return SendResult(set_path, pacs.url, len(instances), len(sending.sent), dict(sending.warnings))
    raise EnvironmentFault(
        f"has taken all instances, but does not find {len(missing)} of {len(instances)}",
        where=pacs.url,
        mend="Ask those who run it what became of them; the same command sends those that are missing.",
    )


@dataclass(frozen=True)
class _Instance:
    file: Path
    study: str
    uid: str
    size: int


class _Sending:
    """One set on its way to one server.

    Attributes:
        sent: UIDs that the server has acknowledged in this call.
        warnings: What it says it did to them -> how many.
    """

    def __init__(self, pacs: Pacs, set_path: Path, progress: Progress) -> None:
        self._pacs, self._progress = pacs, progress
        self._journal = _journal(set_path, pacs.url)
        self._refused: dict[_Instance, str] = {}
        self._most_bytes = BATCH_BYTES
        self.sent: set[str] = set()
        self.warnings: Counter[str] = Counter()

    def unknown(self, instances: Sequence[_Instance]) -> list[_Instance]:
        """Those that the server has not acknowledged yet, as far as is known without asking for each."""
        known = _read(self._journal) if self._journal else self._found(instances, one_by_one=False)
        if any(i.uid in known for i in instances):
            self._progress.say(
                f"{sum(i.uid in known for i in instances)} of {len(instances)} instances were sent before"
            )
        return [i for i in instances if i.uid not in known]

    def not_found(self, instances: Sequence[_Instance]) -> list[_Instance]:
        """Those that the server does not find."""
        missing = list(instances)
        for seconds in (0.0, *PAUSES):  # some take in first, and sort in later
            if seconds:
                self._progress.say(f"{self._pacs.url}: {len(missing)} of {len(instances)} instances are not found yet")
                client.pause(seconds)
            found = self._found(missing)
            missing = [i for i in missing if i.uid not in found]
            if not missing:
                break
        return missing

    def send(self, instances: Sequence[_Instance]) -> None:
        """Send instances in batches.

        Raises:
            DataError: The server refuses some: all others are sent, unless it takes none at all.
        """
        done = 0
        with self._progress.task("Sending", len(instances)) as task:
            for batch in self._batches(instances):
                self._store(batch)
                if self._hopeless():
                    break
                done += len(batch)
                task.update(done)
        if self._refused:
            (instance, why), n = next(iter(self._refused.items())), len(self._refused)
            others = f", and {n - 1} others" if n > 1 else ""
            took = "None was taken." if self._hopeless() else "All others were taken."
            raise DataError(
                f"{self._pacs.url} refuses this instance ({why}){others}",
                where=instance.file,
                mend=f"{took} Ask those who run the server; the same command sends what is missing.",
            )

    def _batches(self, instances: Sequence[_Instance]) -> Iterator[list[_Instance]]:
        batch: list[_Instance] = []
        size = 0
        for instance in instances:
            if batch and (len(batch) == BATCH_FILES or size + instance.size > self._most_bytes):
                yield batch
                batch, size = [], 0
            batch.append(instance)
            size += instance.size
        if batch:
            yield batch

    def _store(self, batch: Sequence[_Instance]) -> None:
        """Send a batch, and see what became of each instance."""
        try:
            said, status = self._pacs.store([dcmread(i.file) for i in batch]), 200
        except Refusal as refusal:
            said, status = refusal.content, refusal.status
            if status == 413:  # content too large
                self._most_bytes = min(self._most_bytes, sum(i.size for i in batch) // 2)
        stored = _codes(said, "ReferencedSOPSequence", "WarningReason")
        failed = _codes(said, "FailedSOPSequence", "FailureReason")
        self.warnings.update(_reason(stored[i.uid]) for i in batch if stored.get(i.uid))
        rest = [i for i in batch if i.uid not in stored]
        # Some refuse what they have already, as after an answer that got lost.
        there = self._found(rest) if rest else set()
        self._acknowledged([i.uid for i in batch if i.uid in stored or i.uid in there])
        rest = [i for i in rest if i.uid not in there]
        if len(rest) == len(batch) > 1 and not failed:  # it does not say which: find out
            for half in (batch[: len(batch) // 2], batch[len(batch) // 2 :]):
                if not self._hopeless():
                    self._store(half)
            return
        for instance in rest:
            code = failed.get(instance.uid)
            said_nothing = f"HTTP status {status}" if status != 200 else "not acknowledged"
            self._refused[instance] = _reason(code) if code else said_nothing

    def _hopeless(self) -> bool:
        return not self.sent and len(self._refused) >= ENOUGH

    def _acknowledged(self, uids: Sequence[str]) -> None:
        self.sent.update(uids)
        if self._journal is not None and uids:
            with disk_errors(self._journal), open(self._journal, "a", encoding="utf-8") as file:
                file.writelines(json.dumps({"uid": uid}) + "\n" for uid in uids)
                file.flush()
                os.fsync(file.fileno())

    def _found(self, instances: Sequence[_Instance], *, one_by_one: bool = True) -> set[str]:
        """UIDs that the server finds: asked by lists and, what these do not find, by study."""
        found: set[str] = set()
        for some in portions(instances, LIST):
            try:
                found |= self._pacs.find([i.uid for i in some])
            except Refusal:  # it does not search across studies
                break
        if one_by_one:
            for study in dict.fromkeys(i.study for i in instances if i.uid not in found):
                with suppress(Refusal):  # there is no such study
                    found |= {first(answer, UID_OF["instances"]) for answer in self._pacs.search("instances", study)}
        return found


def _instances(set_path: Path) -> list[_Instance]:
    """The DICOM files of a set.

    Raises:
        MissingError: There are none.
        DataError: One that is not marked as synthetic, or cannot be sent for another reason.
    """
    files = sorted((set_path / "dicom").rglob("*.dcm"))
    if not files:
        raise MissingError("holds no DICOM files", where=set_path, mend="Run 'medsyn augment --format dicom' first.")
    found: dict[str, _Instance] = {}
    for file in files:
        try:
            header = dcmread(file, stop_before_pixels=True, specific_tags=list(_LOOKED_AT))
        except (InvalidDicomError, OSError):
            raise DataError("is not a DICOM file", where=file, mend="Generate the set again.") from None
        if str(header.get("SyntheticData")).strip().upper() != "YES":
            raise DataError(
                "is not marked as synthetic (Synthetic Data is not YES): nothing was sent",
                where=file,
                mend="medsyn sends what it has generated, never a patient's images.",
            )
        study, uid = str(header.get("StudyInstanceUID") or ""), str(header.get("SOPInstanceUID") or "")
        if not study or not uid or uid in found:
            raise DataError("has no UIDs of its own", where=file, mend="Generate the set again.")
        found[uid] = _Instance(file, study, uid, file.stat().st_size)
    return list(found.values())


def _journal(set_path: Path, url: str) -> Path | None:
    """The list of what a server has acknowledged, beside the set and not in it; None for a set in no workspace."""
    path = set_path.absolute()
    workspace = path.parent.parent
    if path.parent.name != SYNTHETIC.folder or not (workspace / "medsyn.json").is_file():
        return None
    folder = Workspace(workspace).create().private / "sent"
    with disk_errors(folder):
        private_folder(folder)
    return folder / f"{path.name}-{hashlib.sha256(url.encode()).hexdigest()[:12]}.jsonl"


def _read(journal: Path) -> set[str]:
    """UIDs in the list; a line that a killed process has not finished counts for nothing."""
    found = set()
    for line in journal.read_text(encoding="utf-8").splitlines() if journal.is_file() else []:
        with suppress(ValueError, KeyError, TypeError):
            found.add(json.loads(line)["uid"])
    return found


def _codes(said: Dataset, sequence: str, keyword: str) -> dict[str, int]:
    """UID -> code of the instances in a sequence of an answer, 0 where it gives none."""
    items = said.get(sequence) or []
    return {str(item.get("ReferencedSOPInstanceUID")): int(item.get(keyword) or 0) for item in items}


def _reason(code: int) -> str:
    return f"{code:04X}: {REASONS.get(code, 'no reason that the standard names')}"
