"""How the report tells what the filter did."""

from __future__ import annotations

import html
import re

import pytest

from medsyn.evaluate.results import Estimate, Selection
from medsyn.evaluate.selection import sentence

EFFECT = Estimate(value=0.003, low=-0.004, high=0.010)


@pytest.mark.parametrize(
    ("decision", "effect", "copies", "words"),
    [
        ("no evidence", EFFECT, (2, 14), "+0.003 (95 % interval −0.004 to +0.010): no evidence that it helps the "
         "classifier; 2 of the images all but equal a training image with it, 14 without."),
        ("helps", Estimate(value=0.02, low=0.01, high=0.03), None,
         "+0.010 to +0.030): with these candidates it helps the classifier."),
        ("helps", Estimate(value=0.002, low=0.001, high=0.003), None,
         "with these candidates it helps the classifier, by less than the 0.01 that counts."),
        ("hurts", Estimate(value=-0.02, low=-0.03, high=-0.01), (0, 0),
         "with these candidates it hurts the classifier; no image all but equals a training image, with it or "
         "without."),
        ("equivalent", Estimate(value=0, low=-0.004, high=0.004), None,
         "with these candidates the classifier changes by less than 0.01."),
    ],
)  # fmt: skip
def test_one_plain_sentence(decision, effect, copies, words):
    told = sentence(effect, decision, "auroc", 0.01, "37 of 600 images", copies)
    assert told.startswith("Selection replaced 37 of 600 images and changed AUROC by ")
    assert told.endswith(words)


def test_a_rule_that_nobody_knows_reaches_no_page_unescaped(tmp_path):
    from evaluate.report_pictures import make_galleries
    from evaluate.report_sample import CLASSES, make_report

    from medsyn.evaluate.report import write

    rules = {name: {"<script>alert(3)</script>|": k} for k, name in enumerate(CLASSES)}
    write(make_report(selection__rejected=rules, selection__notes=["<b>note</b>"]), make_galleries(), tmp_path)
    page = re.sub(r"<script.*?</script>", "", (tmp_path / "report.html").read_text(), flags=re.DOTALL)
    assert "&lt;script&gt;alert(3)" in page.split('id="selection"')[1]
    assert "&lt;b&gt;note" in page
    markdown = (tmp_path / "report.md").read_text()
    assert "<script" not in markdown.replace("\\<", "")
    assert r"alert(3)\</script\>\|" in markdown


def test_the_tables_of_a_selection(tmp_path):
    from evaluate.report_pictures import make_galleries
    from evaluate.report_sample import make_binary, make_report

    from medsyn.evaluate.report import write

    def section(report):
        page = write(report, make_galleries(report.dataset.classes), tmp_path).read_text()
        return html.unescape(page.split('<section id="selection"')[1].split("</section>")[0])

    found = section(make_report())
    head, *rows = (
        re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)
        for row in re.findall(r"<tr.*?</tr>", found.split("</table>")[0], re.DOTALL)
    )
    assert head == ["Class", "Judged", "Label", "Off manifold", "Copy", "Accepted"]
    assert rows == [
        ["normal", "4311", "250", "61", "0", "4000"],
        ["pneumonia", "4020", "0", "18", "2", "4000"],
        ["pleural effusion", "5207", "1102", "93", "12", "4000"],
        ["Sum", "13\u202f538", "1352", "172", "14", "12\u202f000"],
    ]
    for words in ("+0.003", "0.0412", "0.0533", "−0.0121", "−14"):
        assert words in found
    untested = make_binary()
    found = section(untested)
    assert untested.selection.sentence in found
    assert "<table" not in found
    assert "Filtered against" not in (tmp_path / "report.md").read_text()
    bare = Selection(tested=True, sentence="Nothing but this.", measure="auroc")
    report = make_report(fidelity__rows=[]).model_copy(update={"selection": bare})
    assert "Nothing but this." in section(report)
