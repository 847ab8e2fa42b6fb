"""What the report says about training runs and test samples, and over all metrics together."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from lxml import html
from report_fixture import GAINS, make, text, write_results

from workflow.report.formats import interval, p_text, percent


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("evidence") / "results").parent


@pytest.fixture(scope="module")
def document(tree: Path) -> html.HtmlElement:
    return html.document_fromstring(make(tree))


def card(folder: Path) -> str:
    return text(html.document_fromstring(make(folder)).xpath("//article")[0])


def test_evidence_names_the_main_test_and_shows_the_samples_beside_it(tree: Path, document: html.HtmlElement) -> None:
    tests = pd.read_csv(tree / "significance.csv")
    rows = tests[(tests["experiment"] == "fashion-mnist") & (tests["detector"] == "glofnd") & tests["p_holm"].notna()]
    box = document.xpath("//div[@aria-label='Training runs and test samples, glofnd, fashion-mnist, sogclr']")[0]
    head = text(box.xpath(".//thead")[0])
    assert "another training run?main test:" in head and "another test set, these models?" in head
    shown = [text(row) for row in box.xpath(".//tbody/tr")]
    assert len(shown) == len(rows) == 5
    for (_, row), line in zip(rows.iterrows(), shown, strict=True):
        for low, high in (("ci_low", "ci_high"), ("sample_low", "sample_high"), ("both_low", "both_high")):
            assert interval(row[low], row[high]) in line
        assert p_text(row["p_holm"]) in line and p_text(row["p_mcnemar_holm"]) in line and "1,000" in line
    notes = text(document.xpath("//section[@id='differences']")[0])
    assert "The first is the main one, and every verdict in this report rests on it alone" in notes


def test_models_that_differ_on_samples_alone_are_said_to(tmp_path: Path) -> None:
    write_results(tmp_path, dict.fromkeys(GAINS, 0.0))
    path = tmp_path / "significance.csv"
    frame = pd.read_csv(path).assign(p_mcnemar_holm=1.0)
    frame.to_csv(path, index=False)
    assert "do differ from those of none on other test samples" not in card(tmp_path)
    frame.loc[frame["detector"] == "glofnd", "p_mcnemar_holm"] = 0.01
    frame.to_csv(path, index=False)
    said = card(tmp_path)
    assert "(GloFND in 5 of 5 primary comparisons; McNemar's test, Holm's correction): there more training" in said
    assert "● No difference detected" in said


def test_all_metrics_together_stand_with_their_intervals(tree: Path, document: html.HtmlElement) -> None:
    frame = pd.read_csv(tree / "significance_overall.csv").set_index(["experiment", "detector"])
    row = frame.loc[("fashion-mnist", "glofnd")]
    box = document.xpath("//div[@aria-label='All primary metrics together, fashion-mnist, sogclr']")[0]
    shown = text(box.xpath(".//tbody/tr[th//text()[contains(., 'glofnd')]]")[0])
    ends = (row["interquartile_mean_low"], row["interquartile_mean_high"])
    assert f"{percent(row['interquartile_mean'])} [{percent(ends[0])}, {percent(ends[1])}]" in shown
    assert f"{100 * row['probability_of_improvement']:.0f} [" in shown
