"""What is remembered between evaluations."""

from __future__ import annotations

import numpy as np
import pytest
from filelock import FileLock, Timeout

from medsyn.cache import Cache, digest


def test_what_was_put_comes_back(workspace):
    cache = Cache(workspace)
    key = digest("a", np.arange(3))
    assert cache.get("features", key) is None
    assert not cache.has("features", key)
    cache.put("features", key, {"features": np.eye(2, dtype=np.float32)})
    assert cache.has("features", key)
    found = cache.get("features", key)
    assert found["features"].dtype == np.float32
    assert np.array_equal(found["features"], np.eye(2))


def test_a_damaged_file_counts_as_absent(workspace):
    cache, key = Cache(workspace), digest("b")
    cache.put("predictions", key, {"val": np.zeros(100)})
    file = next((workspace.path / "cache").rglob("*.npz"))
    for content in (file.read_bytes()[:200], b"", b"no archive"):
        file.write_bytes(content)
        assert cache.get("predictions", key) is None


def test_one_process_at_a_time_computes(workspace):
    cache = Cache(workspace)
    with cache.alone("features"):
        with pytest.raises(Timeout):
            FileLock(cache.path / "features.lock", timeout=0).acquire()
        with cache.alone("predictions"):
            pass
    assert cache.path.stat().st_mode & 0o777 == 0o700


def test_a_digest_tells_arrays_apart_by_content_type_and_shape():
    a = np.arange(6, dtype=np.int32)
    others = [a + 1, a.astype(np.int64), a.reshape(2, 3), a[:5]]
    assert len({digest(x) for x in (a, *others)}) == 5
    assert digest(a) == digest(a.copy())
    assert digest({"x": 1, "y": 2}) == digest({"y": 2, "x": 1})
