"""The classifiers that arms are compared with."""
