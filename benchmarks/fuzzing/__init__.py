"""Spoilt files for the fuzz benchmarks."""
