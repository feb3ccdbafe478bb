"""Does a classifier get better with the synthetic images, and are they faithful, diverse and no copies?"""

from medsyn.api import evaluate, make_callable

make_callable(__name__, evaluate)
