"""Is a synthetic set still what `augment` made? Every file, the tables, and a sample made again."""

from medsyn.augment.verification.options import VerifyOptions
from medsyn.augment.verification.results import Finding, Regenerated, Verified
from medsyn.augment.verification.stage import run

__all__ = ["Finding", "Regenerated", "Verified", "VerifyOptions", "run"]
