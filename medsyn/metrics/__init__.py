"""Measures on images and feature vectors; shared ground of the generator's monitor and `evaluate`."""
