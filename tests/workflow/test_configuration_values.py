"""What the config check makes of values that it takes: paths, numbers, tasks without a value."""

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from glofnd.clip_models import model_config, model_names, own_tokens, takes_size
from workflow.config_file import read_config
from workflow.configuration import ConfigError, resolve
from workflow.values import one_line, shown

ROOT = Path(__file__).parents[2]
DEFAULT = read_config(ROOT / "config.yaml")


def _fashion(**given: Any) -> dict[str, Any]:
    config = deepcopy(DEFAULT)
    config["experiments"]["fashion-mnist"] |= given
    resolved: dict[str, Any] = resolve(config)["experiments"]["fashion-mnist"]
    return resolved


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("out/", "out"),
        ("./out//x/.", "out/x"),
        ("//out", "/out"),
        ("../out", "../out"),
        ("with blank and 'quote'; $x", "with blank and 'quote'; $x"),
        ("größe", "größe"),
        ("~/out", str(Path.home() / "out")),
        ("-out", str(Path.cwd() / "-out")),
    ],
)
def test_paths_have_their_shortest_form(written: str, meant: str) -> None:
    config = deepcopy(DEFAULT) | {"paths": {"raw": "raw", "shards": "shards", "results": written}}
    resolved = resolve(config)
    assert resolved["paths"]["results"] == meant
    assert resolve(resolved) == resolved


def test_paths_of_data_sets_too(tmp_path: Path) -> None:
    config = deepcopy(DEFAULT)
    (tmp_path / "train").mkdir()
    config["datasets"]["mine"] = {"dataset": "folder", "path": f"{tmp_path}/./"}
    assert resolve(config)["datasets"]["mine"]["path"] == str(tmp_path)


def test_whole_numbers_are_integers() -> None:
    training = _fashion(training={"epochs": 20.0, "batch_size": "256", "lr": 1})["training"]
    assert (training["epochs"], training["batch_size"], training["lr"]) == (20, 256, 1)
    assert type(training["epochs"]) is int and type(training["lr"]) is int


def test_discovery_without_a_value_has_all_defaults() -> None:
    assert _fashion(evaluations={"discovery": None}) == _fashion(evaluations={"discovery": [{}]})


def test_tasks_of_the_paper_may_stand_in_both_places() -> None:
    paper, plain = {"dataset": "fashion-mnist", "fractions": [1]}, {"dataset": "fashion-mnist", "fractions": [0.1]}
    for order in (("linear", "linear-paper"), ("linear-paper", "linear")):
        tasks = {
            "linear": [{**paper, "protocol": "paper"}],
            "linear-paper": [{**plain, "label": "label", "test": "test"}],
        }
        with pytest.raises(ConfigError, match=r"linear-paper\[1\]: differs from task \[0\]"):
            _fashion(evaluations={name: tasks[name] for name in order})


def test_zero_does_not_switch_off() -> None:
    with pytest.raises(ConfigError, match=r"experiments.fashion-mnist.detectors.oracle: must be a mapping, not 0"):
        _fashion(detectors={"none": {}, "glofnd": {}, "oracle": 0})


def test_a_config_fits_on_a_command_line() -> None:
    config = deepcopy(DEFAULT)
    config["experiments"] |= {f"more-{number}": config["experiments"]["fashion-mnist"] for number in range(70)}
    with pytest.raises(ConfigError, match=r"config: has 1[0-9]{5} bytes with all defaults, 120000 is the most"):
        resolve(config)


def test_messages_are_one_line_and_short() -> None:
    assert one_line("a\nb\x1b[31m\u2028\ud800é") == "a\\nb\\x1b[31m\\u2028\\ud800é"
    assert len(one_line("a" * 10**6)) < 1100 and len(shown(["a" * 10**6] * 1000)) < 100
    assert shown(2**20000) == "a number of more than 150 digits"
    assert shown({"a": [None, True, 0.5]}) == "{a: [null, true, 0.5]}"


def test_models_of_open_clip_are_known_without_it() -> None:
    names = model_names()
    assert names[:2] == ["glofnd-test", "glofnd-tiny"] and {"RN50", "ViT-B-32"} <= set(names)
    assert "ViT-B-16-SigLIP" not in names and not own_tokens(model_config("ViT-B-16-SigLIP") or {})
    assert model_config("../RN50") is None
    resnet, transformer = model_config("RN50") or {}, model_config("ViT-B-32") or {}
    assert takes_size(resnet, 224) and not takes_size(resnet, 32)
    assert takes_size(transformer, 224) and not takes_size(transformer, 256)
