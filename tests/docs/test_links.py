"""Every link of a page, as it is read in the repository, leads to a file and a heading that are there."""

from __future__ import annotations

import re

import pytest

from docs.pages import ALL, name, read


def anchors(text: str) -> set[str]:
    titles = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", ALL, ids=name)
def test_links_lead_somewhere(page):
    for target, heading in re.findall(r"\]\((?!https?:)([\w./-]*)(?:#([^)\s]+))?\)", read(page)):
        file = (page.parent / target) if target else page
        assert file.exists(), target
        if heading:
            assert heading in anchors(read(file)), f"{target}#{heading}"
