"""The last lines of a run, and the resolved config on disk."""

import json
from pathlib import Path

import pytest

from workflow.farewell import farewell, main
from workflow.scripts import resolve


def test_it_names_report_tables_and_store() -> None:
    config = {"paths": {"results": "out"}, "mlflow": {"tracking_uri": None}, "significance": {}}
    text = farewell({**config, "significance": {"baseline": "none"}})
    assert str(Path("out/report.html").absolute()) in text
    assert "out/summary.csv, out/significance.csv" in text
    assert "--host 127.0.0.1" in text and "--backend-store-uri sqlite:///out/mlflow.db" in text
    assert "significance.csv" not in farewell({**config, "significance": None})


def test_the_command_reads_a_finished_benchmark(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = {"paths": {"results": "out"}, "mlflow": {"tracking_uri": None}, "significance": None}
    (tmp_path / "benchmark.json").write_text(json.dumps(config), encoding="utf-8")
    monkeypatch.setattr("sys.argv", ["farewell", str(tmp_path / "benchmark.json")])
    main()
    assert capsys.readouterr().out == farewell(config) + "\n"


def test_a_tracking_server_is_named_as_it_is() -> None:
    config = {"paths": {"results": "out"}, "mlflow": {"tracking_uri": "https://runs.example"}, "significance": None}
    assert "MLflow:  https://runs.example" in farewell(config)


def test_resolve_writes_the_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {"seeds": [1], "name": "käse"}
    out = tmp_path / "new/benchmark.json"
    monkeypatch.setattr("sys.argv", ["resolve", "--config", json.dumps(config), "--out", str(out)])
    resolve.main()
    assert json.loads(out.read_text(encoding="utf-8")) == config
