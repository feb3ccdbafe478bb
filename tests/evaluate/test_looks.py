"""The record of looks at a test split."""

from __future__ import annotations

from medsyn.evaluate import looks


def keys(*numbers):
    return [f"image{i}" for n in numbers for i in range(100 * n, 100 * n + 100)]


def test_looks_are_counted_per_test_split(workspace):
    assert [look.number for look in looks.record(workspace, keys(1), "s1", "e1")] == [1]
    assert [look.number for look in looks.record(workspace, keys(2), "s1", "e2")] == [1]
    assert [(look.number, look.synthetic) for look in looks.record(workspace, keys(1), "s2", "e3")] == [
        (1, "s1"),
        (2, "s2"),
    ]


def test_folds_of_the_same_images_are_another_look(workspace):
    looks.record(workspace, keys(1), "s1", "e1")
    assert len(looks.record(workspace, keys(1, 2, 3, 4), "s1", "e2")) == 2  # all images, each tested once
    assert len(looks.record(workspace, [*keys(1)[:-1], "new"], "s1", "e3")) == 3
    assert len(looks.record(workspace, keys(5), "s1", "e4")) == 1


def test_a_line_cut_short_is_passed_over(workspace):
    looks.record(workspace, keys(1), "s1", "e1")
    with open(workspace.path / "looks.jsonl", "a") as file:
        file.write('{"sketch": ["')
    assert len(looks.record(workspace, keys(1), "s1", "e2")) == 2


def test_a_sketch_does_not_depend_on_the_order():
    assert looks.sketch(["b", "a"]) == looks.sketch(["a", "b"]) != looks.sketch(["a"])
