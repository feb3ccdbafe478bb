"""How many synthetic images of which class."""

from __future__ import annotations

from collections.abc import Mapping

from medsyn.config import Balance
from medsyn.errors import UsageError


def per_class(n: int, real: Mapping[str, int], balance: Balance | Mapping[str, int]) -> dict[str, int]:
    """Share ``n`` synthetic images among the classes.

    Args:
        n: Images in all.
        real: Class -> number of real training images.
        balance: ``match``: in proportion to the real ones; ``equal``: the same for every class; ``minority``: to the
            classes that have fewest, so that real and synthetic together come as close to balance as ``n`` allows;
            or the number of each class, 0 where it is not named.

    Returns:
        Class -> number, summing to ``n``, in the order of ``real``.

    Raises:
        UsageError: A number for what is no class.
    """
    if not isinstance(balance, str):
        unknown = next((name for name in balance if name not in real), None)
        if unknown is not None:
            raise UsageError(f"no class '{unknown}'", where="--balance", mend=f"There are: {', '.join(real)}.")
        return {c: balance.get(c, 0) for c in real}
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
