"""The report as a reader gets it: complete, self-contained, right to the shown digit, honest when the numbers turn."""

from __future__ import annotations

import json
import re
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from lxml import html
from report_fixture import GAINS, make, text, write_results


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_results(tmp_path_factory.mktemp("report") / "results").parent


@pytest.fixture
def copy(tree: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tree, tmp_path / "results"))


@pytest.fixture(scope="module")
def page(tree: Path) -> str:
    return make(tree)


@pytest.fixture(scope="module")
def document(page: str) -> html.HtmlElement:
    return html.document_fromstring(page)


def refused(folder: Path, capsys: pytest.CaptureFixture[str], *more: str) -> str:
    with pytest.raises(SystemExit) as stop:
        make(folder, *more)
    assert stop.value.code == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1, message
    return message


def minus(number: str) -> str:
    return number.replace("-", "\N{MINUS SIGN}")


# Structure


def test_refers_to_nothing_outside_itself(page: str, document: html.HtmlElement) -> None:
    for attribute in ("src", "href", "action", "data", "poster", "srcset"):
        for value in document.xpath(f"//@{attribute}"):
            assert value.startswith(("data:image/png;base64,", "#")), value
    assert not re.search(r"url\(|@import|<script|<link", page)
    assert "default-src 'none'" in page


def test_links_lead_to_sections(document: html.HtmlElement) -> None:
    targets = document.xpath("//a/@href")
    assert targets
    for target in targets:
        assert len(document.xpath(f"//*[@id='{target[1:]}']")) == 1, target


def test_every_table_has_headers_for_its_columns_and_rows(document: html.HtmlElement) -> None:
    tables = document.xpath("//table")
    assert len(tables) > 8
    for table in tables:
        assert table.xpath("./thead//th[@scope]")
        for row in table.xpath("./tbody/tr"):
            assert row.xpath("./th[@scope]"), text(row)


def test_result_tables_have_as_many_cells_as_headers(document: html.HtmlElement) -> None:
    for table in document.xpath("//table[contains(@class, 'results')]"):
        wanted = len(table.xpath("./thead/tr[2]/th"))
        assert {len(row.xpath("./td")) for row in table.xpath("./tbody/tr")} == {wanted}


def test_pictures_have_names_and_headings_do_not_jump(document: html.HtmlElement) -> None:
    assert all(image.get("alt") for image in document.xpath("//img"))
    for chart in document.xpath("//svg[@role='img']"):
        assert chart.get("aria-label") and chart.xpath("./desc")[0].text
    levels = [int(heading.tag[1]) for heading in document.xpath("//h1|//h2|//h3|//h4")]
    assert levels[0] == 1 and all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_every_section_is_filled(document: html.HtmlElement) -> None:
    for name in ("answer", "tables", "differences", "training", "gallery", "discovery", "making"):
        assert not document.xpath(f"//section[@id='{name}']/p[@class='empty']"), name
    # Training: loss, thresholds, detection; discovery: three pictures of each side's anchors.
    assert len(document.xpath("//svg[@role='img']")) == 5 + 3 + 6 + 3 * 3


def test_is_small_and_the_same_bytes_again(tree: Path, page: str) -> None:
    assert len(page) < 3_000_000
    assert make(tree) == page


# Numbers


def test_numbers_are_those_of_the_tables_on_disk(tree: Path, document: html.HtmlElement) -> None:
    summary = pd.read_parquet(tree / "summary.parquet")
    tests = pd.read_csv(tree / "significance.csv")
    table = document.xpath("//table[@data-evaluation='linear']")[0]
    fractions = [1.0, 0.1, 0.01, 0.002]
    for row in table.xpath("./tbody/tr"):
        name = text(row.xpath("./th")[0]).split()[0]
        for fraction, cell in zip(fractions, row.xpath("./td"), strict=True):
            shown = text(cell)
            linear = summary[(summary["evaluation"] == "linear") & (summary["fraction"] == fraction)]
            if name == "chance":
                assert shown == f"{100 * linear['chance'].iloc[0]:.1f}"
                continue
            values = linear[linear["detector"] == name]["value"]
            assert f"{100 * values.mean():.1f} ± {100 * values.std():.1f}" in shown
            found = tests[
                (tests["evaluation"] == "linear") & (tests["fraction"] == fraction) & (tests["detector"] == name)
            ]
            if len(found):
                r = found.iloc[0]
                ends = f"{100 * r['difference']:+.1f} [{100 * r['ci_low']:+.1f}, {100 * r['ci_high']:+.1f}]"
                assert minus(ends).replace("+0.0", "0.0") in shown.replace("+0.0", "0.0")
                assert ("significantly better" in shown) == (r["p_holm"] < 0.05 and r["difference"] > 0)


def test_uncorrected_p_values_say_so_and_are_never_called_significant(document: html.HtmlElement) -> None:
    tables = document.xpath("//table[@data-evaluation='zero-shot']")
    (top1,), (top5,) = (table.xpath("./tbody/tr[th//text()[contains(., 'glofnd')]]/td") for table in tables)
    assert "uncorrected" not in text(top1) and "significantly" in text(top1)
    assert "uncorrected" in text(top5) and "significantly" not in text(top5)


def test_the_oracle_is_never_best(document: html.HtmlElement) -> None:
    best = document.xpath("//table[@data-evaluation='linear']//td[contains(@class, 'best')]/ancestor::tr")
    assert best and all("oracle" not in text(row.xpath("./th")[0]) for row in best)


def test_discovery_marks_no_description_as_best_and_shows_similarities_as_such(document: html.HtmlElement) -> None:
    table = document.xpath("//section[@id='discovery']//table")[0]
    names = [text(head) for head in table.xpath("./thead/tr[2]/th")]
    assert names[0] == "precision" and "exact f1" not in names
    cells = table.xpath("./tbody/tr[th//text()[contains(., 'glofnd')]]/td")
    shown = dict(zip(names, cells, strict=True))
    assert "best" in shown["F1"].get("class")
    assert all("best" not in shown[name].get("class") for name in ("dropped share", "base rate"))
    assert re.match(r"(★ best )?0\.\d{3}", text(shown["threshold errorlower is better"]))
    assert "alpha 0.1" in text(table.xpath("./tbody/tr[3]/th")[0])
    assert "chance" not in text(table)


def test_similarity_of_methods_is_the_share_of_equal_predictions(tree: Path, document: html.HtmlElement) -> None:
    def read(detector: str, seed: int) -> np.ndarray:
        with np.load(tree / f"runs/fashion-mnist/sogclr/{detector}/seed{seed}/linear/predictions.npz") as file:
            return np.asarray(file["fashion-mnist.test.label.prediction"])

    pair = np.mean([(read("none", s) == read("glofnd", s)).mean() for s in (1, 2, 3)])
    own = np.mean([(read("none", a) == read("none", b)).mean() for a, b in ((1, 2), (1, 3), (2, 3))])
    row = document.xpath("//table[contains(@class, 'agreement')]/tbody/tr[1]/td")
    assert text(row[0]) == f"{100 * own:.1f}" and text(row[2]) == f"{100 * pair:.1f}"


# The answer turns with the numbers


def verdict(folder: Path, gains: dict[str, float]) -> tuple[str, str]:
    write_results(folder, gains)
    card = html.document_fromstring(make(folder)).xpath("//article")[0]
    return text(card.xpath(".//p[@class='verdict']")[0]), text(card)


def test_answer_when_glofnd_wins(document: html.HtmlElement) -> None:
    card = text(document.xpath("//article")[0])
    assert "▲ GloFND and batch-quantile help" in card
    assert "batch-quantile is better than none in" in card
    assert "GloFND is better than none in 5 of 5 primary comparisons" in card
    assert "GloFND gets" in card and "cannot give a p-value below 0.25" in card
    assert "Share of the oracle" in card
    assert "10 % of all negatives in training are false" in card


def test_answer_when_glofnd_loses(tmp_path: Path) -> None:
    word, said = verdict(tmp_path / "results", {**GAINS, "glofnd": -0.05, "batch-quantile": -0.05})
    assert word == "▼ GloFND and batch-quantile hurt"
    assert "GloFND is worse than none in" in said and "better in none" in said


def test_methods_are_compared_with_each_other(tree: Path, document: html.HtmlElement) -> None:
    tests = pd.read_csv(tree / "significance.csv")
    rows = tests[tests["baseline"] == "batch-quantile"]
    low, high = (minus(f"{100 * value:+.1f}") for value in (rows["difference"].min(), rows["difference"].max()))
    below = int((rows["p_value"] < 0.05).sum())
    card = text(document.xpath("//article")[0])
    wanted = f"batch-quantile: from {low} to {high} points over 5 comparisons, uncorrected p < .05 in {below}."
    assert f"GloFND \N{MINUS SIGN} {wanted}" in card
    table = document.xpath("//section[@id='differences']//div[contains(@aria-label, ' against ')]/table")
    assert len(table) == 1 and len(table[0].xpath("./tbody/tr")) == len(rows) == 5


def test_badge_is_the_best_verdict_and_names_whose_it_is(tmp_path: Path) -> None:
    word, said = verdict(tmp_path / "results", {**GAINS, "glofnd": -0.05})
    assert word == "▲ batch-quantile helps"
    assert said.index("GloFND is worse than none in") < said.index("batch-quantile is better than none in")


def test_a_detector_of_the_user_is_judged_without_glofnd(copy: Path) -> None:
    settings = json.loads((copy / "benchmark.json").read_text(encoding="utf-8"))
    detectors = settings["experiments"]["fashion-mnist"]["detectors"]
    detectors["glofnd"]["method"] = "mine"
    del detectors["batch-quantile"]
    (copy / "benchmark.json").write_text(json.dumps(settings), encoding="utf-8")
    card = text(html.document_fromstring(make(copy)).xpath("//article")[0])
    assert "▲ Helps" in card and "glofnd is better than none in 5 of 5" in card and "GloFND" not in card


def test_answer_when_nothing_differs(tmp_path: Path) -> None:
    word, said = verdict(tmp_path / "results", {**dict.fromkeys(GAINS, 0.0), "oracle": -0.03})
    assert word == "● No difference detected" and "3 seeds cannot detect a mean difference below" in said
    assert "not significantly better or worse than none in any of 5" in said
    assert "no proven gain to take a share of" in said and "GloFND gets" not in said
    assert "Share of the oracle" not in said


def test_an_oracle_within_noise_separates_no_detectors(tmp_path: Path) -> None:
    _, said = verdict(tmp_path / "results", {**dict.fromkeys(GAINS, 0.0), "oracle": -0.0003})
    assert "this experiment cannot separate detectors" in said and "% of it" not in said
    assert "uncorrected 95 % interval lies above zero in" in said


def test_answer_warns_where_an_untrained_baseline_is_as_good(copy: Path, document: html.HtmlElement) -> None:
    assert "Caution" not in text(document.xpath("//article")[0])
    frame = pd.read_parquet(copy / "summary.parquet")
    frame.loc[(frame["detector"] == "raw-pixels") & (frame["fraction"] == 1.0), "value"] = 0.99
    frame.to_parquet(copy / "summary.parquet")
    card = html.document_fromstring(make(copy)).xpath("//article")[0]
    assert "scores at least as high as GloFND (raw-pixels in 1 of 5 primary columns)" in text(card)


def test_best_is_shared_by_ties_and_given_to_none_if_all_tie(copy: Path) -> None:
    frame = pd.read_parquet(copy / "summary.parquet")
    for fraction, tied in ((1.0, ["glofnd", "none"]), (0.1, ["glofnd", "none", "batch-quantile"])):
        frame.loc[frame["detector"].isin(tied) & (frame["fraction"] == fraction), "value"] = 0.999
    frame.to_parquet(copy / "summary.parquet")
    table = html.document_fromstring(make(copy)).xpath("//table[@data-evaluation='linear']")[0]
    best = {
        column: {
            text(row.xpath("./th")[0]).split()[0]
            for row in table.xpath(f"./tbody/tr[contains(./td[{column}]/@class, 'best')]")
        }
        for column in (1, 2)
    }
    assert best == {1: {"glofnd", "none"}, 2: set()}


# Gallery


def test_every_wrong_find_is_marked_in_words_and_by_its_frame(tree: Path, document: html.HtmlElement) -> None:
    for experiment, objective in (("fashion-mnist", "sogclr"), ("emoji", "fastclip-v1")):
        with np.load(tree / f"runs/{experiment}/{objective}/glofnd/seed1/discovery/gallery.npz") as arrays:
            wrong = int(((arrays["found"] >= 0) & ~arrays["correct"]).sum())
            shown = int((arrays["found"] >= 0).sum())
        box = [
            d for d in document.xpath("//details[@class='gallery']") if f"{experiment}, {objective}: glofnd" in text(d)
        ]
        assert len(box) == 1
        marked = box[0].xpath(".//li[@class='find wrong']")
        assert len(marked) == wrong and len(box[0].xpath(".//li[starts-with(@class, 'find')]")) == shown
        for item in marked:
            assert item.xpath(".//*[contains(@class, 'crossed')]")
            assert "✕ wrong" in text(item) and item.xpath(".//img")[0].get("alt").startswith("wrong find")
        for item in box[0].xpath(".//li[@class='find right']"):
            assert "wrong" not in text(item)


def test_names_from_data_are_escaped(copy: Path) -> None:
    path = copy / "runs/fashion-mnist/sogclr/glofnd/seed1/discovery/gallery.npz"
    with np.load(path) as arrays:
        changed = dict(arrays)
    changed["label_names"] = np.array([f'<script>alert("{k}")</script>' for k in range(10)])
    np.savez(path, **changed)
    page = make(copy)
    assert "<script" not in page and "&lt;script&gt;alert" in page


def test_a_detector_keeps_its_colour_everywhere(document: html.HtmlElement) -> None:
    for label, slot in (("none", "d0"), ("glofnd", "d1"), ("batch-quantile", "d2"), ("oracle", "d3")):
        names = document.xpath(f"//span[starts-with(@class, 'name')][normalize-space(.)='{label}']/@class")
        assert len(names) > 3 and set(names) == {f"name {slot}"}


# Partial and bad input


def test_partial_results_are_reported_as_partial(copy: Path) -> None:
    shutil.rmtree(copy / "runs/fashion-mnist/sogclr/glofnd/seed3")
    shutil.rmtree(copy / "runs/emoji")
    (copy / "significance.csv").unlink()
    for name in ("summary.parquet",):
        frame = pd.read_parquet(copy / name)
        lost = (frame["detector"] == "glofnd") & (frame["seed"] == 3) | (frame["experiment"] == "emoji")
        frame[~lost].to_parquet(copy / name)
    document = html.document_fromstring(make(copy))
    missing = text(document.xpath("//*[@id='missing']")[0])
    assert "fashion-mnist/sogclr/glofnd/seed3: no result of linear" in missing
    assert "fashion-mnist/sogclr/glofnd/seed3: no training history" in missing
    assert "significance.csv" in missing and "emoji/fastclip-v1/none/seed1" in missing
    assert "Partial results" in text(document.xpath("//header")[0])
    assert "glofnd (2)" in text(document.xpath("//section[@id='tables']")[0])
    assert [text(v) for v in document.xpath("//p[@class='verdict']")] == ["○ Not tested"] * 2


def test_no_significance_asked_is_not_missing(copy: Path) -> None:
    settings = json.loads((copy / "benchmark.json").read_text(encoding="utf-8"))
    (copy / "benchmark.json").write_text(json.dumps(settings | {"significance": None}), encoding="utf-8")
    (copy / "significance.csv").unlink()
    document = html.document_fromstring(make(copy))
    assert "Nothing is missing" in text(document.xpath("//*[@id='missing']")[0])


def test_bad_input_is_one_clear_line(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gallery = copy / "runs/fashion-mnist/sogclr/glofnd/seed1/discovery/gallery.npz"
    gallery.write_bytes(b"not a zip file")
    assert str(gallery) in refused(copy, capsys)
    history = copy / "runs/fashion-mnist/sogclr/none/seed1/history.json"
    history.write_text('{"epochs": 3}', encoding="utf-8")
    assert str(history) in refused(copy, capsys)
    frame = pd.read_csv(copy / "significance.csv").drop(columns="p_holm")
    frame.to_csv(copy / "significance.csv", index=False)
    assert "significance.csv: no column p_holm" in refused(copy, capsys)
    (copy / "summary.parquet").write_bytes(b"PAR1")
    assert "summary.parquet: not a readable parquet file" in refused(copy, capsys)
    (copy / "summary.parquet").unlink()
    assert "run `snakemake" in refused(copy, capsys)
    (copy / "benchmark.json").write_text("{}", encoding="utf-8")
    assert "no key 'paths'" in refused(copy, capsys)
    (copy / "benchmark.json").write_text("{", encoding="utf-8")
    assert "not valid JSON" in refused(copy, capsys)
    (copy / "benchmark.json").unlink()
    assert "benchmark.json: not there" in refused(copy, capsys)


def test_licences_credits_and_tuning_seeds_are_named(document: html.HtmlElement) -> None:
    making = text(document.xpath("//section[@id='making']")[0])
    assert "Debian package dataset-fashion-mnist" in making and "000000" not in making
    assert "Pictures: <Zalando> SE, MIT" in making
    assert "100, 101 (none of them is reported here)" in making
    assert "0123456789ab" in making and "sqlite:///" in making


# The picture


def test_the_overview_is_a_png_and_the_same_bytes_again(tree: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    make(tree, "--figure", str(first))
    make(tree, "--figure", str(second))
    assert first.read_bytes().startswith(b"\x89PNG") and first.read_bytes() == second.read_bytes()


def test_no_overview_without_a_tested_comparison(copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (copy / "significance.csv").unlink()
    assert "no primary comparison" in refused(copy, capsys, "--figure", str(copy / "x.png"))
    assert not (copy / "x.png").exists()
