"""Labelled synthetic cases from a checkpoint."""
