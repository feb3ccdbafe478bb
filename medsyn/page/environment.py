"""Templates and style of a self-contained page: the shared part first, then the page's own."""

from __future__ import annotations

import json
from importlib import resources

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from medsyn.page import numbers
from medsyn.page.markdown import plain
from medsyn.page.pictures import picture


def environment(*packages: str, escape: bool = True) -> Environment:
    """Jinja with the templates of packages, the first one's first, and the shared ones.

    Args:
        packages: Dotted names of packages with a folder ``templates``.
        escape: For HTML.
    """
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "medsyn.page")]),
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
    made.filters["setting"] = setting
    return made


def style(*packages: str) -> Markup:
    """The shared ``style.css`` and those of packages after it; they are ours: escaping would break selectors."""
    files = [resources.files(name).joinpath("style.css") for name in ("medsyn.page", *packages)]
    return Markup("".join(file.read_text(encoding="utf-8") for file in files))


def setting(value: object) -> str:
    """How the value of a setting is written."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
