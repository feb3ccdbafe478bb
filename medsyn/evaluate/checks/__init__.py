"""Tests of the synthetic set and of the data, without training an arm."""
