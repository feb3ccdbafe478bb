"""The references most like a query, without most of the products: exact, by a bound in few components.

Query and reference are unit vectors, each a part inside the space of the references' first principal components and a
part outside it. Their product is that of the inner parts, and of the outer ones at most the product of their lengths
(Cauchy and Schwarz). What cannot reach the best by this bound needs no exact product.
"""

from __future__ import annotations

import torch

MOST = 64
"""Components at most."""
OUTSIDE = 0.01
"""Share of the references' squared length that may lie outside the components."""
SEEN = 8192
"""References that the components are computed from, at most."""
BLOCK = 4096
"""References at once: products of a block stay in the processor's cache."""
ROUNDING = 1e-5
"""By how much sums in another order may differ."""


class Shortlist:
    """References, prepared.

    Args:
        references: float32 ``[m, d]``, each of length 1 or 0.

    Attributes:
        pays: Whether few components hold so much of the references that products are spared.
    """

    def __init__(self, references: torch.Tensor) -> None:
        self.references = references
        seen = references[:: max(1, len(references) // SEEN)].double()
        values, axes = torch.linalg.eigh(seen.T @ seen)  # uncentred: products are what is bounded
        left = 1 - values.flip(0).cumsum(0) / values.sum()
        count = int((left > OUTSIDE).sum()) + 1
        self.pays = count <= min(MOST, references.shape[1] // 3)
        self._axes = axes[:, -count:].float()
        self._inner = self._parts(references) if self.pays else references[:0]

    def best(
        self, views: torch.Tensor, n: int, excluded: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The n references that some view of a query has the largest product with, in no order.

        Args:
            views: float32 ``[v, q, d]``, each of length 1 or 0.
            n: At most as many as there are references.
            excluded: bool ``[q, m]``: references that a query passes over; they come last, with a product of -inf.

        Returns:
            Their places int64 ``[q, n]`` and the products float32 ``[q, n]``.
        """
        bound = self._bound(views)
        if excluded is not None:
            bound[excluded] = -torch.inf
        places, products = bound.new_zeros((len(bound), n), dtype=torch.long), bound.new_zeros((len(bound), n))
        open_, looked_at = torch.arange(len(bound)), 2 * n
        while len(open_):
            k = min(looked_at, bound.shape[1])
            most, rows = bound[open_].topk(k, sorted=False)
            exact = (views[:, open_].transpose(0, 1) @ self.references[rows].transpose(1, 2)).amax(1)
            exact[torch.isneginf(most)] = -torch.inf
            top, order = exact.topk(n)
            places[open_], products[open_] = rows.gather(1, order), top
            if k == bound.shape[1]:
                break
            # What was not looked at is bounded by the least that was.
            open_ = open_[most.amin(1) + ROUNDING > top[:, -1]]
            looked_at *= 4
        return places, products

    def _bound(self, views: torch.Tensor) -> torch.Tensor:
        """What no view's product with a reference exceeds, ``[q, m]``."""
        parts = self._parts(views)
        found = torch.empty(views.shape[1], len(self._inner))
        for start in range(0, found.shape[1], BLOCK):
            block = self._inner[start : start + BLOCK].T
            best = parts[0] @ block
            for view in parts[1:]:
                torch.maximum(best, view @ block, out=best)
            found[:, start : start + BLOCK] = best
        return found

    def _parts(self, vectors: torch.Tensor) -> torch.Tensor:
        """Coordinates inside the components, and the length outside, ``[..., count + 1]``."""
        inner = vectors @ self._axes
        outer = (vectors.square().sum(-1) - inner.square().sum(-1)).clamp_min(0).sqrt()
        return torch.cat([inner, outer[..., None]], -1)
