"""How many synthetic images of which class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Literal

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
        _check(balance, real)
        return {c: balance.get(c, 0) for c in real}
    if balance == "minority":
        return _fill_up(n, real)
    share = {c: part * n for c, part in shares(real, balance).items()}
    counts = {c: int(share[c]) for c in real}
    by_remainder = sorted(real, key=lambda c: counts[c] - share[c])
    for c in by_remainder[: n - sum(counts.values())]:
        counts[c] += 1
    return counts


def shares(real: Mapping[str, int], balance: Literal["match", "equal"] | Mapping[str, float]) -> dict[str, float]:
    """Share of each class where no number of images is known.

    Args:
        real: Class -> number of real training images.
        balance: ``match``: as of the real ones; ``equal``: the same; or weights of classes, 0 where one is not named.

    Returns:
        Class -> share, summing to 1, in the order of ``real``.

    Raises:
        UsageError: A weight for what is no class.
    """
    if not isinstance(balance, str):
        _check(balance, real)
    weights = balance if not isinstance(balance, str) else real if balance == "match" else dict.fromkeys(real, 1)
    total = sum(weights.values())
    return {c: weights.get(c, 0) / total for c in real}


def _check(named: Iterable[str], classes: Mapping[str, int]) -> None:
    unknown = next((name for name in named if name not in classes), None)
    if unknown is not None:
        raise UsageError(f"no class '{unknown}'", where="balance", mend=f"There are: {', '.join(classes)}.")


def _fill_up(n: int, real: Mapping[str, int]) -> dict[str, int]:
    """Raise the lowest classes to one common level, the highest that ``n`` images reach."""
    names = sorted(real, key=lambda c: real[c])
    lowest = 1
    while lowest < len(names) and sum(real[names[lowest]] - real[c] for c in names[:lowest]) <= n:
        lowest += 1
    level, rest = divmod(n + sum(real[c] for c in names[:lowest]), lowest)
    raised = {c: level + (i < rest) - real[c] for i, c in enumerate(names[:lowest])}
    return {c: raised.get(c, 0) for c in real}
