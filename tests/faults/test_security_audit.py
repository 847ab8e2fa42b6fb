"""`make audit`: a known vulnerability fails it, a service out of reach does not, and says so."""

import http.server
import json
import socket
import threading
from importlib.metadata import version
from types import SimpleNamespace

import pytest

from requirements import audit

HASH = f"--hash=sha256:{'0' * 64}"


class Advisories(http.server.BaseHTTPRequestHandler):
    """A service that speaks OSV and knows something of Jinja2."""

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["package"]["name"]
        events = [{"introduced": "0"}, {"fixed": "99.0"}]
        affected = {
            "package": {"name": "jinja2", "ecosystem": "PyPI"},
            "ranges": [{"type": "ECOSYSTEM", "events": events}],
        }
        known = {"id": "PYSEC-1-1", "summary": "Escapes its sandbox", "affected": [affected], "aliases": []}
        body = json.dumps({"vulns": [known]} if asked == "jinja2" else {}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def lock(tmp_path, monkeypatch):
    monkeypatch.setattr(audit, "FOLDER", tmp_path)
    monkeypatch.setattr(audit, "consistent", lambda entries: [])  # takes seconds
    pinned = [f"{name}=={version(name)} \\\n    {HASH}\n" for name in ("markupsafe", "jinja2")]
    (tmp_path / "lock.txt").write_text("# made by make lock\n" + "".join(pinned))
    (tmp_path / "audit-allowed.txt").write_text("# none\n")
    return tmp_path


@pytest.fixture
def service(monkeypatch):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Advisories) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        monkeypatch.setenv("AUDIT_OSV_URL", f"http://127.0.0.1:{running.server_port}/v1/query")
        yield
        running.shutdown()
        thread.join()


@pytest.mark.slow
def test_a_known_vulnerability_fails_until_it_is_allowed_with_a_reason(lock, service, capsys):
    assert audit.main() == 1
    said = capsys.readouterr().out
    assert f"error: jinja2: PYSEC-1-1: {version('jinja2')}: Escapes its sandbox (fixed in 99.0)" in said
    assert "advisories: 1 for what is pinned" in said
    (lock / "audit-allowed.txt").write_text("PYSEC-1-1 jinja2 # templates here are our own\n")
    assert audit.main() == 0
    assert "(templates here are our own)" in capsys.readouterr().out
    (lock / "audit-allowed.txt").write_text("PYSEC-1-1 jinja2\n")
    with pytest.raises(ValueError, match=r"audit-allowed.txt:1: give advisory or `licence`, package, # and the reason"):
        audit.main()


@pytest.mark.slow
def test_a_service_out_of_reach_is_said_and_no_failure(lock, monkeypatch, capsys):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AUDIT_OSV_URL", f"http://127.0.0.1:{closed.getsockname()[1]}/v1/query")
        assert audit.main() == 0
    said = capsys.readouterr().out
    assert "advisories: NOT AUDITED by osv: " in said and "Connection refused" in said


def test_a_mirror_without_advisories_is_no_clean_bill(lock, monkeypatch, capsys):
    """pip-audit itself ends with 0 where every package is unknown to the service."""
    skipped = [{"name": "markupsafe", "skip_reason": "Dependency not found on PyPI and could not be audited"}]
    monkeypatch.setattr(audit, "_asked", lambda entries, service: (skipped, ""))
    assert audit.main() == 0
    assert "advisories: NOT AUDITED by pypi: Dependency not found on PyPI" in capsys.readouterr().out


def test_what_is_installed_otherwise_than_pinned_is_found(lock):
    text = (lock / "lock.txt").read_text()
    (lock / "lock.txt").write_text(text.replace(f"jinja2=={version('jinja2')}", "jinja2==0.1"))
    found = list(audit.installed(audit.pins(lock / "lock.txt")))
    assert [(f.what, f.package) for f in found] == [("version", "jinja2")]


@pytest.mark.parametrize(
    ("text", "spread"),
    [
        ("MIT", True),
        ("BSD-3-Clause AND MIT", True),
        ("GNU Library or Lesser General Public License (LGPL)", True),
        ("GNU General Public License v3 (GPLv3)", False),
        ("AGPL-3.0-only", False),
        ("LicenseRef-NVIDIA-Proprietary", False),
        ("none stated", False),
    ],
)
def test_licences_that_ask_for_a_look(text, spread, monkeypatch):
    monkeypatch.setattr(audit, "licence", lambda package: text)
    monkeypatch.setattr(audit, "distribution", lambda name: SimpleNamespace(version="1"))
    assert (list(audit.installed([audit.Pin("it", "1", None)])) == []) == spread
