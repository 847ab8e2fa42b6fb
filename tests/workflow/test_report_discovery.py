"""Discovery in the report, pictures on both sides of a split, and the mark of the paper's protocols."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from lxml import html
from report_fixture import FASHION, make, text, write_results


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("discovery") / "results").parent


@pytest.fixture(scope="module")
def document(tree: Path) -> html.HtmlElement:
    return html.document_fromstring(make(tree))


def test_discovery_shows_any_threshold_beside_the_baselines(document: html.HtmlElement) -> None:
    charts = document.xpath("//section[@id='discovery']//svg[contains(@aria-label, 'any alpha: fashion-mnist')]")
    described = charts[0].xpath("./desc")[0].text
    assert "glofnd: highest 56.0 %, in use 44.8 % at 35.8 %" in described
    assert "raw-pixels: highest 20.0 %" in described
    assert len(charts[0].xpath(".//path[@class='mean']")) == 5
    moved = document.xpath("//svg[contains(@aria-label, 'in use, shifted, text anchors: emoji')]")
    assert len(moved[0].xpath(".//path[@class='mean']")) == 1


def test_discovery_by_class_and_at_other_labels(document: html.HtmlElement) -> None:
    section = document.xpath("//section[@id='discovery']")[0]
    table = section.xpath(".//table[contains(caption, 'F1 (precision / recall)')]")[0]
    assert [text(cell) for cell in table.xpath("./thead//th")] == ["class", "glofnd", "batch-quantile", "raw-pixels"]
    rows = [[text(cell) for cell in row] for row in table.xpath("./tbody/tr")]
    assert [row[0] for row in rows] == FASHION, "the first class is found best"
    assert rows[0][1] == "49.8 (56 / 45)"
    heading = section.xpath(".//h4[contains(., 'image anchors, truth: same parity')]")[0]
    assert [text(cell) for cell in heading.xpath("./ancestor::figure//thead/tr[2]/th")] == ["F1"]
    assert [text(row) for row in section.xpath(".//table[1]/tbody/tr[@class='baseline']/th")][:1] == ["raw-pixels"]


def test_shared_pictures_are_counted(document: html.HtmlElement) -> None:
    rows = document.xpath("//h3[. = 'Pictures on both sides of a split']/following::tbody[1]/tr")
    assert [[text(cell) for cell in row] for row in rows] == [["fashion-mnist", "test", "10000", "1", "14", "0.12"]]


def test_the_papers_protocol_wears_a_badge(tree: Path, document: html.HtmlElement) -> None:
    assert not document.xpath("//*[@class='badge']")
    frame = pd.read_parquet(tree / "summary.parquet")
    theirs = frame[frame["evaluation"] == "linear"].assign(evaluation="linear-paper", protocol="paper-sgd")
    pd.concat([frame, theirs]).to_parquet(tree / "summary.parquet")
    badges = html.document_fromstring(make(tree)).xpath("//*[@class='badge']")
    assert [text(badge) for badge in badges] == ["chosen on the test set: compares with the paper's numbers only"]
