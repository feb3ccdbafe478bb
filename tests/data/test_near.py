"""Near-duplicates: which copies are found, who is left alone, and what the index may miss."""

from __future__ import annotations

import io
from functools import cache

import numpy as np
import pytest
from helpers import blobs, make_dataset
from PIL import Image
from scipy.ndimage import gaussian_filter

from medsyn.data import near
from medsyn.data.likeness import SIDE, centred, details, likeness
from medsyn.workspace import Workspace


@cache
def pictures(n: int, seed: int = 0, side: int = 128) -> np.ndarray:
    """Smooth random fields that share a coarse pattern, as films of one body part do: float32 ``[n, side, side]``."""
    rng = np.random.default_rng(seed)
    shared = gaussian_filter(np.random.default_rng(99).normal(size=(side, side)), side / 6)
    own = gaussian_filter(rng.normal(size=(n, side, side)), (0, side / 16, side / 16))
    field = 2 * shared / shared.std() + own / max(own.std(), 1e-6) if n else own
    return np.clip(0.5 + field / 16, 0, 1).astype(np.float32)


def jpeg(image: np.ndarray) -> np.ndarray:
    buffer = io.BytesIO()
    Image.fromarray(np.rint(image * 255).astype(np.uint8)).save(buffer, "JPEG", quality=50)
    return np.asarray(Image.open(buffer), np.float32) / 255


def resized(image: np.ndarray, side: int, box: tuple[float, ...] | None = None) -> np.ndarray:
    picture = Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS, box=box)
    return np.clip(np.asarray(picture), 0, 1)


def moved(image: np.ndarray) -> np.ndarray:
    out = np.zeros_like(image)
    out[1:, 1:] = image[:-1, :-1]
    return out


CHANGES = {
    "jpeg": jpeg,
    "half the size": lambda image: resized(image, 64),
    "twice the size": lambda image: resized(image, 256),
    "gamma": lambda image: image**0.8,
    "window": lambda image: np.clip((image - 0.15) / 0.7, 0, 1),
    "noise": lambda image: np.clip(image + 0.02 * np.random.default_rng(1).normal(size=image.shape), 0, 1),
    "shift": moved,
    "crop": lambda image: resized(image, 128, (1.5, 0.75, 126.5, 125.75)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_copy_is_found_among_pictures_of_others(change: str) -> None:
    images = pictures(400)
    copies = [near.thumbnail(CHANGES[change](image)[None].astype(np.float32)) for image in images[:60]]
    every = np.concatenate([near.thumbnail(images), *copies])
    found = near.pairs(near.fingerprint(every), every, np.arange(len(every)))
    assert {tuple(p) for p in found.tolist()} <= {(i, 400 + i) for i in range(60)}
    assert len(found) >= 58


def test_a_mirrored_picture_is_another_exposure() -> None:
    images = pictures(50)
    every = near.thumbnail(np.concatenate([images, images[:, :, ::-1]]))
    assert not len(near.pairs(near.fingerprint(every), every, np.arange(100)))


def test_the_index_misses_no_pair_within_its_radius() -> None:
    """The pigeonhole promise: up to BITS / 32 - 1 differing bits, wherever they lie."""
    rng = np.random.default_rng(0)
    thumbs = near.thumbnail(pictures(300))
    prints = near.fingerprint(thumbs)
    flipped = np.unpackbits(prints.view(np.uint8), axis=1)
    for row in flipped:
        row[rng.permutation(near.BITS)[: near.BITS // 32 - 1]] ^= 1
    both = np.concatenate([prints, np.packbits(flipped, axis=1).view(np.uint64)])
    every = np.concatenate([thumbs, thumbs])
    found = near.pairs(both, every, np.arange(600))
    assert found.tolist() == [[i, 300 + i] for i in range(300)]


def test_all_pairs_of_a_brute_search_that_count_are_found() -> None:
    images = pictures(300)
    weights = np.linspace(0, 0.5, 300)[:, None, None].astype(np.float32)
    every = near.thumbnail(np.concatenate([images, (1 - weights) * images + weights * np.roll(images, 1, axis=0)]))
    flat = centred(details(every))
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    i, j = np.nonzero(np.triu(flat @ flat.T > 0.9, 1))
    alike = likeness(every, np.stack([i, j], axis=1))
    expected = {(int(a), int(b)) for a, b in zip(i[alike > 0.98], j[alike > 0.98], strict=True)}
    found = {(int(a), int(b)) for a, b in near.pairs(near.fingerprint(every), every, np.arange(600))}
    assert len(expected) > 50
    assert expected <= found
    enough = alike > near.threshold(600)
    assert found <= {(int(a), int(b)) for a, b in zip(i[enough], j[enough], strict=True)}


def test_within_a_subject_and_among_earlier_pictures_nothing_is_told() -> None:
    thumbs = near.thumbnail(pictures(30))
    every = np.concatenate([thumbs, thumbs, thumbs])
    prints = near.fingerprint(every)
    subjects = np.concatenate([np.arange(30), np.arange(30), 100 + np.arange(30)])
    found = near.pairs(prints, every, subjects)
    assert set(map(tuple, found.tolist())) == {(i + k, 60 + i) for i in range(30) for k in (0, 30)}
    later = near.pairs(prints, every, np.arange(90), new_from=60)
    assert set(map(tuple, later.tolist())) == {(i + k, 60 + i) for i in range(30) for k in (0, 30)}


def test_empty_slices_and_plain_discs_tie_nobody() -> None:
    rng = np.random.default_rng(0)
    empty = np.clip(0.002 * rng.normal(size=(3000, 64, 64)), 0, 1).astype(np.float32)
    place = np.arange(64)
    size = rng.uniform(3, 5, 50)[:, None, None]
    discs = ((place[:, None] - 32) ** 2 + (place - 32) ** 2 < size**2).astype(np.float32)
    thumbs = near.thumbnail(np.concatenate([empty, np.zeros((5, 64, 64), np.float32), discs]))
    assert near.featureless(thumbs).all()
    assert not len(near.pairs(near.fingerprint(thumbs), thumbs, np.arange(len(thumbs))))


def test_a_picture_copied_a_hundred_times_hangs_together() -> None:
    """More copies than the window of the index: not every pair is compared, but all hang together."""
    rng = np.random.default_rng(0)
    copies = np.clip(pictures(1) + 0.01 * rng.normal(size=(300, 128, 128)), 0, 1).astype(np.float32)
    thumbs = near.thumbnail(np.concatenate([copies, pictures(20, seed=5)]))
    found = near.near_ties(thumbs, np.array([f"s{i:04d}" for i in range(320)]))
    assert {s for edge in found.edges for s in edge} == {f"s{i:04d}" for i in range(300)}
    assert found.caveats[0].startswith("300 subjects share")
    assert found.caveats[0].endswith("count as 1")
    assert found.caveats[1].startswith("300 subjects hang together")
    assert len(found.pairs) < 300 * 299 / 2


def test_ties_name_each_pair_of_subjects_once() -> None:
    thumbs = near.thumbnail(pictures(4))
    every = np.concatenate([thumbs, thumbs[:2], thumbs[:1]])
    found = near.near_ties(every, np.array(["a", "a", "c", "d", "b", "b", "c"]))
    assert found.edges.tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    alone = near.near_ties(every, np.array(["a"] * 7))
    assert (len(alone.edges), alone.caveats) == (0, [])


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_handful_of_pictures_is_enough(n: int) -> None:
    assert not len(near.near_ties(near.thumbnail(pictures(n)), np.array([f"s{i}" for i in range(n)])).edges)


@pytest.mark.parametrize("shape", [(28, 28), (32, 32), (64, 64), (100, 37), (1, 1)])
def test_thumbnails_average_what_they_cover(shape: tuple[int, int]) -> None:
    images = np.random.default_rng(0).uniform(size=(3, *shape)).astype(np.float32)
    thumbs = near.thumbnail(images)
    assert (thumbs.shape, thumbs.dtype) == ((3, SIDE, SIDE), np.uint8)
    assert np.allclose(thumbs.mean((1, 2)) / 255, images.mean((1, 2)), atol=0.003)
    flat = near.thumbnail(np.full((1, *shape), 0.6, np.float32))
    assert (flat == 153).all()


@pytest.mark.parametrize("channels", [1, 3])
def test_thumbnails_of_a_dataset_show_what_it_shows(workspace: Workspace, channels: int) -> None:
    images, labels = blobs(30)
    dataset = make_dataset(workspace, np.repeat(images, channels, axis=1), labels)
    thumbs = near.thumbnails_of(dataset)
    assert np.abs(thumbs.astype(int) - near.thumbnail(images[:, 0])).max() <= 1
    subjects = np.array([f"s{i}" for i in range(60)])
    assert len(near.near_ties(np.concatenate([thumbs, thumbs]), subjects, new_from=30).edges) == 30


def test_likeness_knows_no_order_brightness_or_contrast() -> None:
    thumbs = near.thumbnail(pictures(40)).astype(np.float32)
    both = np.concatenate([thumbs, 40 + thumbs * 0.5, np.zeros((1, SIDE, SIDE))])
    rows = np.stack([np.arange(40), 40 + np.arange(40)], axis=1)
    assert np.allclose(likeness(both, rows), 1, atol=1e-4)
    strangers = np.stack([np.arange(39), 1 + np.arange(39)], axis=1)
    forth, back = likeness(both, strangers), likeness(both, strangers[:, ::-1])
    assert np.allclose(forth, back, atol=1e-5)
    assert forth.max() < 0.9
    assert likeness(both, np.array([[0, 80]]))[0] == 0


def test_the_fingerprint_is_what_other_ingests_have_stored() -> None:
    """The planes come from a hash: no version of NumPy may change them."""
    x = np.arange(SIDE)
    picture = (128 + 60 * np.sin(x / 2)[:, None] * np.cos(x / 3)).astype(np.uint8)
    print_ = near.fingerprint(picture[None])
    bits = int(np.unpackbits(print_.view(np.uint8)).sum())
    assert print_.shape == (1, near.BITS // 64)
    assert near._planes()[0, :12].tolist() == EXPECTED_SIGNS
    assert abs(bits - near.BITS / 2) < 60


EXPECTED_SIGNS = [1, 1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 1]


def test_the_demand_grows_with_the_number_of_pictures() -> None:
    demands = [near.threshold(n) for n in (1, 1000, 10_000, 1_000_000, 10_000_000)]
    assert demands == sorted(demands)
    assert demands[0] == demands[1] == pytest.approx(0.955)
    assert 0.98 < demands[-1] < 0.995


@pytest.mark.real
def test_real_films_of_different_patients_are_told_apart_and_repeats_are_found(real_data) -> None:
    file = np.load(real_data / "pneumoniamnist.npz")
    films = np.concatenate([file[f"{s}_images"] for s in ("train", "val", "test")])
    found = near.near_ties(near.thumbnail(films.astype(np.float32) / 255), np.arange(len(films)))
    _, of, counts = np.unique(films.reshape(len(films), -1), axis=0, return_inverse=True, return_counts=True)
    of = of.ravel()
    assert {tuple(p) for p in found.pairs.tolist()} >= {
        (int(rows[a]), int(rows[b]))
        for value in np.flatnonzero(counts > 1)
        for rows in [np.flatnonzero(of == value)]
        for a in range(len(rows))
        for b in range(a + 1, len(rows))
    }
    assert (of[found.pairs[:, 0]] != of[found.pairs[:, 1]]).sum() <= 2
