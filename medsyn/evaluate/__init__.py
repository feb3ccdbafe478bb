"""Does a classifier get better with the synthetic images, and are they faithful, diverse and no copies?"""
