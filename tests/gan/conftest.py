"""Fixtures of the toy, for the tests of training and of checkpoints."""

from gan.toy import one_tracking_store, toy, trained  # noqa: F401
