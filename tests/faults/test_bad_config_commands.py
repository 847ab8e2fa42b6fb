"""Bad options and damaged files: every command answers with one line and exit code 2, never with a traceback."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from glofnd.files import write_json
from tests.evaluation.tiny_shards import run_config
from tests.workflow.results_tree import write_tree
from workflow.grid import Grid
from workflow.tracking import read_run

COMMANDS = {
    "data": "glofnd.data.__main__",
    "pretraining": "glofnd.pretraining.__main__",
    "evaluation": "evaluation.__main__",
    "plan": "workflow.plan.__main__",
    "config_file": "workflow.config_file",
    "farewell": "workflow.farewell",
    **{
        name: f"workflow.scripts.{name}" for name in ("resolve", "aggregate", "significance", "report", "mlflow_import")
    },
}
Call = Callable[..., tuple[int, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Runs a command in this process: its exit code and what it says on stderr."""

    def run(command: str, *arguments: object) -> tuple[int, str]:
        capsys.readouterr()
        monkeypatch.setattr("sys.argv", [command, *map(str, arguments)])
        try:
            code = importlib.import_module(COMMANDS[command]).main()
        except SystemExit as stop:
            code = stop.code
        return int(code or 0), capsys.readouterr().err

    return run


def _refused(result: tuple[int, str], *words: str) -> None:
    code, error = result
    lines = [line for line in error.splitlines() if not line.endswith("left")]
    assert code == 2, error
    assert len(lines) == 1 and lines[0].startswith("error: "), error
    assert all(word in lines[0] for word in words), error


TASK = '{"dataset": "a"}'
RUN = json.dumps(run_config("sogclr", "glofnd"))
TRAIN = ("--shards", "no", "--out", "out")


def _run(**changes: Any) -> str:
    return json.dumps({**run_config("sogclr", "glofnd"), **changes})


def _part(part: str, **changes: Any) -> str:
    config = run_config("sogclr", "glofnd")
    return json.dumps({**config, part: {**config[part], **changes}})


OPTIONS: list[tuple[str, tuple[object, ...], tuple[str, ...]]] = [
    ("data", (), ("the following arguments are required: command",)),
    ("data", ("fetsh",), ("invalid choice: 'fetsh'",)),
    ("data", ("fetch", "--source", "mnits", "--out", "out"), ("argument --source: invalid choice: 'mnits'",)),
    ("data", ("shard", "--dataset-config", "{", "--split", "train", "--out", "o"), ("not valid JSON",)),
    ("data", ("shard", "--dataset-config", "[]", "--split", "train", "--out", "o"), ("not a JSON object",)),
    ("data", ("shard", "--dataset-config", "{}", "--split", "train", "--out", "o"), ("--name is missing",)),
    ("data", ("shard", "--dataset-config", '{"dataset": []}', "--split", "s", "--out", "o"), ("not in the catalogue",)),
    (
        "data",
        ("shard", "--dataset-config", '{"dataset": "digits"}', "--split", "s", "--out", "o", "--processes", "0"),
        ("argument --processes: must be an integer of at least 1, not '0'",),
    ),
    ("pretraining", ("--run-config", RUN), ("the following arguments are required: --shards, --out",)),
    ("pretraining", ("--run-config", "{", *TRAIN), ("--run-config '{': not valid JSON",)),
    ("pretraining", ("--run-config", "[]", *TRAIN), ("must be a JSON object, not list",)),
    ("pretraining", ("--run-config", "no.json", *TRAIN), ("no.json", "No such file")),
    ("pretraining", ("--run-config", "{}", *TRAIN), ("key 'run' is missing",)),
    ("pretraining", ("--run-config", _run(seed="1"), *TRAIN), ("seed: must be of type int, not '1'",)),
    ("pretraining", ("--run-config", _run(seed=-1), *TRAIN), ("seed: must lie between 0 and",)),
    ("pretraining", ("--run-config", _run(training={}), *TRAIN), ("training.epochs: missing",)),
    ("pretraining", ("--run-config", _run(detector=[]), *TRAIN), ("detector: must be of type dict",)),
    (
        "pretraining",
        ("--run-config", _part("training", epochs="x"), *TRAIN),
        ("training.epochs: must be of type integer",),
    ),
    (
        "pretraining",
        ("--run-config", _part("training", lr=float("nan")), *TRAIN),
        ("training.lr: is out of range, nan",),
    ),
    (
        "pretraining",
        ("--run-config", _part("training", epoch=3), *TRAIN),
        ("training.epoch: unknown key; valid: epochs",),
    ),
    (
        "pretraining",
        ("--run-config", _part("views", crop_scale=[1]), *TRAIN),
        ("views.crop_scale: needs 2 entries, has 1",),
    ),
    ("pretraining", ("--run-config", _part("detector", alpha=2), *TRAIN), ("detector.alpha: is out of range, 2",)),
    (
        "pretraining",
        ("--run-config", _part("detector", method="x"), *TRAIN),
        ("detector.method: must be one of none,",),
    ),
    ("pretraining", ("--run-config", _part("encoder", name=[]), *TRAIN), ("encoder.name: must be one of resnet10,",)),
    ("pretraining", ("--run-config", RUN, *TRAIN, "--workers", "x"), ("argument --workers: invalid int value: 'x'",)),
    ("pretraining", ("--run-config", RUN, *TRAIN, "--device", "gpu"), ("argument --device: invalid choice: 'gpu'",)),
    ("pretraining", ("--run-config", RUN, *TRAIN), ("manifest.json",)),
    ("evaluation", ("lineal",), ("invalid choice: 'lineal'",)),
    (
        "evaluation",
        ("linear", "--features", "f", "--task", TASK, "--out", "o", "--threads", "0"),
        ("argument --threads",),
    ),
    ("evaluation", ("linear", "--features", "f", "--task", "{", "--out", "o"), ("--task '{': not valid JSON",)),
    ("evaluation", ("linear", "--features", "f", "--task", "3", "--out", "o"), ("neither JSON nor a readable file",)),
    ("evaluation", ("linear", "--features", "f", "--task", "[3]", "--out", "o"), ("a task is a JSON object, got int",)),
    (
        "evaluation",
        ("linear", "--features", "f", "--task", '{"dataset": 3}', "--out", "o"),
        ("dataset must be of type",),
    ),
    (
        "evaluation",
        ("linear", "--features", "f", "--task", '{"dataset": "a", "fractions": [NaN]}', "--out", "o"),
        ("fractions: each must be in (0, 1]",),
    ),
    ("evaluation", ("linear", "--features", "f", "--task", TASK, "--out", "o"), ("manifest.json: missing",)),
    (
        "evaluation",
        ("discovery", "--baseline", "random-init", "--run-config", "{}", "--shards", "s", "--task", TASK, "--out", "o"),
        ("key 'run' is missing",),
    ),
    ("plan", ("--configfil", "x"), ("unrecognized arguments: --configfil",)),
    ("plan", ("--configfile", "no.yaml"), ("no.yaml: there is no such file",)),
    ("plan", ("--configfile", "."), (".: is a folder",)),
    ("config_file", (), ("the following arguments are required: FILE",)),
    ("config_file", ("no.yaml",), ("no.yaml: there is no such file",)),
    ("farewell", ("no.json",), ("no.json", "No such file")),
    ("resolve", ("--config", "{", "--out", "o.json"), ("argument --config: not valid JSON",)),
    ("resolve", ("--config", '{"a": NaN}', "--out", "o.json"), ("Out of range float values",)),
    ("aggregate", ("--benchmark", "b.json"), ("the following arguments are required: --out",)),
    ("aggregate", ("--benchmark", "b.json", "--out", "o"), ("b.json", "No such file")),
    ("significance", ("--benchmark", "b", "--summary", "s", "--out", "o", "--overall", "p"), ("b", "No such file")),
    ("report", ("--benchmark", "b.json", "--out", "o"), ("b.json", "No such file")),
    ("mlflow_import", ("--benchmark", "b.json", "--out", "o"), ("b.json", "No such file")),
]


@pytest.mark.parametrize(("command", "arguments", "words"), OPTIONS)
def test_options(
    call: Call,
    command: str,
    arguments: tuple[object, ...],
    words: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    _refused(call(command, *arguments), *words)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "missing": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
    "truncated": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "a list": lambda path: path.write_bytes(b"[]"),
    "a number": lambda path: path.write_bytes(b"3"),
    "an empty object": lambda path: path.write_bytes(b"{}"),
    "binary": lambda path: path.write_bytes(b"\x89PNG\r\n\xff\xfe\x00"),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
}


RUN_FOLDER = "runs/exp/sogclr/glofnd/seed1"
READERS = {
    "aggregate": ("benchmark.json", f"{RUN_FOLDER}/linear/metrics.json"),
    "significance": ("benchmark.json", "summary.parquet", f"{RUN_FOLDER}/linear/metrics.json"),
    "report": ("benchmark.json", "summary.parquet", f"{RUN_FOLDER}/history.json", f"{RUN_FOLDER}/linear/metrics.json"),
    "mlflow_import": ("benchmark.json",),
    "farewell": ("benchmark.json",),
}


def _arguments(command: str, folder: Path) -> tuple[object, ...]:
    benchmark = ("--benchmark", folder / "benchmark.json")
    summary = ("--summary", folder / "summary.parquet")
    return {
        "aggregate": (*benchmark, "--out", folder / "new"),
        "significance": (*benchmark, *summary, "--out", folder / "t.csv", "--overall", folder / "o.csv"),
        "report": (*benchmark, "--out", folder / "report.html"),
        "mlflow_import": (*benchmark, "--out", folder / "import.json"),
        "farewell": (folder / "benchmark.json",),
    }[command]


def _damages(command: str, file: str) -> list[str]:
    """What is tried: a result that is not there yet is no damage to those that take what there is."""
    left_out = ("missing", "a folder") if file.startswith("runs/") and command != "aggregate" else ()
    return [damage for damage in DAMAGES if damage not in left_out]


@pytest.mark.parametrize(
    ("command", "file", "damage"),
    [(name, file, damage) for name, files in READERS.items() for file in files for damage in _damages(name, file)],
)
def test_damaged_results(call: Call, command: str, file: str, damage: str, tmp_path: Path) -> None:
    folder = tmp_path / "results"
    write_tree(folder)
    if command != "aggregate":
        assert call("aggregate", "--benchmark", folder / "benchmark.json", "--out", folder)[0] == 0
    DAMAGES[damage](folder / file)
    _refused(call(command, *_arguments(command, folder)), Path(file).name)


def test_a_benchmark_without_any_main_metric_gets_its_report(call: Call, tmp_path: Path) -> None:
    config = write_tree(tmp_path)
    config["significance"]["primary"] = ["transfer"]
    write_json(tmp_path / "benchmark.json", config)
    overall = tmp_path / "significance_overall.csv"
    tests = ("--summary", tmp_path / "summary.parquet", "--out", tmp_path / "significance.csv", "--overall", overall)
    for command, options in (("aggregate", ()), ("significance", tests), ("report", ())):
        out = () if options else ("--out", tmp_path if command == "aggregate" else tmp_path / "report.html")
        code, error = call(command, "--benchmark", tmp_path / "benchmark.json", *options, *out)
        assert code == 0, error
    assert overall.read_text(encoding="utf-8").startswith("experiment,objective,detector,seeds,tasks,")


@pytest.mark.parametrize("damage", _damages("mlflow_import", RUN_FOLDER + "/"))
@pytest.mark.parametrize("file", ["history.json", "metrics.json", "linear/metrics.json"])
def test_damaged_results_are_not_imported(file: str, damage: str, tmp_path: Path) -> None:
    """What the import makes of a run, without the store, which takes seconds to make."""
    grid = Grid(write_tree(tmp_path))
    path = tmp_path / RUN_FOLDER / file
    DAMAGES[damage](path)
    with pytest.raises(ValueError, match="delete it and run again") as caught:
        read_run(grid, grid.run("exp/sogclr/glofnd/seed1"))
    assert str(path) in str(caught.value)
