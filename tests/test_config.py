"""Options, presets and pipelines: wrong keys are named, right ones arrive."""

from __future__ import annotations

from pathlib import Path

import pytest

from medsyn.config import (
    MODALITIES,
    AugmentOptions,
    EvaluateOptions,
    IngestOptions,
    load_pipeline,
    load_preset,
    parse_budget,
    read_preset,
    shipped,
    validate,
)
from medsyn.errors import UsageError


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_preset_loads(modality: str) -> None:
    preset = load_preset(modality)
    assert preset.modality == modality
    assert preset.dicom_modalities


@pytest.mark.parametrize("modality", MODALITIES)
def test_what_has_a_side_is_never_mirrored(modality: str) -> None:
    preset = load_preset(modality)
    assert preset.augmentation.flip == (modality in ("mri", "ultrasound", "mammography"))
    assert ("flip" in preset.diffaugment) == preset.augmentation.flip


def test_hounsfield_units_keep_their_brightness() -> None:
    preset = load_preset("ct")
    assert preset.augmentation.contrast == 0
    assert not {"brightness", "contrast"} & set(preset.diffaugment)


@pytest.mark.parametrize("modality", MODALITIES)
def test_every_choice_of_a_preset_has_its_reason(modality: str) -> None:
    text = (shipped("configs") / f"{modality}.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()
    assert lines[0].startswith("# ")
    without = ("modality:", "dicom_modalities:", "storage:", "orientation: as_acquired", "augmentation:", "#")
    assert [line for line in lines if not line.strip().startswith(without) and "#" not in line] == []


@pytest.mark.parametrize(
    ("text", "says"),
    [("sizes: 32\n", "sizes"), ("- a\n", "table"), ("modality: [\n", "YAML"), ("modality: xray\n", "dicom_modalities")],
)
def test_a_wrong_preset_names_the_file_and_the_key(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(text)
    with pytest.raises(UsageError, match=says) as caught:
        read_preset(file)
    assert "mine.yaml" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("90s", ("seconds", 90)), ("10m", ("seconds", 600)), ("1.5h", ("seconds", 5400)), ("50kimg", ("kimg", 50))],
)
def test_budgets(text: str, expected: tuple[str, float]) -> None:
    assert parse_budget(text) == expected


@pytest.mark.parametrize("text", ["", "10", "0s", "-3m", "3 weeks", "kimg"])
def test_what_is_no_budget(text: str) -> None:
    with pytest.raises(ValueError, match="budget"):
        parse_budget(text)


def test_classes_come_as_text_or_list() -> None:
    assert IngestOptions(classes="normal, pneumonia").classes == ["normal", "pneumonia"]
    assert IngestOptions(classes=["a", "b"]).classes == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"seeds": 1}, "seeds"),
        ({"ratios": [0]}, "ratio"),
        ({"primary": "cnn", "classifiers": ["probe"]}, "primary"),
        ({"sedes": 3}, "unknown key 'sedes'"),
    ],
)
def test_wrong_options_are_told_in_one_line(options: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says) as caught:
        validate(EvaluateOptions, options, where="medsyn evaluate")
    assert "\n" not in caught.value.line()


def test_a_folder_named_demo_does_not_hide_the_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()
    assert load_pipeline("demo")[0][0] == "ingest"
    assert load_pipeline("pipelines/demo.yaml") == load_pipeline("demo")
    with pytest.raises(UsageError, match="Shipped ones: brain_mri, breast_ultrasound, chest_xray, demo, head_ct"):
        load_pipeline("elsewhere/demo.yaml")


def test_a_pipeline_of_the_user_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo.yaml").write_text("name: mine\nstages:\n  - augment: {n: 7}\n")
    ((stage, options),) = load_pipeline("demo.yaml")
    assert (stage, options.n) == ("augment", 7)


@pytest.mark.parametrize(
    ("option", "wrong", "example"),
    [
        ("slices", "every=0", "every=5"),
        ("label_from", "tag:", "tag:BodyPartExamined"),
        ("mask_label", "lesion", '"lesion>0"'),
        ("window", "40,x", "40,400"),
        ("window", "40", "40,400"),
        ("window", (40, 0), "40,400"),
        ("name", "a/b", "chest-2024"),
    ],
)
def test_a_wrong_form_is_told_by_an_example(option: str, wrong: object, example: str) -> None:
    with pytest.raises(UsageError) as caught:
        validate(IngestOptions, {option: wrong}, where="medsyn ingest")
    line = caught.value.line()
    assert f"{option}: say " in line
    assert f"as in {example}" in line
    assert "\n" not in line
    assert not any(raw in line for raw in ("pattern", "valid number", "Input should"))


@pytest.mark.parametrize("window", ["soft", "40,400", (40, 400), ["40", 400.0]])
def test_every_form_of_a_window_is_the_same(window: object) -> None:
    assert validate(IngestOptions, {"window": window}, where="").window == (40.0, 400.0)


def test_a_balance_of_numbers_is_their_sum() -> None:
    counted = validate(AugmentOptions, {"balance": "nodule=3000,normal=2000"}, where="medsyn augment")
    assert (counted.balance, counted.n) == ({"nodule": 3000, "normal": 2000}, 5000)
    assert validate(AugmentOptions, {"balance": " nodule=3, normal=2,"}, where="here").balance == {
        "nodule": 3,
        "normal": 2,
    }
    assert validate(AugmentOptions, {"balance": {"nodule": 3}, "n": 3}, where="here").n == 3
    assert validate(AugmentOptions, {"balance": "equal"}, where="here").n == 1000


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"balance": "nodule=3,normal=2", "n": 6}, "balance counts 5 images and n says 6"),
        ({"balance": "nodule=many"}, "say class=images"),
        ({"balance": "nodule=3,normal"}, "say class=images"),
        ({"balance": "nodule=-3,normal=4"}, "none below 0 and one above"),
        ({"balance": "nodule=0"}, "none below 0 and one above"),
        ({"balance": "some"}, "match, equal, minority or counts of classes"),
        ({"balance": "nodule=5,nodule=6"}, "a class twice"),
        ({"truncation": 0}, "truncation"),
        ({"truncation": 1.5}, "truncation"),
    ],
)
def test_a_balance_or_truncation_that_means_nothing_is_refused(given: dict[str, object], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        validate(AugmentOptions, given, where="medsyn augment")
