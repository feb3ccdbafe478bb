from __future__ import annotations

from concurrent.futures import CancelledError
from threading import Event

import numpy as np
import pytest
import torch
from helpers import blobs, make_dataset

from medsyn.config import load_preset
from medsyn.evaluate import arms, comparison, looks
from medsyn.evaluate.classifiers import cnn, probe
from medsyn.evaluate.classifiers.augmentation import augment
from medsyn.evaluate.classifiers.sampling import batches


def test_smaller_ratio_uses_part_of_the_larger():
    _, _, _, half, one, alone = arms.plans([0.5, 1.0])
    few, many = (arms.synthetic_rows(p, 300, 100, seed=4) for p in (half, one))
    assert (len(few), len(many)) == (50, 100)
    assert set(few) < set(many)
    assert not np.array_equal(many, arms.synthetic_rows(one, 300, 100, seed=5))
    assert len(arms.synthetic_rows(one, 70, 100, seed=4)) == 70
    assert len(arms.synthetic_rows(alone, 300, 100, seed=4)) == 300


def test_batches():
    labels = np.array([0] * 30 + [1] * 6)
    plain = batches(labels, 9, 8, seed=0)
    assert plain.shape == (9, 8)
    assert (np.bincount(plain.ravel(), minlength=36) == 2).all()
    balanced = batches(labels, 9, 8, seed=0, balanced=True)
    assert (labels[balanced].sum(1) == 4).all()
    assert np.array_equal(plain, batches(labels, 9, 8, seed=0))
    assert not np.array_equal(plain, batches(labels, 9, 8, seed=1))


def test_augmentation_is_keyed_and_bounded():
    x = torch.from_numpy(blobs(12)[0])
    strength = load_preset("xray").augmentation
    a, b, c = augment(x, strength, 0, 1), augment(x, strength, 0, 1), augment(x, strength, 0, 2)
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert a.shape == x.shape
    assert 0 <= float(a.min()) <= float(a.max()) <= 1
    still = strength.model_copy(
        update={"rotate_degrees": 0.0, "translate": 0.0, "zoom": 0.0, "contrast": 0.0, "flip": False}
    )
    assert torch.allclose(augment(x, still, 0), x, atol=1e-5)


def test_only_a_preset_with_flip_mirrors():
    x = torch.from_numpy(blobs(16)[0])
    off = {"rotate_degrees": 0.0, "translate": 0.0, "zoom": 0.0, "contrast": 0.0}
    strength = load_preset("mri").augmentation.model_copy(update={**off, "flip": True})
    y = augment(x, strength, 3)
    mirrored = [torch.allclose(b, a.flip(-1), atol=1e-5) for a, b in zip(x, y, strict=True)]
    same = [torch.allclose(b, a, atol=1e-5) for a, b in zip(x, y, strict=True)]
    assert any(mirrored)
    assert any(same)
    assert all(m or s for m, s in zip(mirrored, same, strict=True))


def test_cnn_learns_and_repeats_itself():
    (x, y), (xt, yt), device = (
        blobs(200, side=28, signal=1.0),
        blobs(100, side=28, seed=1, signal=1.0),
        torch.device("cpu"),
    )
    train = lambda: cnn.train(x, y, 2, steps=40, batch=16, seed=0, device=device)  # noqa: E731
    p = cnn.predict(train(), xt, device)
    assert (p.argmax(1) == yt).mean() > 0.8
    assert np.array_equal(p, cnn.predict(train(), xt, device))


@pytest.mark.parametrize("steps", range(1, 8))
def test_cnn_takes_any_number_of_steps(steps):
    x, y = blobs(16, side=16)
    network = cnn.train(x, y, 2, steps=steps, batch=4, seed=0, device=torch.device("cpu"))
    assert np.isfinite(cnn.predict(network, x, torch.device("cpu"))).all()


def test_cnn_takes_sizes_and_channels():
    for channels, side in ((1, 16), (3, 28), (1, 64), (1, 128)):
        images = np.zeros((2, channels, side, side), np.float32)
        assert cnn.predict(cnn.SmallCNN(channels, 3, side).eval(), images, torch.device("cpu")).shape == (2, 3)


def test_probe_chooses_strength_on_val():
    rng = np.random.default_rng(0)
    y = np.arange(200) % 2
    x = rng.normal(size=(200, 50)) + y[:, None] * (np.arange(50) < 3) * 1.5
    model = probe.train(x[:100], y[:100], x[100:150], y[100:150], 2)
    assert (model.predict(x[150:]).argmax(1) == y[150:]).mean() > 0.8


def test_probe_gives_a_class_it_never_saw_probability_zero():
    rng = np.random.default_rng(0)
    y = np.arange(150) % 3
    x = rng.normal(size=(150, 20)) + y[:, None]
    seen = y[:90] != 1
    p = probe.train(x[:90][seen], y[:90][seen], x[90:], y[90:], 3).predict(x[90:])
    assert p.shape == (60, 3)
    assert (p[:, 1] == 0).all()
    assert p.sum(1) == pytest.approx(1)


def test_cnn_ends_at_the_step_at_which_it_is_told_to():
    stop = Event()
    stop.set()
    with pytest.raises(CancelledError):
        cnn.train(*blobs(16, side=16), 2, steps=5, batch=4, seed=0, device=torch.device("cpu"), stop=stop)


def test_trainings_under_way_end_when_one_fails():
    # As after Ctrl-C: without the event, the others would run all their steps first.
    finished, under_way = [], Event()

    def function(item, stop):
        if item == 0:
            under_way.wait(60)
            raise KeyboardInterrupt
        under_way.set()
        cnn.train(*blobs(16, side=16), 2, steps=2000, batch=4, seed=0, device=torch.device("cpu"), stop=stop)
        finished.append(item)

    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        with pytest.raises(KeyboardInterrupt):
            list(comparison._side_by_side(function, range(4), torch.device("cpu")))
    finally:
        torch.set_num_threads(threads)
    assert finished == []


def test_looks_are_counted_per_test_split(workspace):
    assert [look.number for look in looks.record(workspace, "a", "s1", "e1")] == [1]
    assert [look.number for look in looks.record(workspace, "b", "s1", "e2")] == [1]
    assert [(look.number, look.synthetic) for look in looks.record(workspace, "a", "s2", "e3")] == [
        (1, "s1"),
        (2, "s2"),
    ]


def test_a_training_image_more_makes_no_new_test_split(workspace):
    images, labels = blobs(91)
    official = ["train"] * 30 + ["val"] * 30 + ["test"] * 30 + ["train"]
    less, more = (make_dataset(workspace, images[:n], labels[:n], official=official[:n]) for n in (90, 91))
    other = make_dataset(workspace, images[:89], labels[:89], official=official[:89])
    assert less.digest != more.digest
    assert looks.split_digest(less) == looks.split_digest(more) != looks.split_digest(other)
