"""The HTML report says exactly what the results say, shows nothing from elsewhere, and lies in one file."""

from __future__ import annotations

import base64
import html
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
import yaml
from evaluate.report_pictures import blobs, make_galleries
from evaluate.report_sample import make_binary, make_report
from PIL import Image

from medsyn.config import load_pipeline
from medsyn.evaluate.checks.galleries import Galleries
from medsyn.evaluate.report import charts, checklists, write
from medsyn.evaluate.report.numbers import interval
from medsyn.evaluate.results import Estimate, Report
from medsyn.page import numbers
from medsyn.page.pictures import picture


def page(folder: Path, report: Report, galleries: Galleries | None = None) -> str:
    """The page without its scripts: what they hold has tests of its own."""
    file = write(report, galleries or make_galleries(report.dataset.classes), folder)
    assert file == folder / "report.html"
    return re.sub(r"<script.*?</script>", "", file.read_text(encoding="utf-8"), flags=re.DOTALL)


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
    assert text_of(shown, "verdict-interval") == "−0.004 to +0.030" == interval(effect, difference=True)
    assert text_of(shown, "primary-difference") == "+0.013 −0.004 to +0.030"
    assert text_of(shown, "verdict-title") == "Verdict no evidence"
    assert report.verdict.rule in html.unescape(shown)
    assert report.verdict.estimand in html.unescape(shown)
    assert text_of(shown, "verdict-seeds").split() == [numbers.signed(s) for s in effect.per_seed]


def rows_of(page: str, css: str) -> list[str]:
    """The body rows of every table of one class."""
    tables = re.findall(rf'<table class="{css}">(.*?)</table>', page, re.DOTALL)
    return [row for table in tables for row in re.findall(r"<tr.*?</tr>", table.split("<tbody>", 1)[1], re.DOTALL)]


def cells(row: str) -> list[str]:
    return [re.sub(r"<[^>]+>", "", cell).strip() for cell in re.findall(r"<td[^>]*>(.*?)</td>", row, re.DOTALL)]


def test_every_arm_shows_its_ranking_in_the_right_column_and_unopened_ones_a_dash(shown: str) -> None:
    report = make_report()
    rows = rows_of(shown, "arms ranking")
    ordered = [arm for arms in charts.by_comparison(report).values() for arm in arms]
    assert len(rows) == len(ordered) == 27
    for row, arm in zip(rows, ordered, strict=True):
        assert arm.name in html.unescape(row)
        assert ("chosen control" in row or "chosen synthetic" in row) == arm.chosen
        estimates = [arm.val, *((arm.test or {}).get(key) for key in ("auroc", "auprc"))]
        values = [re.search(r'"value">(.*?)<', cell) for cell in re.findall(r"<td>(.*?)</td>", row, re.DOTALL)[-3:]]
        assert [v and v[1] for v in values] == [e and numbers.number(e.value) for e in estimates]
        assert cells(row)[-1] == "–" or arm.test is not None


def test_decisions_stand_apart_at_both_thresholds(shown: str) -> None:
    report = make_report()
    _, arm = charts.chosen_pair(report)
    keys = ["balanced_accuracy", "accuracy", "f1", "sensitivity", "specificity", "ppv", "npv"]
    for source, caption in ((arm.test, "threshold tuned on val"), (arm.test_at_half, "largest score wins")):
        table = re.search(rf'aria-label="Decisions on test, {caption}: all data, Conv.*?</table>', shown, re.DOTALL)
        row = next(r for r in re.findall(r"<tr.*?</tr>", table[0], re.DOTALL) if arm.name in html.unescape(r))
        values = re.findall(r'"value">(.*?)<', row)
        assert values == [numbers.number(source[key].value) for key in keys]
    fixed = re.search(r'aria-label="Fixed error rates.*?</table>', shown, re.DOTALL)[0]
    assert "Sensitivity at specificity 0.9" in fixed
    assert numbers.number(arm.test["brier"].value) in fixed


def test_training_images_are_split_into_real_and_synthetic(shown: str) -> None:
    rows = [cells(row)[:3] for row in rows_of(shown, "arms ranking")]
    assert rows[0] == ["431", "1214", "62"]
    assert rows[5] == ["431 + 216", "1214 + 607", "62 + 31"]
    assert rows[7] == ["0 + 431", "0 + 1214", "0 + 62"]


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


DECISIONS = [("helps", "helps"), ("no evidence", "no-evidence"), ("hurts", "hurts"), ("equivalent", "equivalent")]


@pytest.mark.parametrize(("decision", "css"), DECISIONS)
def test_the_decision_is_told_by_word_icon_and_colour(tmp_path: Path, decision: str, css: str) -> None:
    banner = page(tmp_path, make_report(verdict__decision=decision)).split('<section id="verdict"')[1].split("</h2>")[0]
    assert f'class="verdict {css}"' in banner
    assert f'class="decision">{decision}<' in banner
    sign = re.search(r'<path d="([^"]+)" class="sign"', banner)
    others = [page(tmp_path, make_report(verdict__decision=d)) for d, _ in DECISIONS if d != decision]
    headings = [other.split('<section id="verdict"')[1].split("</h2>")[0] for other in others]
    assert sign
    assert all(sign[1] not in heading for heading in headings)
    assert "Quick look" not in banner


def test_a_quick_look_says_that_it_decides_nothing(tmp_path: Path) -> None:
    shown = page(tmp_path, make_binary())
    assert "Quick look: decides nothing." in shown.split('<div class="verdict')[0]
    assert text_of(shown, "verdict-title") == "Quick look no evidence"
    assert "**Quick look: decides nothing.**" in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_every_warning_is_shown_and_findings_are_severe(tmp_path: Path) -> None:
    report = make_report(copying__found=True, collapse__found=True, leakage__found=True, labels__found=True)
    shown = page(tmp_path, report)
    boxes = re.findall(r'<li class="(severe|caution)">.*?</strong> (.*?)</span>', shown, re.DOTALL)
    told = [(kind, html.unescape(text)) for kind, text in boxes]
    assert told == [
        ("severe", report.leakage.sentence),
        ("severe", report.copying.sentence),
        ("severe", report.collapse.sentence),
        ("severe", report.labels.sentence),
        ("caution", report.fidelity.sentence),
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
    untested = {f"{check}__tested": False for check in ("copying", "labels", "shortcut")}
    untested |= {"fidelity__found": False, "fidelity__rows": [], "leakage__examined": 0}
    shown = page(tmp_path, make_report(**untested, copying__n=0, copying__examined=0, collapse__per_class={}))
    for name in ("Leakage between splits", "Copying", "Collapse", "Labels", "Shortcut", "Fidelity"):
        assert f"{name}: not tested" in shown
    assert 'class="finding clear"' not in shown
    at_a_glance = shown.split('<ul class="checks">')[1].split("</ul>")[0]
    assert at_a_glance.count("<strong>not tested</strong>") == 6
    assert "Honest generator" not in shown


def test_checks_at_a_glance_tell_what_was_found(tmp_path: Path, shown: str) -> None:
    def told(text: str) -> dict[str, str]:
        part = text.split('<ul class="checks">')[1].split("</ul>")[0]
        return dict(re.findall(r'"check-name">(.*?)</span> <strong>(.*?)</strong>', part))

    clear = told(shown)
    assert (
        clear["Copies of patients"] == clear["Leakage between splits"] == clear["Collapse of a class"] == "none found"
    )
    found = {f"{check}__found": True for check in ("copying", "labels", "shortcut", "leakage", "collapse")}
    bad = told(page(tmp_path, make_report(**found)))
    assert list(bad.values()) == ["found", "found", "found", "do not match", "likely", "far from real"]


HOSTILE = ["<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}&amp;|`*_</title>"]


def test_labels_are_escaped_everywhere(tmp_path: Path) -> None:
    shown = page(tmp_path, make_report(HOSTILE, verdict__warnings=["<script>alert(2)</script>"]))
    assert "<script" not in shown
    assert "<img src=x" not in shown
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    assert "&lt;script&gt;alert(2)&lt;/script&gt;" in shown
    assert "{{ 7 * 7 }}&amp;amp;" in shown
    for name in re.findall(r'\balt="([^"]*)"', shown):
        assert "<" not in name
    data = (tmp_path / "report.html").read_text(encoding="utf-8").split('id="figures">')[1].split("</script>")[0]
    assert not set("<>&") & set(data)
    labels = [label for figure in json.loads(data) for label in figure.get("labels", [])]
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in labels  # plotly reads a little HTML
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "<script" not in markdown.replace("\\<", "")
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    bars = [len(re.findall(r"(?<!\\)\|", row)) for row in rows]
    for row, before, after in zip(rows, bars, bars[1:], strict=False):
        assert before == after or not row.startswith("|-"), row  # a table keeps its columns


def test_nothing_is_loaded_from_elsewhere_and_only_our_scripts_may_run(tmp_path: Path, shown: str) -> None:
    loads = re.findall(r'\b(?:src|href|srcset|action|data|poster)\s*=\s*"([^"]*)"', shown)
    assert len(loads) > 80
    assert all(link.startswith(("#", "data:image/png;base64,")) for link in loads)
    assert not re.search(r"https?://|@import|<link|<iframe|\son\w+=", shown)
    assert "url(" not in shown.split("<style>")[1].split("</style>")[0]
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', shown)[1]
    rules = dict(rule.strip().split(" ", 1) for rule in html.unescape(policy).split(";"))
    assert rules["default-src"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/=]+' 'sha256-[\w+/=]+'", rules["script-src"])


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


def test_the_images_are_never_called_anonymous(tmp_path: Path, shown: str) -> None:
    write(make_binary(), make_galleries(), tmp_path)
    for text in (shown, (tmp_path / "report.md").read_text(encoding="utf-8")):
        words = re.sub(r"data:image[^\"]+", "", text)
        assert "anonym" not in words.lower()
        assert "Not for diagnosis" in words or "Research use only" in words


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
    report = make_binary(
        verdict__effect=bare,
        contrasts=[],
        fidelity__rows=[],
        collapse__per_class={},
        looks_at_test=[],
        compared=[],
        settings={},
        leakage__checks=[],
        copying__n=0,
    )
    for arm in report.arms:
        arm.val = Estimate(value=float("nan"), low=float("nan"), high=float("inf"))
        arm.test = arm.test and arm.test | {"auroc": Estimate(value=float("nan"))}
    shown = page(tmp_path, report, Galleries({}, {}, []))
    assert text_of(shown, "verdict-effect") == "+0.010"
    assert "verdict-interval" not in shown
    words = re.sub(r"<style>.*</style>", "", shown, flags=re.DOTALL).lower().split()
    assert not {"nan", "inf"} & set(words)
    data = (tmp_path / "report.html").read_text(encoding="utf-8").split('id="figures">')[1].split("</script>")[0]
    assert "NaN" not in data
    assert "Infinity" not in data
    report.arms = []
    assert "No arm of the verdict" in page(tmp_path, report, Galleries({}, {}, []))


def test_huge_counts(tmp_path: Path) -> None:
    shown = page(tmp_path, make_report(synthetic__n=123_456_789_012, copying__examined=10**15))
    assert "123\u202f456\u202f789\u202f012 images" in shown
    assert "of 1\u202f000\u202f000\u202f000\u202f000\u202f000" in shown


def test_what_was_measured_beside_the_verdict_is_told(shown: str) -> None:
    report, words = make_report(), html.unescape(shown)
    assert report.verdict.worth.sentence in words
    assert all(check in words for check in report.leakage.checks)
    assert all(s.sentence in words for s in (report.shortcut, report.labels, report.fidelity, report.copying))
    for row in report.fidelity.rows:
        for value in (row.spectrum, row.histogram, row.texture, row.vendi):
            assert numbers.number(value) in words
    assert "412 training images from 412 unseen ones with AUROC 0.508" in words
    for group in report.subgroups:
        assert group.value in words
    for gap in report.gaps:
        assert numbers.signed(gap.synthetic - gap.control) in words
    assert "xray-009 (other hospital)" in words
    assert shown.count("not the first") == 2


def test_a_foreign_set_is_named_so(tmp_path: Path) -> None:
    assert "Made by another tool" in page(tmp_path, make_binary())
    assert "Made by another tool" not in page(tmp_path, make_report())


def test_the_checklists_answer_what_is_known_and_leave_the_rest_blank() -> None:
    report = make_report()
    criteria = checklists.scorecard(report)
    assert [c.name for c in criteria] == [
        *("Congruence", "Coverage", "Constraint", "Completeness"),
        *("Compliance", "Comprehension", "Consistency"),
    ]
    assert "KID 0.0412; real training images: 0.0031." in criteria[0].answers
    items = checklists.claim(report)
    assert [int(item.name) for item in items] == list(range(1, 45))
    answers = {int(item.name): " ".join(item.answers) for item in items}
    assert all(not answers[k] for k in (2, 3, 5, 8, 11, 12, 14, 15, 16, 17, 18, 24, 31, 34, 36, 39, 41, 43, 44))
    assert report.verdict.sentence in answers[37]
    assert "xray-009" in answers[33]
    assert "not measured" in " ".join(next(i for i in checklists.claim(make_binary()) if i.name == "33").answers)


def test_markdown_for_papers_holds_the_numbers_and_is_the_same_each_time(tmp_path: Path) -> None:
    report = make_report()
    texts = []
    for name in ("a", "b"):
        write(report, make_galleries(), tmp_path / name)
        texts.append((tmp_path / name / "report.md").read_bytes())
    assert texts[0] == texts[1]
    text = texts[0].decode()
    assert "data:image" not in text
    assert report.verdict.sentence in text
    for key, value in report.settings.items():
        plain = f"{key} = {value if isinstance(value, str) else json.dumps(value)}"
        assert re.sub(r"([\[\]_])", r"\\\1", plain) in text
    for contrast in report.contrasts:
        assert f"{numbers.signed(contrast.effect.value)} ({interval(contrast.effect, difference=True)})" in text
        assert contrast.p_holm is None or numbers.p_value(contrast.p_holm).replace("= ", "") in text
    for row in report.fidelity.rows:
        assert f"{row.name} | {row.n} | {numbers.number(row.kid.value, 4)}" in text
    for heading in ("Methods", "Results", "Limits", "Scorecard for synthetic medical data (7 Cs)", "CLAIM"):
        assert f"## {heading}" in text
