"""What `medsyn reader-study` can be asked for."""

from __future__ import annotations

from pydantic import Field

from medsyn.config import Modality, Strict


class StudyOptions(Strict):
    """Options of ``medsyn reader-study``, as it writes a page."""

    synthetic: str | None = Field(None, description="folder or name; a folder of another tool will do; default: newest")
    synthetic_labels: str | None = Field(None, description="CSV with file and label of such images")
    dataset: str | None = Field(None, description="folder or name; default: the one the set was made from")
    modality: Modality | None = None
    n: int = Field(60, ge=4, le=2000, multiple_of=2, description="cases, half of them real")
    seed: int = Field(0, ge=0, description="which cases, in which order")
    out: str | None = Field(None, description="file or folder of the page; default: in the workspace's private folder")
