"""The record of looks at a test split."""

from __future__ import annotations

from medsyn.evaluate import looks


def test_looks_are_counted_per_test_split(workspace):
    assert [look.number for look in looks.record(workspace, "a", "s1", "e1")] == [1]
    assert [look.number for look in looks.record(workspace, "b", "s1", "e2")] == [1]
    assert [(look.number, look.synthetic) for look in looks.record(workspace, "a", "s2", "e3")] == [
        (1, "s1"),
        (2, "s2"),
    ]


def test_a_test_split_is_its_images_in_any_order():
    assert looks.digest(["b", "a"]) == looks.digest(["a", "b"]) != looks.digest(["a"])
