"""``python -m medsyn``."""

from medsyn.cli import main

main()
