"""MLflow as a cluster has it: a tracking server on PostgreSQL, several importers at once, a server out of reach."""

import json
import multiprocessing
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType
from results_tree import write_tree

from workflow.scripts.mlflow_claims import OWNER
from workflow.scripts.mlflow_import import HASH, RUN_ID, import_runs

pytestmark = pytest.mark.slow
IMPORTERS, RUNS = 8, 4


def _port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait(ready: Any, what: str, process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert process.poll() is None, f"{what} ended with {process.returncode}"
        assert time.monotonic() < end, f"{what} did not answer within {seconds:.0f} s"
        time.sleep(0.2)


def _postgres_programs() -> Path:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    known = os.geteuid() != 0 or "postgres" in {entry.pw_name for entry in pwd.getpwall()}
    if not found or not known:
        reason = "PostgreSQL is not installed (Debian: postgresql)"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    return found[-1].parent


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """URI of an empty database of a PostgreSQL server of our own; it refuses to run as root."""
    programs = _postgres_programs()
    # Not below pytest's own folder, which nobody but its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="glofnd-postgres-"))
    other: dict[str, Any] = {}
    if os.geteuid() == 0:
        other = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(folder, "postgres", "postgres")
    port, data = _port(), folder / "data"
    made = [programs / "initdb", "--pgdata", data, "--auth", "trust", "--username", "mlflow", "--no-sync"]
    subprocess.run(made, check=True, capture_output=True, cwd="/", **other)
    command = [programs / "postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-F"]
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "-c", f"unix_socket_directories={folder}"], cwd="/", stdout=log, stderr=log, **other
        )
    try:
        client = ["-h", "127.0.0.1", "-p", str(port), "-U", "mlflow"]
        ready = [programs / "pg_isready", *client]
        _wait(lambda: not subprocess.run(ready, check=False, capture_output=True).returncode, "PostgreSQL", server)
        subprocess.run([programs / "createdb", *client, "runs"], check=True)
        yield f"postgresql://mlflow@127.0.0.1:{port}/runs"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def tracking(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server on that database, started as the documentation says."""
    folder, port = tmp_path_factory.mktemp("mlflow-server"), _port()
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", postgres, "--artifacts-destination", str(folder / "artifacts")]
    with (folder / "log").open("wb") as log:
        # Without the processes that run MLflow's own jobs, which nothing here uses.
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        server = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, env=environment, start_new_session=True)
    address = f"http://127.0.0.1:{port}"

    def ready() -> bool:
        try:
            return bool(urllib.request.urlopen(f"{address}/health", timeout=2).status == 200)
        except OSError:
            return False

    try:
        _wait(ready, "MLflow server", server)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait(30)


def _benchmark(folder: Path) -> dict[str, Any]:
    """A finished benchmark of few runs, as every importer draws figures of them all."""
    return {**write_tree(folder), "seeds": [1]}


def _runs(uri: str, experiment: str, view: int = ViewType.ACTIVE_ONLY) -> list[Any]:
    client = MlflowClient(tracking_uri=uri)
    found = client.get_experiment_by_name(experiment)
    return [] if found is None else list(client.search_runs([found.experiment_id], run_view_type=view))


def _import_at_once(config: dict[str, Any], importers: int) -> list[dict[str, str]]:
    """Results of several importers started together: run id -> MLflow run."""
    context = multiprocessing.get_context("fork")
    with context.Pool(importers) as pool:
        results = pool.map(import_runs, [config] * importers, chunksize=1)
    return [{run: entry["mlflow_run"] for run, entry in result["runs"].items()} for result in results]


def _whole(runs: list[Any]) -> None:
    """Every run of the grid once, finished, with its metrics."""
    assert Counter(run.data.tags[RUN_ID] for run in runs).most_common(1)[0][1] == 1
    assert len(runs) == RUNS
    for run in runs:
        assert run.info.status == "FINISHED" and HASH in run.data.tags
        assert any(name.startswith("linear/") for name in run.data.metrics)


def test_eight_importers_at_a_server_lose_and_double_nothing(tracking: str, tmp_path: Path) -> None:
    config = _benchmark(tmp_path)
    config["mlflow"] = {"tracking_uri": tracking, "prefix": "team/"}
    _import_at_once(config, IMPORTERS)
    _whole(_runs(tracking, "team/exp"))
    stored = {run.data.tags[RUN_ID]: run.info.run_id for run in _runs(tracking, "team/exp")}
    again = import_runs(config)["runs"]
    assert {run: entry["mlflow_run"] for run, entry in again.items()} == stored
    assert {entry["state"] for entry in again.values()} == {"unchanged"}


def test_artifacts_go_through_the_server(tracking: str, tmp_path: Path) -> None:
    config = _benchmark(tmp_path)
    config["mlflow"] = {"tracking_uri": tracking, "prefix": "artifacts-"}
    key = import_runs(config)["runs"]["exp/sogclr/glofnd/seed1"]["mlflow_run"]
    client = MlflowClient(tracking_uri=tracking)
    assert {entry.path for entry in client.list_artifacts(key, "figures")} == {"figures/training.png"}
    assert not (tmp_path / "mlflow-artifacts").exists()


def test_eight_importers_at_one_sqlite_file(tmp_path: Path) -> None:
    config = _benchmark(tmp_path)
    seen = _import_at_once(config, IMPORTERS)
    assert all(found == seen[0] for found in seen)
    _whole(_runs(f"sqlite:///{tmp_path}/mlflow.db", "exp"))


def test_what_another_importer_is_writing_is_left_alone(tmp_path: Path) -> None:
    config = _benchmark(tmp_path)
    import_runs(config)
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    client, run = MlflowClient(tracking_uri=uri), _runs(uri, "exp")[0]
    client.delete_tag(run.info.run_id, HASH)
    client.set_tag(run.info.run_id, OWNER, f"elsewhere:1:{time.time():.0f}")
    import_runs(config)
    assert run.info.run_id in {entry.info.run_id for entry in _runs(uri, "exp")}
    client.set_tag(run.info.run_id, OWNER, f"elsewhere:1:{time.time() - 3600:.0f}")
    import_runs(config)
    _whole(_runs(uri, "exp"))


def test_a_server_out_of_reach_is_one_line_and_a_later_import_is_whole(tracking: str, tmp_path: Path) -> None:
    config = _benchmark(tmp_path / "results")
    benchmark, out = tmp_path / "benchmark.json", tmp_path / "mlflow-import.json"
    command = [sys.executable, "-m", "workflow.scripts.mlflow_import", "--benchmark", str(benchmark)]

    def attempt(uri: str) -> subprocess.CompletedProcess[str]:
        config["mlflow"] = {"tracking_uri": uri, "prefix": "later-"}
        benchmark.write_text(json.dumps(config), encoding="utf-8")
        return subprocess.run([*command, "--out", str(out)], capture_output=True, text=True, timeout=180, check=False)

    failed = attempt(f"http://127.0.0.1:{_port()}")
    assert failed.returncode == 2
    assert failed.stderr.splitlines()[-1].startswith("error: MLflow import: ")
    assert "Traceback" not in failed.stderr
    assert not out.exists()
    assert attempt(tracking).returncode == 0
    _whole(_runs(tracking, "later-exp"))
