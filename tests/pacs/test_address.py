"""Addresses of services."""

from __future__ import annotations

import pytest

from medsyn.errors import UsageError
from medsyn.pacs.address import checked_url


@pytest.mark.parametrize(
    "url",
    [
        "https://radiology:CANARY@pacs/dicom-web",
        "https://radiology:CANARY/pass@pacs/dicom-web",
        "https://radiology:12/CANARY@pacs/dicom-web",
        "https://radiology:CANARY#pass@pacs/dicom-web",
        "https://pacs/dicom-web?token=CANARY",
        "https://pacs:CANARY/dicom-web",
        "pacs/CANARY",
        "https://",
    ],
)
def test_addresses_that_are_refused_are_not_repeated(url):
    with pytest.raises(UsageError) as raised:
        checked_url(url)
    assert "CANARY" not in str(raised.value)
    assert checked_url("HTTPS://PACS.example.org:8443/Dicom-Web/") == "https://pacs.example.org:8443/Dicom-Web"
