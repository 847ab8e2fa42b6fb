"""Who can reach what, what a download may do, and where no password ever stands."""

import io
import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from glofnd.data.sources import archives
from glofnd.data.sources.commands import FetchError, run
from glofnd.provenance import Stopwatch, provenance
from tests.workflow.results_tree import write_tree
from workflow.config import ConfigError, resolve
from workflow.credentials import has_secret
from workflow.session import where_results_are
from workflow.tracking import import_runs

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "c0rrect-horse"


# MLflow


def test_every_server_that_is_spoken_of_listens_on_this_machine_alone() -> None:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    texts = [path for name in done.stdout.split("\0") if (path := ROOT / name).suffix in (".md", ".py", "", ".yaml")]
    found = []
    for path in (path for path in texts if path.is_file() and not path.is_relative_to(ROOT / "tests")):
        for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
            if re.search(r"mlflow server --|mlflow\", \"server\"", line):
                found.append((path.name, "--host 127.0.0.1" in line))
    assert {"Makefile", "mlflow.md", "session.py"} <= {name for name, _ in found}
    assert [name for name, local in found if not local] == []


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
def test_the_server_listens_here_and_asks_for_a_password(server: tuple[str, int], tmp_path: Path) -> None:
    address, session = server
    assert _listening(session) == {"0100007F"}, "127.0.0.1"
    with pytest.raises(urllib.error.HTTPError, match="401"):
        urllib.request.urlopen(f"{address}/api/2.0/mlflow/experiments/search?max_results=1")

    config = {**write_tree(tmp_path / "results"), "seeds": [1], "mlflow": {"tracking_uri": address, "prefix": ""}}
    (tmp_path / "benchmark.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "workflow.scripts.mlflow_import", "--benchmark", str(tmp_path / "benchmark.json")]
    command += ["--out", str(tmp_path / "imported.json")]

    def imported(password: str) -> subprocess.CompletedProcess[str]:
        who = {"MLFLOW_TRACKING_USERNAME": "admin", "MLFLOW_TRACKING_PASSWORD": password}
        return subprocess.run(command, env={**os.environ, **who}, capture_output=True, text=True, check=False)

    wrong = imported("guessed-it")
    assert wrong.returncode == 2 and "guessed-it" not in wrong.stderr and "Traceback" not in wrong.stderr
    assert wrong.stderr.startswith("error: MLflow store ") and "401" in wrong.stderr
    right = imported(PASSWORD)
    assert right.returncode == 0, right.stderr
    assert PASSWORD not in right.stdout + right.stderr + (tmp_path / "imported.json").read_text()


# Passwords

ADDRESSES = [
    *(f"postgresql://mlflow:{PASSWORD}@db/runs", f"http://ann:{PASSWORD}@mlflow:5000"),
    *(f"postgresql+psycopg2://mlflow:{PASSWORD}/x@db/runs", f"postgresql://mlflow@db/runs?password={PASSWORD}"),
    *(f"https://mlflow/?access_token={PASSWORD}", f"http://ann:{PASSWORD}@ mlflow:port"),
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_password_in_the_config_is_refused_and_not_repeated(address: str, tmp_path: Path) -> None:
    config = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    config["mlflow"]["tracking_uri"] = address
    with pytest.raises(ConfigError) as refused:
        resolve(config)
    assert "mlflow.tracking_uri: there is a password in it" in str(refused.value)
    assert PASSWORD not in str(refused.value)
    with pytest.raises(ValueError, match="there is a password in it") as raised:
        import_runs({**write_tree(tmp_path), "mlflow": {"tracking_uri": address, "prefix": ""}}, tmp_path / "out")
    assert PASSWORD not in str(raised.value)


@pytest.mark.parametrize("address", ["http://mlflow:5000", "http://mlflow:5000/x@y", "postgresql://ann@db:5432/runs"])
def test_an_address_without_one_is_taken(address: str) -> None:
    assert not has_secret(address) and not has_secret("sqlite:////home/a:b@c/mlflow.db")


def test_results_say_nothing_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_PASSWORD", "PGPASSWORD", "HTTPS_PROXY"):
        monkeypatch.setenv(name, f"http://ann:{PASSWORD}@proxy")
    assert PASSWORD not in json.dumps(provenance({}, {}, Stopwatch()))


def test_a_failed_program_s_words_are_repeated_without_a_password() -> None:
    program = f"import sys; sys.exit('cannot reach http://ann:{PASSWORD}@proxy:3128/ now')"
    with pytest.raises(FetchError, match=r"cannot reach http://\*\*\*@proxy:3128/ now"):
        run([sys.executable, "-c", program])


def test_commands_that_are_printed_can_be_pasted() -> None:
    config: dict[str, Any] = {
        "paths": {"results": "it's; $(touch x)"},
        "mlflow": {"tracking_uri": None},
        "significance": None,
    }
    (command,) = re.findall(r"--backend-store-uri (.*)  then", where_results_are(config))
    words = subprocess.run(["bash", "-c", f"printf %s {command}"], capture_output=True, text=True, check=True)
    assert words.stdout == "sqlite:///it's; $(touch x)/mlflow.db"


# Downloads and archives


def test_no_redirect_leaves_tls() -> None:
    handler, head = archives._NeverToPlainHttp(), urllib.request.Request("https://here/x").headers

    def redirected(start: str, end: str) -> urllib.request.Request | None:
        return handler.redirect_request(urllib.request.Request(start), io.BytesIO(), 302, "", head, end)  # type: ignore[arg-type]

    with pytest.raises(urllib.error.URLError, match="the server redirects from https to http; refused"):
        redirected("https://here/x", "http://here/x")
    with pytest.raises(urllib.error.URLError, match="from https to ftp"):
        redirected("https://here/x", "ftp://here/x")
    assert redirected("https://here/x", "https://there/x") and redirected("http://here/x", "http://there/x")


SIZE = 100 * 2**20


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["tar", "zip", "inner"])
def test_archives_that_would_fill_the_disk_are_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path / ("bomb.tar.gz" if kind == "tar" else "bomb.zip")
    if kind == "tar":
        with tarfile.open(path, "w:gz") as packed:
            info = tarfile.TarInfo("a/zeros")
            info.size = SIZE
            packed.addfile(info, io.BytesIO(bytes(SIZE)))
    else:
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed_zip:
            packed_zip.writestr("a/zeros.tar.gz", bytes(SIZE))
    inner = "a/zeros.tar.gz" if kind == "inner" else None
    with pytest.raises(FetchError, match=r"bomb.*: unpacks to more than 50 times its size"):
        archives.unpack(path, tmp_path / "out", inner)
    assert list((tmp_path / "out").rglob("*")) == []


def test_unpacked_files_have_no_special_rights(tmp_path: Path) -> None:
    path = tmp_path / "it.tar.gz"
    with tarfile.open(path, "w:gz") as packed:
        info = tarfile.TarInfo("a/program")
        info.mode, info.uid = 0o6777, 4242
        packed.addfile(info, io.BytesIO())
    archives.unpack(path, tmp_path / "out")
    found = (tmp_path / "out/a/program").stat()
    assert not found.st_mode & (stat.S_ISUID | stat.S_ISGID | stat.S_IWOTH | stat.S_IWGRP)
    assert found.st_uid == os.getuid()
