"""Spoiling tables: cells, columns, rows, encodings."""

from __future__ import annotations

from fuzzing.blindly import Random, blind
from fuzzing.columns import parquet

_CELLS = (
    *(
        "",
        " ",
        '"',
        '""',
        "nan",
        "N/A",
        "-1",
        "0",
        "1.0",
        "1e999",
        "inf",
        "uncertain",
        "\\",
        "../../im1.png",
        "//im1.png",
    ),
    *(
        "im1",
        "im1.png",
        "1/im1.png",
        "P1",
        "01",
        "1.2.1",
        "1.2.1 ",
        "=1+1",
        "\u202eim1",
        "\ufeffa",
        "\0",
        "a\nb",
        "a\r",
        "é",
    ),
    *("x" * 20_000, "label", "file", "class", "patient_id", "0" * 400, "９", "½"),
)


def any_table(data: bytes, rng: Random) -> bytes:
    """Text by its cells, Parquet by its columns."""
    return parquet(data, rng) if data.startswith(b"PAR1") else table(data, rng)


def table(data: bytes, rng: Random) -> bytes:
    if data.startswith(b"PAR1"):
        return blind(data, [data], rng)
    text = data.decode("utf-8-sig", "surrogateescape")
    head = text.splitlines()[0] if text else ""
    delimiter = max(",;\t", key=head.count)
    rows = [line.split(delimiter) for line in text.splitlines()] or [[""]]
    for _ in range(int(rng.integers(1, 4))):
        kind, row = int(rng.integers(8)), rows[int(rng.integers(len(rows)))]
        column = int(rng.integers(max(1, len(row))))
        cell = str(_CELLS[int(rng.integers(len(_CELLS)))])
        if kind <= 1:
            row[column : column + 1] = [cell]
        elif kind == 2:  # a column's name
            rows[0][column : column + 1] = [cell]
        elif kind == 3:
            row[column:column] = [cell] * int(rng.choice((1, 2, 60)))
        elif kind == 4:
            del row[column:]
        elif kind == 5:
            rows += [list(row)] * int(rng.choice((1, 2, 100)))
        elif kind == 6:
            for each in rows:
                each.append(cell if rng.random() < 0.5 else each[0] if each else "")
        else:
            rows[:] = rows[: int(rng.integers(1, 3))]
    encoding = str(rng.choice((*["utf-8"] * 9, "utf-8-sig", "utf-16", "latin-1")))
    return "\n".join(delimiter.join(row) for row in rows).encode(encoding, "replace")
