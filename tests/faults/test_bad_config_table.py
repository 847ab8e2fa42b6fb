"""Every malformed config of `malformed_configs.yaml` gives its lines, and nothing else happens."""

import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from workflow.config_file import ConfigFileError, read_config
from workflow.configuration import ConfigError, resolve

ROOT = Path(__file__).parents[2]
TABLE: list[dict[str, Any]] = yaml.safe_load(
    Path(__file__).with_name("malformed_configs.yaml").read_text(encoding="utf-8")
)
LONG_LIST = re.compile(r"valid: [^)]{60,}?(\)|$)")


@pytest.fixture(scope="module")
def smoke() -> dict[str, Any]:
    merged = read_config(ROOT / "config.yaml")
    update_config(merged, read_config(ROOT / "configs" / "smoke.yaml"))
    return merged


def _told(base: dict[str, Any], path: Path) -> list[str]:
    merged = deepcopy(base)
    try:
        update_config(merged, read_config(path))
        resolve(merged)
    except ConfigFileError as error:
        return [str(error).replace(str(path), "FILE")]
    except ConfigError as error:
        return error.problems
    return []


def test_the_table_is_what_was_promised() -> None:
    assert len(TABLE) >= 100
    assert len({case["name"] for case in TABLE}) == len(TABLE)
    assert all(case["lines"] for case in TABLE)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case["name"])
def test_each_config_gives_its_lines(
    case: dict[str, Any], smoke: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    path = tmp_path / "config.yaml"
    path.write_text(case["config"], encoding="utf-8")
    told = _told(smoke, path)
    assert [LONG_LIST.sub(r"valid: ...\1", line) for line in told] == case["lines"]
    assert all(line.isprintable() for line in told)


def test_the_base_itself_is_fine(smoke: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    resolve(deepcopy(smoke))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"\x89PNG\r\n\x1a\n\xed\xff", "byte 0 is no UTF-8; this is no config, or in another encoding"),
        ("größe: 1\n".encode("latin-1"), "byte 2 is no UTF-8; this is no config, or in another encoding"),
        (b"seeds: [" + b"9" * 5000 + b"]\n", "line 1, column 9: Exceeds the limit (4300 digits) for integer string"),
        (b"a: " + b"[" * 2000 + b"]" * 2000 + b"\n", "is nested more than 20 levels deep"),
        (b"a: &a {b: *a}\n", "is nested more than 20 levels deep"),
        (b"#" * 2**25, "larger than 16 MB; this is no config"),
    ],
    ids=["picture", "latin-1", "digits", "deep", "holds itself", "large"],
)
def test_files_that_are_no_configs(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(ConfigFileError) as caught:
        read_config(path)
    assert str(caught.value).startswith(f"{path}: {message}")
    assert str(caught.value).isprintable()


def test_a_key_that_replaces_a_merged_one_stands_there_once(tmp_path: Path) -> None:
    """Also where a mapping that merges another is itself merged before its turn."""
    path = tmp_path / "config.yaml"
    path.write_text("y: {a: &x {<<: &b {lr: 1}, lr: 2}, z: {<<: *x}}\nw: {<<: *x, lr: 3}\n")
    assert read_config(path) == {"y": {"a": {"lr": 2}, "z": {"lr": 2}}, "w": {"lr": 3}}
    path.write_text("y: &x {<<: {lr: 1}, lr: 2, lr: 3}\nz: {<<: *x}\n")
    with pytest.raises(ConfigFileError, match="the key 'lr' stands there twice"):
        read_config(path)


def test_places_that_are_no_files(tmp_path: Path) -> None:
    for place, message in (
        (tmp_path, "is a folder; name a file of keys and values"),
        (tmp_path / "no.yaml", "there is no such file"),
        (tmp_path / "no" / "no.yaml", "there is no such file"),
        (tmp_path / ("n" * 300), "File name too long"),
        (Path("a\0b"), "embedded null byte"),
        (Path("/dev/zero"), "larger than 16 MB; this is no config"),
    ):
        with pytest.raises(ConfigFileError) as caught:
            read_config(place)
        assert str(caught.value) == f"{place}: {message}"


def test_json_is_a_config_too(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"seeds": [1, 2], "mlflow": {"prefix": "a"}}', encoding="utf-8-sig")
    assert read_config(path) == {"seeds": [1, 2], "mlflow": {"prefix": "a"}}


def test_a_merged_key_may_be_given_again(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("a: &a {k: 1, l: 1}\nb: {<<: *a, k: 2}\n", encoding="utf-8")
    assert read_config(path)["b"] == {"k": 2, "l": 1}
