"""The arms: who is in which split, how they are trained, chosen and opened."""
