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
from report_fixture import GAINS, write_results

from glofnd.files import read_json, write_json
from workflow.report import build, write_report
from workflow.report.read import read_results
from workflow.report.verdict import Verdict, headline
from workflow.report.wording import NOTHING, interval, p_text, percent, points
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
    assert headings[1:3] == ["linear probe, all 8,192 labels", "linear probe, 819 labels (10 %)"]
    assert list(rows) == [
        *("all negatives", "GloFND", "batch quantile", "location-scale", "oracle", "raw pixels", "chance")
    ]
    for column, fraction in enumerate([1, 0.1, 0.01, 0.001]):
        here = summary[(summary["metric"] == "top1") & (summary["fraction"] == fraction)]
        for name, label in (("all negatives", "none"), ("GloFND", "glofnd"), ("raw pixels", "raw-pixels")):
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


def test_the_papers_own_detector_alone_is_in_bold(page: html.HtmlElement) -> None:
    assert {text(b) for b in page.xpath("//tbody//b|//summary//b")} == {"GloFND"}


def test_figures_hold_the_values(benchmark: dict[str, Any], page: html.HtmlElement) -> None:
    assert len(page.xpath("//div[@class='plotly-graph-div']")) == 2 + 2 + 5 + 5
    tests = pd.read_csv(Path(benchmark["paths"]["results"]) / "significance.csv")
    script = page.xpath("//script[contains(., 'figure-0')]")[0].text
    wanted = tests[(tests["detector"] == "glofnd") & (tests["baseline"] == "none") & (tests["fraction"] == 0.01)]
    row = wanted[wanted["metric"] == "top1"].iloc[0]
    told = f"{points(row['difference'])} {interval(row['ci_low'], row['ci_high'])}, 3 seeds"
    assert json.dumps(told)[1:-1] in script or told in script


def test_test_pictures_seen_in_training_are_counted(page: html.HtmlElement) -> None:
    assert table(page, "Pictures on both sides of a split")[1]["fashion"] == ["test", "1,000", "1", "14", "0.12"]


def test_discovery_leaves_undefined_shares_out(page: html.HtmlElement) -> None:
    headings, rows = table(page, "Percent, mean over seeds")
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
    assert not gallery.xpath(".//figcaption/b")


# What is said turns with the numbers


def said(folder: Path, gains: dict[str, float]) -> tuple[str, str]:
    """Headline and prose of the first trial."""
    found = made(write_results(folder / "results", gains)).xpath("//section[@id='answer']")[0]
    return text(found.xpath(".//div[@class='verdict']/p")[0]), text(found)


def test_one_significant_comparison_of_many_is_no_help() -> None:
    assert [Verdict("a", better, worse, 7).word for better, worse in ((4, 0), (1, 0), (0, 0), (3, 1), (0, 5))] == [
        *("helps", "helps in part", "open", "mixed", "hurts")
    ]


def test_gains_and_the_share_of_the_oracle(page: html.HtmlElement) -> None:
    found = page.xpath("//section[@id='answer']")[0]
    assert text(found.xpath(".//div[@class='verdict']/p")[0]).startswith("Yes: GloFND better in 3 of 4;")
    assert "Of these gains GloFND gets 49 to 51 %" in text(found)
    assert "9.99 % of all negatives are false (same label)" in text(found)
    assert "Caution: raw pixels, never trained, is at least as good as all negatives in 1 of 4 tasks" in text(found)


def test_without_a_gain_of_the_oracle_there_is_no_share_of_it(tmp_path: Path) -> None:
    head, prose = said(tmp_path, dict.fromkeys(GAINS, 0.0))
    assert head == "Undecided: no detector is told from all negatives, and not even the oracle is."
    assert "Of these gains" not in prose and "no share of it is stated" in prose


def test_losses_are_told(tmp_path: Path) -> None:
    head, _ = said(tmp_path, dict.fromkeys(GAINS, -0.04) | {"none": 0.0, "oracle": 0.08})
    assert head.startswith("No gain shown: GloFND better in 0, worse in 3 of 4")


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


def test_a_gallery_of_objects_is_not_unpickled(copy: dict[str, Any]) -> None:
    path = Path(copy["paths"]["results"]) / "runs/fashion/sogclr/glofnd/seed1/discovery/gallery.npz"
    np.savez(path, anchor=np.array([object()]), allow_pickle=True)
    with pytest.raises(ValueError, match=r"gallery\.npz: no readable gallery"):
        made(copy)


def test_samples_left_out_are_counted_and_listed(copy: dict[str, Any]) -> None:
    path = Path(copy["paths"]["shards"]) / "fashion/train/manifest.json"
    skipped = [{"where": f"train/<{n}>.jpg", "reason": "does not decode"} for n in range(30)]
    write_json(path, {**read_json(path), "skipped": skipped})
    page = made(copy)
    assert table(page, "Data and licences")[1]["fashion"][:3] == ["train", "8,192", "30"]
    listed = text(page.xpath("//details[contains(summary, 'left out')]")[0])
    assert "train/<19>.jpg: does not decode" in listed and "<20>" not in listed and "and 10 more" in listed


def test_the_section_of_the_guide_works_as_shown(copy: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (Path(__file__).parents[2] / "docs/add-a-report-section.md").read_text(encoding="utf-8")
    code, entry = re.findall(r"```python\n(.*?)```", guide, re.DOTALL)
    module: dict[str, Any] = {}
    exec(code, module)
    name = re.findall(r"\w+", entry)[-1]
    monkeypatch.setattr(build, "SECTIONS", [*build.SECTIONS, module[name]])
    page = made(copy)
    assert table(page, "fashion: linear probe, all 8,192 labels")[0] == ["detector", "best seed"]
    assert page.xpath("//nav/a[@href='#spread']")


# In a browser

PROBE = """<!DOCTYPE html><meta charset="utf-8">
<iframe id="f" style="width:{width}px;height:900px;border:0" srcdoc="{page}"></iframe>
<pre id="out"></pre><script>addEventListener("load", () => setTimeout(() => {{
const w = f.contentWindow, d = w.document, all = (query) => d.querySelectorAll(query).length;
out.textContent = JSON.stringify({{errors: w.errors, wide: d.documentElement.scrollWidth, figures: all(".main-svg"),
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
    assert found["figures"] >= 14 and found["sortable"] == len(page.xpath("//table"))
    assert width < 1300 or (found["plot"] < 900 and found["high"] < 14_000)
