"""Spoiling Parquet and safetensors: other types, other sizes, headers that lie."""

from __future__ import annotations

import io
import json
import struct

import pyarrow as pa
import pyarrow.parquet as pq

from fuzzing.blindly import Random, blind
from fuzzing.texts import VALUES, spoilt_tree


def parquet(data: bytes, rng: Random) -> bytes:
    """A table with a column of another type, another name or other values, or with other rows."""
    if rng.random() < 0.4:
        return blind(data, [data], rng)
    table = pq.read_table(io.BytesIO(data))
    at = int(rng.integers(table.num_columns))
    name, kind = table.column_names[at], int(rng.integers(6))
    if kind == 0:
        table = table.drop_columns([name])
    elif kind == 1:
        table = table.rename_columns([*table.column_names[:at], "other", *table.column_names[at + 1 :]])
    elif kind == 2:
        values = [str(VALUES[int(i)])[:200] for i in rng.integers(len(VALUES), size=len(table))]
        table = table.set_column(at, name, pa.array(values))
    elif kind == 3:
        table = table.set_column(at, table.schema.field(at).with_nullable(True), pa.nulls(len(table), table[at].type))
    elif kind == 4:
        table = pa.concat_tables([table] * int(rng.choice((2, 3, 500)))) if rng.random() < 0.5 else table.slice(0, 0)
    else:
        table = table.take(pa.array(rng.integers(len(table), size=len(table))))
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def safetensors(data: bytes, rng: Random) -> bytes:
    """A header that says other names, types, shapes or places, or another length of itself."""
    (length,) = struct.unpack("<Q", data[:8])
    text = json.dumps(spoilt_tree(json.loads(data[8 : 8 + length]), rng)).encode()
    said = len(text) if rng.random() < 0.9 else int(rng.choice((0, 2**20, 2**31, 2**62)))
    return struct.pack("<Q", said) + text + data[8 + length :]
