"""What was fetched and has changed since: `source.json` and the files that it vouches for."""

import json

import pytest

from glofnd.data.__main__ import main

AGAIN = "run `python -m glofnd.data fetch --source digits --out"


@pytest.fixture(scope="module")
def fetched(tmp_path_factory):
    raw = tmp_path_factory.mktemp("digits")
    assert main(["fetch", "--source", "digits", "--out", str(raw)]) == 0
    return {path.name: path.read_bytes() for path in raw.iterdir()}


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("images.npy", lambda data: data[:-1], "images.npy: missing or changed since it was fetched"),
        ("images.npy", lambda data: data[:9000] + b"x" + data[9001:], "images.npy: missing or changed"),
        ("labels.npy", lambda data: b"", "labels.npy: missing or changed"),
        ("labels.npy", lambda data: None, "labels.npy: missing or changed"),
        ("source.json", lambda data: None, "source.json is missing"),
        ("source.json", lambda data: b"", "source.json: not valid JSON"),
        ("source.json", lambda data: data[:50], "source.json: not valid JSON"),
        ("source.json", lambda data: b"\xff", "source.json: not valid JSON"),
        ("source.json", lambda data: b"[" * 100_000, "source.json: not valid JSON"),
        ("source.json", lambda data: b"9" * 5000, "source.json: not valid JSON"),
        ("source.json", lambda data: b"[]", "source.json: has no checksums of its files"),
        ("source.json", lambda data: b"{}", "source.json: has no checksums of its files"),
        ("source.json", lambda data: b'{"sha256": {}}', "source.json: has no checksums of its files"),
        ("source.json", lambda data: b'{"sha256": {"x": 3}}', "x: missing or changed"),
    ],
)
def test_a_changed_source_is_refused_with_what_to_do(fetched, tmp_path, capsys, name, change, message):
    for other, data in fetched.items():
        content = change(data) if other == name else data
        if content is not None:
            (tmp_path / other).write_bytes(content)
    block = json.dumps({"dataset": "digits", "shards": 1})
    arguments = ["--dataset-config", block, "--split", "test", "--raw", str(tmp_path), "--out", str(tmp_path / "out")]
    assert main(["shard", *arguments]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and message in error
    assert AGAIN in error or "delete it and run again" in error
    assert not (tmp_path / "out").exists()
