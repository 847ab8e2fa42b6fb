"""The report as a reader gets it: its numbers, its verdicts when the numbers turn, and the page in a browser."""

from __future__ import annotations

import html as escaping
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from lxml import html
from report_fixture import write_results

from workflow.report import build, write_report
from workflow.report.answer import headline
from workflow.report.names import NOTHING, interval, p_text, percent, points
from workflow.report.read import read_results
from workflow.tables import write_tables


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return write_results(tmp_path_factory.mktemp("report") / "results")


@pytest.fixture(scope="module")
def page(benchmark: dict[str, Any]) -> html.HtmlElement:
    return made(benchmark)


@pytest.fixture
def copy(benchmark: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    shutil.copytree(benchmark["paths"]["results"], tmp_path / "results")
    root = tmp_path / "results"
    return benchmark | {"paths": {"raw": str(root / "raw"), "shards": str(root / "shards"), "results": str(root)}}


def made(benchmark: dict[str, Any]) -> html.HtmlElement:
    out = Path(benchmark["paths"]["results"]) / "report.html"
    write_report(benchmark, out)
    return html.document_fromstring(out.read_text(encoding="utf-8"))


def text(element: html.HtmlElement) -> str:
    return " ".join(element.text_content().split())


def table(page: html.HtmlElement, title: str, number: int = 0) -> tuple[list[str], dict[str, list[str]]]:
    """Headings, and name of the row -> its other cells, of the tables with that title."""
    found = page.xpath("//figure[figcaption=$title]//table", title=title)[number]
    rows = {text(row[0]): [text(cell) for cell in row[1:]] for row in found.xpath("./tbody/tr")}
    return [text(heading) for heading in found.xpath("./thead//th")], rows


def test_numbers_are_those_of_the_tables_on_disk(benchmark: dict[str, Any], page: html.HtmlElement) -> None:
    folder = Path(benchmark["paths"]["results"])
    summary, tests = pd.read_parquet(folder / "summary.parquet"), pd.read_csv(folder / "significance.csv")
    headings, rows = table(page, "Primary tasks")
    assert headings[1:3] == ["linear probe, 8,192 labels (100 %)", "linear probe, 819 labels (10 %)"]
    assert list(rows) == [
        *("all negatives", "GloFND", "batch quantile", "location-scale", "DCL", "oracle", "raw pixels", "chance")
    ]
    for column, fraction in enumerate([1, 0.1, 0.01, 0.001]):
        here = summary[(summary["metric"] == "top1") & (summary["fraction"] == fraction)]
        rival = here[here["objective"] == "dcl"]["value"]
        assert rows["DCL"][column].startswith(f"{percent(rival.mean())} ± {percent(rival.std())}")
        here = here[here["objective"] != "dcl"]
        assert rows["raw pixels"][column] == percent(here[here["detector"] == "raw-pixels"]["value"].item())
        for name, label in (("all negatives", "none"), ("GloFND", "glofnd")):
            values = here[here["detector"] == label]["value"]
            assert rows[name][column].startswith(f"{percent(values.mean())} ± {percent(values.std())}")
        assert rows["chance"][column] == "10.0"
        row = tests[(tests["metric"] == "top1") & (tests["fraction"] == fraction) & (tests["baseline"] == "none")]
        row = row[row["detector"] == "glofnd"].iloc[0]
        assert rows["GloFND"][column].endswith(points(row["difference"]))
        assert ("▲" in rows["GloFND"][column]) == (row["p_holm"] < 0.05)
        (cells,) = [
            [text(cell) for cell in line]
            for line in page.xpath("//section[@id='numbers']//tbody/tr")
            if [text(cell) for cell in line][1:3] == [headings[1 + column], "GloFND"]
        ]
        wanted = [interval(row["ci_low"], row["ci_high"]), p_text(row["p_value"]), p_text(row["p_holm"])]
        assert cells[6:9] == wanted


def test_figures_hold_the_values(benchmark: dict[str, Any], page: html.HtmlElement) -> None:
    figures = [json.loads(chart.get("data-figure")) for chart in page.xpath("//div[@class='chart']")]
    assert len(figures) == 2 + 4 + 4
    tests = pd.read_csv(Path(benchmark["paths"]["results"]) / "significance.csv")
    wanted = tests[(tests["detector"] == "glofnd") & (tests["baseline"] == "none") & (tests["fraction"] == 0.01)]
    row = wanted[wanted["metric"] == "top1"].iloc[0]
    trace = next(trace for trace in figures[0]["data"] if trace["name"] == "GloFND")
    assert trace["x"][2] == pytest.approx(100 * row["difference"])
    assert trace["error_x"]["array"][2] == pytest.approx(100 * (row["ci_high"] - row["difference"]))
    loss, precision = (
        {trace["name"]: trace["y"] for trace in figure["data"] if "name" in trace}
        for figure in figures
        if figure["layout"]["yaxis"]["title"]["text"] in ("loss", "precision") and figures.index(figure) < 6
    )
    assert loss["all negatives"][0] == pytest.approx(1.5 + 3 - 0.5 + 0.01 * np.mean([1, 2, 3]))
    assert "all negatives" not in precision and len(precision["GloFND"]) == 8


def test_unlabelled_pictures_have_no_truth(copy: dict[str, Any]) -> None:
    root = Path(copy["paths"]["results"])
    for path in root.glob("runs/fashion/**/discovery/metrics.json"):
        found = json.loads(path.read_text())
        found["metrics"] = [row for row in found["metrics"] if row["metric"] in ("dropped_share", "threshold_error")]
        path.write_text(json.dumps(found))
    write_tables(copy, root)
    page = made(copy)
    finds = page.xpath("//section[@id='found']//details[contains(., 'unlabelled')]")
    assert finds and not any(one.xpath(".//*[@class='wrong' or @class='right']") for one in finds)
    _, rows = table(page, "fashion, sogclr, unlabelled: nobody knows what is false")
    assert rows["GloFND"][:3] == [NOTHING] * 3 and rows["GloFND"][3].startswith("10.0")
    assert "unlabelled" in text(page.get_element_by_id("answer"))


def test_test_pictures_seen_in_training_are_counted(page: html.HtmlElement) -> None:
    assert table(page, "Pictures on both sides of a split")[1]["fashion"] == ["test", "1,000", "1", "14", "0.12"]


def test_discovery_leaves_undefined_shares_out(page: html.HtmlElement) -> None:
    headings, rows = table(page, "fashion, sogclr")
    assert headings[1:4] == ["precision", "recall", "F1"]
    assert rows["all negatives"][:3] == [NOTHING] * 3 and rows["GloFND"][0] > "40"
    assert rows["GloFND"][3] == "10.0alpha 10" and rows["GloFND"][5] == "0.034"


def test_every_wrong_find_is_marked_and_names_are_escaped(benchmark: dict[str, Any], page: html.HtmlElement) -> None:
    folder = Path(benchmark["paths"]["results"]) / "runs/fashion/sogclr/glofnd/seed1"
    with np.load(folder / "discovery/gallery.npz") as arrays:
        wrong = int(((arrays["found"] >= 0) & ~arrays["correct"]).sum())
    gallery = page.xpath("//section[@id='found']//details")[0]
    assert f"fashion: GloFND seed 1, 12 finds shown, {wrong} of them wrong" in text(gallery)
    marked = gallery.xpath(".//figure[@class='wrong']")
    assert len(marked) == wrong and all("✕" in text(one) for one in marked)
    assert not gallery.xpath(".//b")


# What is said turns with the numbers


def said(benchmark: dict[str, Any]) -> tuple[str, str]:
    """Headline and prose of the first trial."""
    found = made(benchmark).xpath("//section[@id='answer']")[0]
    return text(found.xpath(".//div[@class='verdict']/p")[0]), text(found)


def turned(benchmark: dict[str, Any], detector: str, **values: Any) -> None:
    """Change columns of a detector's comparisons with the reference in significance.csv, row by row."""
    path = Path(benchmark["paths"]["results"]) / "significance.csv"
    tests = pd.read_csv(path)
    chosen = tests.index[
        (tests["detector"] == detector) & (tests["experiment"] == "fashion") & (tests["family"].notna())
    ]
    for column, changed in values.items():
        tests.loc[chosen, column] = changed
    tests.to_csv(path, index=False)


def test_the_headline_counts_corrected_comparisons(copy: dict[str, Any]) -> None:
    for detector in ("batch-quantile", "location-scale"):
        turned(copy, detector, p_holm=0.2, p_value=0.01)
    turned(copy, "glofnd", p_holm=[0.2, 0.2, 0.2, 0.01], p_value=0.01)
    head, _ = said(copy)
    assert head.startswith("GloFND helps in 1 of 4, batch quantile in 0 of 4")
    turned(copy, "glofnd", p_holm=0.2)
    assert said(copy)[0].startswith("No help shown: GloFND helps in 0 of 4")


def test_shares_of_the_oracle_only_where_its_interval_is_above_zero(copy: dict[str, Any]) -> None:
    _, prose = said(copy)
    assert "Of these gains GloFND gets 49 to 51 %" in prose
    assert "9.99 % of all negatives are false (same label)" in prose
    assert "raw pixels, never trained, is at least as good as all negatives in 1 of 4 tasks" in prose
    turned(copy, "oracle", ci_low=-0.01)
    _, prose = said(copy)
    assert "above zero in 0 of 4 comparisons. No share of it is stated." in prose


# Partial and bad results


def test_what_is_missing_is_listed_and_the_rest_is_shown(copy: dict[str, Any]) -> None:
    folder = Path(copy["paths"]["results"])
    shutil.rmtree(folder / "runs/fashion/sogclr/glofnd/seed3")
    write_tables(copy, folder, allow_missing=True)
    (folder / "significance.csv").unlink()
    page = made(copy)
    missing = text(page.xpath("//div[@id='missing']")[0])
    assert "significance.csv" in missing and "fashion/sogclr/glofnd/seed3: not trained, or failed" in missing
    assert "Partial results" in text(page.xpath("//header")[0])
    assert headline(read_results(copy).trials[0]).startswith("Not tested")
    assert table(page, "Primary tasks")[1]["GloFND"][0].count("±") == 1


@pytest.mark.parametrize("name", ["summary.parquet", "runs/fashion/sogclr/glofnd/seed1/discovery/gallery.npz"])
def test_a_damaged_file_is_named(copy: dict[str, Any], name: str) -> None:
    path = Path(copy["paths"]["results"]) / name
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=path.name):
        made(copy)


def test_the_section_of_the_guide_works_as_shown(copy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs/add-a-report-section.md").read_text(encoding="utf-8")
    code, entry = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    module: dict[str, Any] = {}
    exec(code, module)
    name = re.findall(r"\w+", entry)[-1]
    monkeypatch.setattr(build, "SECTIONS", [*build.SECTIONS, module[name]])
    page = made(copy)
    assert table(page, "fashion: linear probe, 8,192 labels (100 %)")[0] == ["detector", "best seed"]
    assert page.xpath("//nav/a[@href='#spread']")


# In a browser

PROBE = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="f" style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe>
<pre id="out"></pre><script>addEventListener("load", () => setTimeout(() => {{
const w = f.contentWindow, d = w.document, all = (query) => d.querySelectorAll(query).length;
out.textContent = JSON.stringify({{errors: w.errors, wide: d.documentElement.scrollWidth,
figures: all(".plot-container"),
sortable: all("table.dataTable"), high: d.documentElement.scrollHeight,
plot: d.querySelector(".plot").getBoundingClientRect().bottom}})}}, 3000))</script>"""

CATCH = """<head><script>window.errors = [];
addEventListener("error", (event) => errors.push(event.message || String(event.target)), true);
addEventListener("securitypolicyviolation", (event) => errors.push(event.blockedURI));
addEventListener("unhandledrejection", (event) => errors.push(String(event.reason)));</script>"""


@pytest.mark.parametrize("width", [1300, 420])
def test_the_page_in_a_browser(benchmark: dict[str, Any], page: html.HtmlElement, tmp_path: Path, width: int) -> None:
    browser = shutil.which("chromium")
    if browser is None:
        assert not os.environ.get("CI"), "Chromium is not installed (Debian: chromium)"
        pytest.skip("Chromium is not installed (Debian: chromium)")
    source = (Path(benchmark["paths"]["results"]) / "report.html").read_text(encoding="utf-8")
    # A window of the browser is at least 500 pixels wide, a frame is not.
    framed = escaping.escape(source.replace("<head>", CATCH, 1))
    (tmp_path / "probe.html").write_text(PROBE.format(width=width, page=framed), encoding="utf-8")
    options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile"]
    options += ["--virtual-time-budget=20000", "--window-size=1400,1000", "--dump-dom"]
    done = subprocess.run(
        [browser, *options, f"file://{tmp_path}/probe.html"], capture_output=True, text=True, timeout=120, check=True
    )
    found = json.loads(html.document_fromstring(done.stdout).xpath("//pre[@id='out']")[0].text)
    assert found["errors"] == []
    assert found["wide"] <= width
    assert found["figures"] == 10 and found["sortable"] == len(page.xpath("//table"))
    assert width < 1300 or (found["plot"] < 1000 and found["high"] < 14_000)
