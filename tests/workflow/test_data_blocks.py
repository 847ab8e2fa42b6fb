"""Data sets of the catalogue in a config: what is fetched, what is the user's own, what tasks take from an entry."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from workflow.configuration import ConfigError, resolve
from workflow.jobs import Jobs

ROOT = Path(__file__).parents[2]


def config(datasets: dict[str, Any], evaluations: dict[str, Any] | None = None) -> dict[str, Any]:
    """The default config with these data sets, and evaluations of its bimodal experiment."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    loaded["datasets"] |= datasets
    loaded["experiments"]["emoji"]["evaluations"] = evaluations or {"discovery": [{}]}
    return loaded


def test_a_published_set_is_fetched_unless_the_user_has_it(tmp_path: Path) -> None:
    jobs = Jobs(resolve(config({"cifar10": {}, "mine": {"dataset": "cifar10", "path": str(tmp_path)}})))
    assert jobs.source("cifar10") == ["data/raw/cifar10/source.json"]
    assert jobs.source("mine") == []


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"dataset": "stanford-cars"}, "datasets.it.path: missing; Stanford Cars' own host is gone: get cars_train"),
        ({"dataset": "cc3m"}, "datasets.it.path: missing; get the list Train_GCC-training.tsv from https://ai.google"),
        ({"dataset": "imagenet100", "path": "no/where"}, "'no/where' does not exist; ImageNet needs a login: get ILSV"),
        ({"dataset": "cifar10", "path": "no/where"}, "datasets.it.path: 'no/where' does not exist"),
        ({"dataset": "webdataset", "path": ".", "label_from": "jpg"}, "datasets.it.label_from: "),
        ({"dataset": "coco-captions", "path": ".", "annotations": "2015"}, "unknown choice '2015'"),
    ],
)
def test_what_is_missing_says_where_to_get_it(block: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(config({"it": block}))
    assert len(caught.value.problems) == 1 and message in caught.value.problems[0]


def test_tasks_take_metric_label_and_templates_of_the_entry(tmp_path: Path) -> None:
    pets = {"dataset": "oxford-pets", "path": str(tmp_path), "image_size": 32}
    tasks = {"zero-shot": [{"dataset": "pets"}], "linear": [{"dataset": "pets"}]}
    evaluations = resolve(config({"pets": pets}, tasks))["experiments"]["emoji"]["evaluations"]
    task = evaluations["zero-shot"][0]
    assert (task["label"], task["metric"], task["templates"]) == ("label", "mean-per-class", "oxford-pets")
    assert evaluations["linear"][0]["metric"] == "mean-per-class"


def test_a_webdataset_has_the_fields_it_is_asked_for(tmp_path: Path) -> None:
    blocks = {
        "classes": {"dataset": "webdataset", "path": str(tmp_path)},
        "texts": {"dataset": "webdataset", "path": str(tmp_path), "label_from": None, "captions_from": "txt"},
    }
    task = resolve(config(blocks, {"transfer": [{"dataset": "classes"}]}))["experiments"]["emoji"]["evaluations"]
    assert task["transfer"][0]["label"] == "label"
    resolve(config(blocks, {"retrieval": [{"dataset": "texts"}]}))
    with pytest.raises(ConfigError, match="retrieval needs captions, classes has none"):
        resolve(config(blocks, {"retrieval": [{"dataset": "classes"}]}))
    with pytest.raises(ConfigError, match="data set texts has no label 'label'"):
        resolve(config(blocks, {"transfer": [{"dataset": "texts", "label": "label"}]}))
