"""How many synthetic images of which class."""

from __future__ import annotations

from collections.abc import Mapping

from medsyn.config import Balance


def per_class(n: int, real: Mapping[str, int], balance: Balance) -> dict[str, int]:
    """Share ``n`` synthetic images among the classes.

    Args:
        n: Images in all.
        real: Class -> number of real training images.
        balance: ``match``: in proportion to the real ones; ``equal``: the same for every class; ``minority``: to the
            classes that have fewest, so that real and synthetic together come as close to balance as ``n`` allows.

    Returns:
        Class -> number, summing to ``n``, in the order of ``real``.
    """
    if balance == "minority":
        return _fill_up(n, real)
    total = sum(real.values())
    share = {c: (real[c] / total if balance == "match" else 1 / len(real)) * n for c in real}
    counts = {c: int(share[c]) for c in real}
    by_remainder = sorted(real, key=lambda c: counts[c] - share[c])
    for c in by_remainder[: n - sum(counts.values())]:
        counts[c] += 1
    return counts


def _fill_up(n: int, real: Mapping[str, int]) -> dict[str, int]:
    """Raise the lowest classes to one common level, the highest that ``n`` images reach."""
    names = sorted(real, key=lambda c: real[c])
    lowest = 1
    while lowest < len(names) and sum(real[names[lowest]] - real[c] for c in names[:lowest]) <= n:
        lowest += 1
    level, rest = divmod(n + sum(real[c] for c in names[:lowest]), lowest)
    raised = {c: level + (i < rest) - real[c] for i, c in enumerate(names[:lowest])}
    return {c: raised.get(c, 0) for c in real}
