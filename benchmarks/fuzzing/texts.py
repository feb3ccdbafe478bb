"""Spoiling JSON and YAML: values of other kinds, keys that go or come, nesting, aliases, tags."""

from __future__ import annotations

import copy
import json
from typing import Any

from fuzzing.blindly import FLOATS, LARGE, NUMBERS, Random, number_of

VALUES: tuple[Any, ...] = (
    *(None, True, False, "", "x", "../../etc/passwd", "a\x1b[2Jb\n", "<script>alert(1)</script>", "x" * 20_000),
    *([], {}, [[]], [None], {"": {}}, {"kind": "none"}, -1, 0.5, 1e308, -1e308, float("nan"), float("inf")),
    *(*NUMBERS, *LARGE, 10**400),
)
LINES = (
    *("*", "*a", "&a *a", "<<: *a", "a: &a [*a, *a]", "{[a]: b}", "? {a: b}", "- - - -", "\t- a"),
    *("%YAML 1.1", "---", "..."),
    *("!!python/object/apply:os.system [ls]", "!!binary x", "!!timestamp x", "!!int x", "!!bool x", "!!omap [1]"),
    *("2001-99-99", "1:60:99", "0b", "0x", "!!float .", "=", "~", "null", "[" * 900, "{a: " * 300, "'", '"', "|", ">"),
    *(*FLOATS, *map(str, NUMBERS), *map(str, LARGE), "9" * 5000, "\0", "\x85", "\ufeff"),
)  # fmt: skip


def json_text(data: bytes, rng: Random) -> bytes:
    return json.dumps(spoilt_tree(json.loads(data), rng)).encode()


def answers(data: bytes, rng: Random) -> bytes:
    """A reader's answers: half of them with other calls, classes, times, cases and ends, as a page might save them."""
    if rng.random() < 0.5:
        return json_text(data, rng)
    content = json.loads(data)
    given = content["answers"]
    for _ in range(int(rng.integers(1, 4))):
        at, kind = int(rng.integers(len(given))), int(rng.integers(6))
        if kind == 0:
            given[at]["call"] = str(rng.choice(("real", "synthetic")))
        elif kind == 1:
            given[at]["label"] = str(rng.choice(("a", "b", "b", "c")))
        elif kind <= 3:
            given[at][str(rng.choice(("call_ms", "label_ms", "undone")))] = number_of(rng, 34)
        elif kind == 4:
            del given[at + 1 :]
        else:
            given[at], given[-1] = given[-1], given[at]
    return json.dumps(content).encode()


def spoilt_tree(tree: Any, rng: Random) -> Any:
    """A tree of JSON values, changed in one to three places."""
    if rng.random() < 0.03:
        for _ in range(int(2 ** rng.integers(1, 15))):
            tree = [tree]
        return tree
    for _ in range(int(rng.integers(1, 4))):
        places = list(_places(tree))
        if not places:
            return copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
        owner, key = places[int(rng.integers(len(places)))]
        kind, value = int(rng.integers(5)), copy.deepcopy(VALUES[int(rng.integers(len(VALUES)))])
        if kind <= 2:
            owner[key] = value
        elif kind == 3:
            del owner[key]
        elif isinstance(owner, dict):
            owner[str(value)[:50]] = owner[key]
        else:
            owner.extend([owner[key]] * int(rng.choice((1, 5, 500))))
    return tree


def _places(tree: Any) -> Any:
    keys = list(tree) if isinstance(tree, dict) else range(len(tree)) if isinstance(tree, list) else []
    for key in keys:
        yield tree, key
        yield from _places(tree[key])


def yaml_text(data: bytes, rng: Random) -> bytes:
    if rng.random() < 0.05:  # every line doubles the one before
        rows = [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}, *a{i - 1}]" for i in range(1, int(rng.integers(2, 40)))]
        return "\n".join(["a0: &a0 [x, x]", *rows]).encode()
    lines = data.decode("utf-8", "surrogateescape").splitlines() or [""]
    for _ in range(int(rng.integers(1, 4))):
        at, kind = int(rng.integers(len(lines))), int(rng.integers(6))
        word = str(LINES[int(rng.integers(len(LINES)))])
        head, colon, _ = lines[at].partition(":")
        if kind <= 2 and colon:
            lines[at] = f"{head}: {word}"
        elif kind == 3:
            lines[at] = lines[at].replace(head, word, 1)
        elif kind == 4:
            lines[at:at] = [lines[at]] * int(rng.choice((1, 2, 200)))
        else:
            lines.insert(at, " " * int(rng.integers(9)) + word)
    return "\n".join(lines).encode("utf-8", "surrogateescape")
