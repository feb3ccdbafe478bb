"""Which candidates are fit to be kept.

Each rule gives a score that fails above 1, and is calibrated so that a stated share of real images would fail it. All
but `near_duplicates` judge an image by itself.
"""

from medsyn.augment.selection.selector import COPIES, RULES, Selector, fit, reason

__all__ = ["COPIES", "RULES", "Selector", "fit", "reason"]
