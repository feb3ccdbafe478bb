"""The HTML report says exactly what the results say, shows nothing from elsewhere, and lies in one file."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import yaml
from evaluate.report_sample import blobs, make_galleries, make_report
from PIL import Image

from medsyn.config import load_pipeline
from medsyn.evaluate.galleries import Galleries
from medsyn.evaluate.report import figures, numbers, write
from medsyn.evaluate.report.pictures import picture
from medsyn.evaluate.results import Estimate, Report


def page(folder: Path, report: Report, galleries: Galleries | None = None) -> str:
    file = write(report, galleries or make_galleries(report.dataset.classes), folder)
    assert file == folder / "report.html"
    return file.read_text(encoding="utf-8")


def text_of(page: str, element: str) -> str:
    found = re.search(rf'id="{element}"[^>]*>(.*?)</(?:p|dd|td|code|h2)>', page, re.DOTALL)
    assert found, element
    return html.unescape(" ".join(re.sub(r"<[^>]+>", " ", found[1]).split()))


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> str:
    return page(tmp_path_factory.mktemp("report"), make_report())


def test_the_verdict_shows_the_numbers_of_the_report(shown: str) -> None:
    report = make_report()
    effect = report.verdict.effect
    assert text_of(shown, "verdict-sentence") == report.verdict.sentence
    assert text_of(shown, "verdict-effect") == "+0.013" == numbers.signed(effect.value)
    assert text_of(shown, "verdict-interval") == "−0.004 to +0.030" == numbers.interval(effect, difference=True)
    assert text_of(shown, "primary-difference") == "+0.013 −0.004 to +0.030"
    assert text_of(shown, "verdict-title") == "Verdict no evidence"
    assert report.verdict.rule in html.unescape(shown)
    seeds = re.search(r"Each training seed</dt><dd>(.*?)</dd>", shown, re.DOTALL)
    assert seeds
    assert re.findall(r">([+−]\d\.\d{3})<", seeds[1]) == [numbers.signed(s) for s in effect.per_seed]


def test_every_arm_shows_its_estimates_in_the_right_column(shown: str) -> None:
    report = make_report()
    tables = re.findall(r'<table class="arms">(.*?)</table>', shown, re.DOTALL)
    assert len(tables) == 2
    rows = [row for table in tables for row in re.findall(r"<tr.*?</tr>", table.split("<tbody>")[1], re.DOTALL)]
    assert len(rows) == len(report.arms)
    for row, arm in zip(rows, report.arms, strict=True):
        assert arm.name in html.unescape(row)
        assert ("chosen control" in row or "chosen synthetic" in row) == arm.chosen
        value = re.findall(r'<span class="value">(.*?)</span>', row)
        expected = [arm.val["auroc"], arm.test["auroc"], arm.test["balanced_accuracy"]]
        expected += [arm.test_at_half["balanced_accuracy"], arm.test["accuracy"]]
        assert value == [numbers.number(e.value) for e in expected]


def test_training_images_are_split_into_real_and_synthetic(shown: str) -> None:
    table = re.findall(r'<table class="arms">(.*?)</table>', shown, re.DOTALL)[0]
    cells = [re.sub(r"<[^>]+>", "", c) for c in re.findall(r"<td>(.*?)</td>", table, re.DOTALL)]
    rows = [cells[k : k + 3] for k in range(0, len(cells), 8)]
    assert rows[0] == ["431", "1214", "62"]
    assert rows[3] == ["431 + 216", "1214 + 607", "62 + 31"]
    assert rows[5] == ["0 + 431", "0 + 1214", "0 + 62"]


def test_the_threshold_check_separates_ranking_from_threshold(shown: str) -> None:
    note = re.search(r"Ranking or threshold\?.*?</table>", shown, re.DOTALL)
    assert note
    cells = re.findall(r"<td>(.*?)</td>", note[0])
    assert cells == [
        *("0.936", "0.949", "+0.013"),  # AUROC
        *("0.826", "0.839", "+0.013"),  # tuned on val
        *("0.763", "0.807", "+0.044"),  # untuned
    ]
    assert "largest score wins" in note[0]  # three classes have no threshold of 0.5


@pytest.mark.parametrize(("decision", "css"), [("helps", "helps"), ("no evidence", "no-evidence"), ("hurts", "hurts")])
def test_the_decision_is_told_by_word_icon_and_colour(tmp_path: Path, decision: str, css: str) -> None:
    banner = page(tmp_path, make_report(verdict__decision=decision)).split('<section id="verdict"')[1].split("</h2>")[0]
    assert f'class="verdict {css}"' in banner
    assert f'class="decision">{decision}<' in banner
    assert '<svg class="icon"' in banner


def test_every_warning_is_shown_and_findings_are_severe(tmp_path: Path) -> None:
    report = make_report(copying__found=True, collapse__found=True)
    shown = page(tmp_path, report)
    boxes = re.findall(r'<li class="(severe|caution)">.*?</strong> (.*?)</span>', shown, re.DOTALL)
    told = [(kind, html.unescape(text)) for kind, text in boxes]
    assert told == [
        ("severe", report.copying.sentence),
        ("severe", report.collapse.sentence),
        *(("caution", text) for text in report.verdict.warnings),
    ]
    assert "Copying: found" in shown
    assert "Collapse: found" in shown


def test_a_finding_that_the_verdict_repeats_is_shown_once(tmp_path: Path) -> None:
    report = make_report(copying__found=True)
    report.verdict.warnings.append(report.copying.sentence)
    verdict = page(tmp_path, report).split('<ul class="warnings">')[1].split("</ul>")[0]
    assert verdict.count(html.escape(report.copying.sentence)) == 1


def test_a_check_that_was_not_made_is_not_called_clear(tmp_path: Path) -> None:
    shown = page(
        tmp_path, make_report(copying__tested=False, copying__n=0, copying__examined=0, collapse__per_class={})
    )
    assert "Copying: not tested" in shown
    assert "Collapse: not tested" in shown
    assert 'class="finding clear"' not in shown
    assert "Expected without copying" not in shown


def test_labels_are_escaped_everywhere(tmp_path: Path) -> None:
    hostile = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}&amp;"]
    shown = page(tmp_path, make_report(hostile, verdict__warnings=["<script>alert(2)</script>"]))
    assert "<script" not in shown
    assert "<img src=x" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in shown
    assert "{{ 7 * 7 }}&amp;amp;" in shown
    for name in re.findall(r'\balt="([^"]*)"', shown):
        assert "<" not in name


def test_nothing_is_loaded_from_elsewhere(shown: str) -> None:
    loads = re.findall(r'\b(?:src|href|srcset|action|data|poster)\s*=\s*"([^"]*)"', shown)
    assert len(loads) > 80
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in loads)
    assert not re.search(r"https?://|@import|<script|<link|<iframe|\son\w+=", shown)
    style = shown.split("<style>")[1].split("</style>")[0]
    assert "url(" not in style


def test_links_lead_to_sections_that_exist(shown: str) -> None:
    ids = re.findall(r'\bid="([^"]+)"', shown)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'href="#([^"]+)"', shown)) <= set(ids)


def test_images_hold_the_very_pixels_and_have_words(shown: str) -> None:
    galleries = make_galleries()
    tags = re.findall(r"<img[^>]+>", shown)
    assert len(tags) == 8 * 2 + 3 * 24
    assert all(re.search(r'alt="[^"]+"', tag) and 'class="pixels"' in tag for tag in tags)
    first = re.search(r'src="data:image/png;base64,([^"]+)"', tags[0])
    assert first
    pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(first[1]))))
    np.testing.assert_array_equal(pixels, galleries.closest[0].synthetic[0])


def test_colour_pictures_and_large_ones(tmp_path: Path) -> None:
    pixels = blobs(1, 3, channels=3, side=160)[0]
    shown = picture(pixels)
    assert (shown.width, shown.height, shown.enlarged) == (160, 160, False)
    read = np.asarray(Image.open(io.BytesIO(base64.b64decode(shown.uri.split(",")[1]))))
    np.testing.assert_array_equal(read, pixels.transpose(1, 2, 0))
    with pytest.raises(ValueError, match="uint8"):
        picture(pixels.astype(np.float32) / 255)


def test_real_images_are_announced_only_where_there_are_any(tmp_path: Path, shown: str) -> None:
    assert shown.count("Do not share this file outside your team") == 2
    without = page(tmp_path, make_report(), Galleries(make_galleries().synthetic, {}, []))
    assert "Do not share" not in without
    assert "Real held-out" not in without


def test_synthetic_images_are_never_called_anonymous(shown: str) -> None:
    words = re.sub(r"data:[^\"]+", "", shown)
    assert re.findall(r"[^.<>]*anonym[^.<>]*", words, re.IGNORECASE) == ["Synthetic does not mean anonymous"]
    assert "Not for diagnosis" in words


def test_the_printed_pipeline_runs_as_it_stands(tmp_path: Path, shown: str) -> None:
    code = re.search(r'<code id="pipeline">(.*?)</code>', shown, re.DOTALL)
    assert code
    file = tmp_path / "again.yaml"
    file.write_text(html.unescape(code[1]), encoding="utf-8")
    ((stage, options),) = load_pipeline(file)
    assert (stage, options.dataset, options.synthetic, options.steps) == ("evaluate", "xray-001", "xray-002", 600)
    assert yaml.safe_load(file.read_text())["stages"][0]["evaluate"]["ratios"] == [0.5, 1.0]


def test_split_counts_in_order_with_their_sums(shown: str) -> None:
    table = shown.split('<section id="data"')[1].split("</table>")[0]
    assert re.findall(r'colspan="2">(\w+)<', table) == ["train", "tune", "val", "test"]
    rows = [re.findall(r"<td>(\d+)</td>", row) for row in re.findall(r"<tr.*?</tr>", table, re.DOTALL)][2:]
    counts = np.array(rows, dtype=int)
    assert counts[0].tolist() == [431, 215, 43, 21, 86, 43, 107, 53]
    np.testing.assert_array_equal(counts[:3].sum(0), counts[3])


def test_a_report_without_pictures_or_intervals_still_reads(tmp_path: Path) -> None:
    bare = {"value": 0.01}
    report = make_report(
        verdict__effect=bare, contrasts=[], fidelity__rows=[], collapse__per_class={}, looks_at_test=[]
    )
    report.arms[0].test["auroc"] = Estimate(value=float("nan"))
    shown = page(tmp_path, report, Galleries({}, {}, []))
    assert text_of(shown, "verdict-effect") == "+0.010"
    assert "verdict-interval" not in shown
    assert "nan" not in re.sub(r"<style>.*</style>", "", shown, flags=re.DOTALL).lower().split()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "+0.123"),
        (-0.0417, "−0.042"),
        (-0.0001, "0.000"),
        (0.0, "0.000"),
        (float("nan"), "–"),
        (1.5, "+1.500"),
    ],
)
def test_signed_numbers(value: float, text: str) -> None:
    assert numbers.signed(value) == text


def test_other_numbers() -> None:
    assert numbers.number(None) == "–"
    assert numbers.number(float("-inf")) == "−∞"
    assert (numbers.count(9999), numbers.count(1234567)) == ("9999", "1\u202f234\u202f567")
    assert (numbers.p_value(0.0004), numbers.p_value(0.271)) == ("< 0.001", "= 0.271")
    assert numbers.day("2026-01-03T10:05:00+01:00") == "2026-01-03 09:05 UTC"
    assert numbers.day("yesterday") == "yesterday"
    assert [numbers.duration(s) for s in (41.2, 724, 7530)] == [
        "41\u202fs",
        "12\u202fmin 4\u202fs",
        "2\u202fh 5\u202fmin",
    ]


def test_chart_positions_keep_order_and_stay_inside() -> None:
    report = make_report()
    chart = figures.forest(report.contrasts, "auroc")
    assert [g.classifier for g in chart.groups] == ["cnn", "probe"]
    rows = [row for group in chart.groups for row in group.rows]
    effects = [c.effect for c in report.contrasts if c.measure == "auroc"]
    assert len(rows) == len(effects) == 6
    assert sum(row.style == "primary" for row in rows) == 1
    for row, effect in zip(rows, effects, strict=True):
        assert 0 < row.low < row.at < row.high < 100
        assert (row.at > chart.zero) == (effect.value > 0)
        assert row.value == numbers.signed(effect.value)
    places = {label: at for at, label in chart.ticks}
    assert places["0.00"] == pytest.approx(chart.zero, abs=0.01)
    assert 3 <= len(chart.ticks) <= 7


@pytest.mark.parametrize("value", [0.0, 1e-12, 0.5, -3.0])
def test_a_scale_over_one_value_still_has_ticks(value: float) -> None:
    scale = figures.Scale.over([value, None, float("nan")])
    assert scale.at(value) == pytest.approx(50, abs=0.01)
    assert 2 <= len(scale.ticks(difference=False)) <= 7
    assert scale.at(float("nan")) is None


@pytest.mark.system
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_in_a_browser(tmp_path: Path, scheme: str) -> None:
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("no chromium on PATH")
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    names = ["a class with a very long name indeed " * 2, "x" * 90, "<b>bold</b>"]
    report = make_report(names, copying__found=True)
    (tmp_path / "report.json").write_text(report.model_dump_json(), encoding="utf-8")
    file = write(report, make_galleries(names), tmp_path)
    problems: list[str] = []
    requests: list[str] = []
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-quic"])
        tab = browser.new_page(viewport={"width": 390, "height": 800}, color_scheme=scheme)
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda request: requests.append(request.url))
        tab.goto(file.as_uri())
        sentence = json.loads((tmp_path / "report.json").read_text())["verdict"]["sentence"]
        assert tab.locator("#verdict-sentence").inner_text() == sentence
        for width in (390, 1280):
            tab.set_viewport_size({"width": width, "height": 800})
            assert tab.evaluate("document.scrollingElement.scrollWidth") <= width
        sizes = tab.evaluate("[...document.images].map(i => [i.naturalWidth, i.getBoundingClientRect().width])")
        assert len(sizes) == 88
        assert all(natural > 0 and css >= 96 for natural, css in sizes)
        assert tab.locator("section b", has_text="bold").count() == 0
        folded = tab.locator("#primary-difference")
        assert not folded.is_visible()
        tab.emulate_media(media="print")
        assert folded.is_visible()
        browser.close()
    assert problems == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
