"""Which slices of a volume become images."""

from __future__ import annotations


def chosen(n: int, rule: str) -> list[int]:
    """Numbers of the slices that are taken.

    Args:
        n: Slices of the volume.
        rule: ``all``, ``middle`` (number ``n // 2``) or ``every=N`` (0, N, 2N ...).
    """
    if rule == "middle":
        return [n // 2] if n else []
    step = int(rule.removeprefix("every=")) if rule.startswith("every=") else 1
    return list(range(0, n, step))
