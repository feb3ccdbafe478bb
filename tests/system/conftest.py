"""Fixtures of several tests here."""

from chain import undisturbed  # noqa: F401
from orthanc import allowed, orthanc, proxy, waits  # noqa: F401
