"""MLflow as a team has it: a tracking server on PostgreSQL, PostgreSQL alone, a server out of reach."""

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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from results_tree import write_tree

from workflow.tracking import HASH, NAME, import_runs

pytestmark = pytest.mark.slow
RUNS = 4


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
        server.send_signal(signal.SIGINT)  # which ends connections that are open
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


def _imported(config: dict[str, Any]) -> list[Any]:
    """Runs of the store after an import."""
    done = import_runs(config, Path(config["paths"]["results"]) / "mlflow-import.json")
    client = MlflowClient(tracking_uri=config["mlflow"]["tracking_uri"])
    found = client.get_experiment_by_name(f"{config['mlflow']['prefix']}exp")
    assert found is not None
    runs = list(client.search_runs([found.experiment_id]))
    assert {run.info.run_id for run in runs} == {entry["mlflow_run"] for entry in done.values()}
    assert all(run.info.status == "FINISHED" and HASH in run.data.tags for run in runs)
    return runs


def test_an_import_through_a_server_is_whole_and_the_second_adds_nothing(tracking: str, tmp_path: Path) -> None:
    config = {**write_tree(tmp_path), "seeds": [1], "mlflow": {"tracking_uri": tracking, "prefix": "team/"}}
    first, again = _imported(config), _imported(config)
    assert len(first) == 4 + RUNS and {run.info.run_id for run in first} == {run.info.run_id for run in again}
    key = next(run.info.run_id for run in first if run.data.tags[NAME] == "exp/sogclr/glofnd/seed1")
    artifacts = MlflowClient(tracking_uri=tracking).list_artifacts(key, "figures")
    assert "figures/loss.html" in {entry.path for entry in artifacts}
    assert not (tmp_path / "mlflow-artifacts").exists()


def test_postgresql_without_a_server(postgres: str, tracking: str, tmp_path: Path) -> None:
    config = {**write_tree(tmp_path), "seeds": [1], "mlflow": {"tracking_uri": postgres, "prefix": "direct/"}}
    assert len(_imported(config)) == 4 + RUNS


def test_a_server_out_of_reach_is_one_line_and_a_later_import_is_whole(tracking: str, tmp_path: Path) -> None:
    config = {**write_tree(tmp_path), "seeds": [1]}
    nowhere = f"http://127.0.0.1:{_port()}"
    with pytest.raises(OSError, match=f"MLflow store {nowhere}: ") as refused:
        import_runs({**config, "mlflow": {"tracking_uri": nowhere, "prefix": "later-"}}, tmp_path / "out.json")
    assert "\n" not in str(refused.value) and not (tmp_path / "out.json").exists()
    assert len(_imported({**config, "mlflow": {"tracking_uri": tracking, "prefix": "later-"}})) == 4 + RUNS
