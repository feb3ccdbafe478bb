"""Fixtures of the toy, for the tests of training and of checkpoints."""

from gan.toy import toy, trained  # noqa: F401
