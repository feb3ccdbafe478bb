"""Fixtures of the tests with servers."""

from orthanc import allowed, orthanc, proxy, waits  # noqa: F401
