"""Measures of trained arms."""
