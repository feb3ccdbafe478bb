"""Scripts inside a page: data that cannot end its element, and a policy that lets no other script run."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import Any

from markupsafe import Markup


def as_json(value: Any) -> Markup:
    """JSON that may stand inside ``<script type="application/json">``: nothing in it can end the element."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def policy(*scripts: str) -> str:
    """A Content-Security-Policy: no network, pictures within the page, and of scripts these alone."""
    allowed = f"script-src {' '.join(map(_source, scripts))}; " if scripts else ""
    return f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; {allowed}base-uri 'none'; form-action 'none'"


def _source(script: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode('ascii')}'"
