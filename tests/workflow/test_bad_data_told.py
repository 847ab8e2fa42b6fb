"""Who reads the results is told how many samples were left out: in the report and in MLflow."""

import json

from lxml import html
from report_fixture import make, text, write_results

from workflow.scripts.mlflow_records import _tags

SKIPPED = [{"index": n, "where": f"train/{n % 2}/<{n}>.jpg", "reason": "does not decode"} for n in range(30)]


def test_the_report_counts_and_lists_them(tmp_path):
    tree = write_results(tmp_path / "results").parent
    making = html.document_fromstring(make(tree)).xpath("//section[@id='making']")[0]
    assert "left out" not in text(making)
    path = tree / "shards/fashion-mnist/train/manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "samples": 8162, "skipped": SKIPPED}))
    making = html.document_fromstring(make(tree)).xpath("//section[@id='making']")[0]
    (header,) = making.xpath(".//table[.//th='left out as bad']")
    (row,) = header.xpath("tbody/tr[th='fashion-mnist']")
    assert [text(cell) for cell in row.xpath("td")][:3] == ["train", "8162", "30"]
    assert "fashion-mnist/train: 30 bad samples left out (bad_samples: skip)" in text(making)
    assert "train/1/<19>.jpg: does not decode" in text(making) and "<20>" not in text(making)
    assert "and 10 more" in text(making)


def test_mlflow_has_a_tag(tmp_path):
    training = {"training": {"samples": 98, "skipped": 2}, "provenance": {}}
    assert _tags(training, {}, tmp_path / "none")["data.skipped"] == "2"
    training["training"]["skipped"] = 0
    assert "data.skipped" not in _tags(training, {}, tmp_path / "none")
