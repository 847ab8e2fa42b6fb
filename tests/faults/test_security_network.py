"""The MLflow server that `make mlflow` starts: it listens on this machine alone and can ask for a password."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "c0rrect-horse"


def _listening(session: int) -> set[str]:
    """Addresses, as the kernel writes them, at which processes of a session listen."""
    inodes = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if os.getsid(int(process.name)) == session:
                inodes |= {str(file.readlink()) for file in (process / "fd").iterdir()}
        except OSError:
            continue
    lines = [
        line.split() for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]
    ]
    return {line[1].split(":")[0] for line in lines if line[3] == "0A" and f"socket:[{line[9]}]" in inodes}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, int]]:
    """Address and session of what `make mlflow` starts, with the authentication that docs/mlflow.md describes."""
    (line,) = re.findall(r"exec (mlflow server .*) --backend-store-uri", (ROOT / "Makefile").read_text())
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", *line.replace("$(PORT)", str(port)).split(), "--app-name", "basic-auth"]
    command += ["--workers", "1", "--backend-store-uri", f"sqlite:///{tmp_path}/mlflow.db"]
    secrets = {"MLFLOW_AUTH_ADMIN_PASSWORD": PASSWORD, "MLFLOW_FLASK_SERVER_SECRET_KEY": "key"}
    environment = {**os.environ, **secrets, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (tmp_path / "log").open("wb") as log:
        started = subprocess.Popen(
            command, cwd=tmp_path, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    address, end = f"http://127.0.0.1:{port}", time.monotonic() + 180
    try:
        while True:
            try:
                urllib.request.urlopen(f"{address}/health", timeout=2)
                break
            except OSError:
                assert started.poll() is None and time.monotonic() < end, (tmp_path / "log").read_text()[-2000:]
                time.sleep(0.2)
        yield address, started.pid
    finally:
        os.killpg(started.pid, signal.SIGKILL)
        started.wait(30)


@pytest.mark.slow
def test_the_server_listens_here_and_asks_for_a_password(server: tuple[str, int]) -> None:
    address, session = server
    assert _listening(session) == {"0100007F"}, "127.0.0.1"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/api/2.0/mlflow/experiments/search?max_results=1")
