"""Scans in: DICOM, NIfTI, pictures and npz become one labelled dataset, split by patient."""

from medsyn.api import ingest, make_callable

make_callable(__name__, ingest)
