"""Templates and style of a self-contained page: the shared part first, then the page's own."""

from __future__ import annotations

import json
from importlib import resources

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medsyn.page import numbers
from medsyn.page.markdown import plain
from medsyn.page.pictures import picture


def environment(package: str, *, escape: bool = True) -> Environment:
    """Jinja with the templates of a package and the shared ones.

    Args:
        package: Dotted name of a package with a folder ``templates``.
        escape: For HTML.
    """
    made = Environment(
        loader=ChoiceLoader([PackageLoader(package), PackageLoader("medsyn.page")]),
        autoescape=escape,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "signed", "count", "p_value", "day", "duration"):
        made.filters[name] = getattr(numbers, name)
    made.filters["modality"] = numbers.modality_name
    made.filters["picture"] = picture
    made.filters["md"] = plain
    made.filters["setting"] = _setting
    return made


def style(package: str) -> Markup:
    """The shared ``style.css`` and the package's own after it; it is ours: escaping would break selectors."""
    files = [resources.files(name).joinpath("style.css") for name in ("medsyn.page", package)]
    return Markup("".join(file.read_text(encoding="utf-8") for file in files))


def _setting(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
