"""Every mistake in a config gives one line with its key; all of them come at once."""

import time
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml
from snakemake.utils import update_config

from workflow.configuration import ConfigError, resolve

ROOT = Path(__file__).parents[2]


def _set(config: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    *path, last = key.split("/")
    place: Any = config
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    place[int(last) if isinstance(place, list) else last] = value
    return config


@pytest.fixture
def config() -> dict[str, Any]:
    """The default config, with the numbers pinned that messages repeat."""
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    loaded |= {"seeds": [1, 2, 3], "tuning_seeds": []}
    loaded["datasets"]["fashion-mnist"] = {"train_samples": 8192}
    fashion = loaded["experiments"]["fashion-mnist"]
    fashion["training"] = {"epochs": 20, "batch_size": 256}
    fashion["encoder"] = {"name": "resnet18", "width": 16}
    fashion["objectives"] = {"sogclr": {}}
    fashion["detectors"] = {
        "none": {},
        "batch-quantile": {"alpha": 0.1, "start_filter": 6},
        "glofnd": {"alpha": 0.1, "start_update": 6, "start_filter": 6},
        "oracle": None,
    }
    return loaded


def test_the_default_config_and_the_presets_are_valid() -> None:
    default = yaml.safe_load((ROOT / "config.yaml").read_text(encoding="utf-8"))
    standard = resolve(default)
    for preset in (ROOT / "configs").glob("*.yaml"):
        merged = deepcopy(default)
        update_config(merged, yaml.safe_load(preset.read_text(encoding="utf-8")))
        resolved = resolve(merged, files=False)
        assert resolved["paths"]["results"] != default["paths"]["results"], preset
        # Presets may share shards, but never make different ones in one place.
        if resolved["paths"]["shards"] == standard["paths"]["shards"]:
            for name in resolved["datasets"].keys() & standard["datasets"].keys():
                assert resolved["datasets"][name] == standard["datasets"][name], (preset, name)


def _problems(config: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    return caught.value.problems


FASHION = "experiments/fashion-mnist"
GLOFND = f"{FASHION}/detectors/glofnd"


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("sedes", [1], "sedes: unknown key; did you mean 'seeds'?"),
        ("seeds", [1, 1], "seeds: 1 stands there more than once"),
        ("seeds", [1], "seeds: significance needs at least 2 seeds, there is 1"),
        ("seeds", "three", "seeds: must be a list, not 'three'"),
        ("seeds", [1, 2**31], "seeds[1]: must be at most 2147483647, not 2147483648"),
        ("tuning_seeds", [2**31], "tuning_seeds[0]: must be at most 2147483647"),
        ("tuning_seeds", [3, 9], "tuning_seeds: 3 would be reported too"),
        ("paths/results", "data/raw", "paths.results: 'data/raw' is also paths.raw"),
        ("datasets/fashion", {}, "datasets.fashion: unknown data set 'fashion'; did you mean 'fashion-mnist'?"),
        ("datasets/digits", {"image_sise": 32}, "datasets.digits.image_sise: unknown key; did you mean 'image_size'?"),
        ("datasets/fashion-mnist/train_samples", 100, "training.batch_size: 256 is more than the 100 samples"),
        ("datasets/own", {"dataset": "folder"}, "datasets.own.path: missing"),
        (
            "datasets/own",
            {"dataset": "folder", "path": "no/where"},
            "datasets.own.path: 'no/where' does not exist",
        ),
        (f"{FASHION}/modality", "bimodle", "modality: unknown choice 'bimodle'; did you mean 'bimodal'?"),
        (
            f"{FASHION}/dataset",
            "fashion-mnst",
            "fashion-mnist.dataset: 'fashion-mnst' is not in datasets; did you mean",
        ),
        (f"{FASHION}/split", "tran", "split: data set fashion-mnist has no split 'tran'; did you mean 'train'?"),
        (f"{FASHION}/label", "group", "label: data set fashion-mnist has no label 'group'; valid: label"),
        (f"{FASHION}/encoder/name", "resnet8", "encoder.name: unknown 'resnet8'; did you mean 'resnet18'?"),
        (f"{FASHION}/encoder/widht", 8, "encoder.widht: unknown key; did you mean 'width'?"),
        (f"{FASHION}/encoder", {}, "encoder.name: missing"),
        (f"{FASHION}/views/crop_scale", [0.9, 0.1], "views.crop_scale: [0.9, 0.1] runs from the larger"),
        (f"{FASHION}/views/crop_scale", [1], "views.crop_scale: needs exactly 2 entries, has 1"),
        (f"{FASHION}/views/crop_scale", [0.1, 0.5, 1], "views.crop_scale: needs exactly 2 entries, has 3"),
        (f"{FASHION}/views/crop_scale", [0.1, "x"], "views.crop_scale[1]: must be a number, not 'x'"),
        (f"{FASHION}/views/crop_scale", {}, "views.crop_scale: must be a list, not {}"),
        (f"{FASHION}/training/epochs", "ten", "training.epochs: must be an integer, not 'ten'"),
        (f"{FASHION}/training/warmup_epochs", 50, "training.warmup_epochs: 50 is more than training.epochs 20"),
        (f"{FASHION}/objectives/clip", {}, "objectives.clip: 'clip' is not for unimodal experiments; valid: simclr"),
        (f"{FASHION}/objectives/sogclrr", {}, "objectives.sogclrr: unknown 'sogclrr'; did you mean 'sogclr'?"),
        (f"{FASHION}/objectives/baseline", {"method": "sogclr"}, "objectives.baseline: 'baseline' names a folder"),
        (f"{GLOFND}/alpha", 1.5, "detectors.glofnd.alpha: must be below 1 (between 0 and 1), not 1.5"),
        (f"{GLOFND}/alpha", 0, "detectors.glofnd.alpha: must be above 0"),
        (f"{GLOFND}/start_filter", 3, "detectors.glofnd.start_filter: 3 is before start_update 6"),
        (f"{GLOFND}/start_filter", 20, "detectors.glofnd.start_filter: epoch 20 never comes"),
        (f"{GLOFND}/learner", "adamm", "detectors.glofnd.learner: unknown choice 'adamm'; did you mean 'adam'?"),
        (f"{GLOFND}/alfa", 0.1, "detectors.glofnd.alfa: unknown key; did you mean 'alpha'?"),
        (f"{FASHION}/detectors/glofd", {}, "detectors.glofd: unknown 'glofd'; did you mean 'glofnd'?"),
        (f"{FASHION}/detectors/x", {"method": "glofd"}, "detectors.x.method: unknown 'glofd'; did you mean 'glofnd'?"),
        (f"{FASHION}/detectors/none", False, "significance.baseline: experiment fashion-mnist has no detector 'none'"),
        (f"{FASHION}/baselines", ["raw"], "baselines[0]: unknown choice 'raw'; did you mean 'raw-pixels'?"),
        (f"{FASHION}/evaluations/lineal", [{}], "evaluations.lineal: unknown evaluation; did you mean 'linear'?"),
        (f"{FASHION}/evaluations/retrieval", [{}], "evaluations.retrieval: not for unimodal experiments"),
        (f"{FASHION}/evaluations/linear/0/dataset", "cifar", "linear[0].dataset: 'cifar' is not in datasets"),
        (f"{FASHION}/evaluations/linear/0/test", "train", "linear[0].test: 'train' is also the training split"),
        (
            "significance/primary",
            ["linear", "linear-paper"],
            "significance.primary: linear and linear-paper are one question under two protocols",
        ),
        (
            f"{FASHION}/evaluations/linear/0",
            {"dataset": "fashion-mnist", "train": "test", "test": "train"},
            "linear[0].test: experiment fashion-mnist trains its encoders on fashion-mnist/train; a test must see new",
        ),
        (
            "experiments/emoji/evaluations/retrieval/0/split",
            "train",
            "retrieval[0].split: experiment emoji trains its encoders on emoji/train; a test must see new pictures",
        ),
        (f"{FASHION}/evaluations/linear/0/fractions", [2], "linear[0].fractions[0]: must be at most 1"),
        (f"{FASHION}/evaluations/transfer/0", {}, "transfer[0].dataset: missing"),
        (f"{FASHION}/evaluations/linear/0/draws", [1], "linear[0].draws: needs one number for each of the 4 fractions"),
        (f"{FASHION}/evaluations/linear/0/fractions", [1, 1], "linear[0].fractions: the same share stands there twice"),
        (
            f"{FASHION}/evaluations/linear",
            [{"dataset": "fashion-mnist", "protocol": "papr"}],
            "linear[0].protocol: unknown choice 'papr'; did you mean 'paper'?",
        ),
        (
            f"{FASHION}/evaluations/linear",
            [{"dataset": "fashion-mnist", "protocol": "paper", "fractions": [0.5]}],
            "linear-paper[0].epochs: the paper has none for a share of 0.5; give one for each fraction",
        ),
        (
            f"{FASHION}/evaluations/fine-tuning",
            [{"dataset": "fashion-mnist", "epochs": [1]}],
            "fine-tuning[0].epochs: needs one number for each of the 3 fractions, has 1",
        ),
        (
            f"{FASHION}/evaluations/transfer",
            [{"dataset": "digits"}, {"dataset": "digits", "metric": "mean-per-class"}],
            "transfer[1]: differs from task [0] on digits/test only in metric, which names no result",
        ),
        (
            f"{FASHION}/evaluations/linear",
            [{"dataset": "fashion-mnist"}, {"dataset": "fashion-mnist"}],
            "linear[1]: the same task stands there twice",
        ),
        (f"{FASHION}/evaluations/linear/0/together", "concept", "linear[0].together: data set fashion-mnist has no"),
        (f"{FASHION}/evaluations/discovery/0", {"dataset": "digits"}, "discovery looks at what was trained on"),
        ("experiments/emoji/evaluations/zero-shot/0/templates", "emojis", "templates: no file 'emojis'; did you mean"),
        (f"{FASHION}/detectors", {"none": {}}, "fashion-mnist.detectors: nothing to compare with 'none'"),
        (f"{FASHION}/detectors", {}, "fashion-mnist.detectors: needs at least 1 entry, has 0"),
        (f"{GLOFND}/alpha", float("nan"), "detectors.glofnd.alpha: must be a finite number, not nan"),
        (f"{FASHION}/training/lr", float("inf"), "training.lr: must be a finite number, not inf"),
        (f"{FASHION}/detectors", {3: {"method": "glofnd"}}, "detectors.3: the key is not a text; put it in quotes"),
        ("experiments", {True: {}}, "experiments.true: the key is not a text; put it in quotes"),
        ("experiments/emoji/dataset", "digits", "emoji.dataset: a bimodal experiment needs captions, digits has none"),
        ("experiments/emoji\n", {}, "experiments: a name is made of at most 80 lower-case letters"),
        ("experiments/Bad Name", {}, "experiments: a name is made of at most 80 lower-case letters"),
        ("significance/confidence", 95, "significance.confidence: must be below 1"),
        ("significance/primary", ["lineal"], "primary[0]: unknown choice 'lineal'; did you mean 'linear'?"),
        ("resources/pretrian", {}, "resources.pretrian: unknown key; did you mean 'pretrain'?"),
        ("resources/pretrain/runtime_max", 30, "resources.pretrain.runtime_max: 30 is less than runtime, 60"),
    ],
)
def test_each_mistake_has_its_message(config: dict[str, Any], key: str, value: object, message: str) -> None:
    found = _problems(_set(config, key, value))
    assert any(message in line for line in found), found
    assert not any("\n" in line for line in found)


def test_one_mistake_gives_one_line(config: dict[str, Any]) -> None:
    assert len(_problems(_set(config, f"{GLOFND}/alpha", 2))) == 1


def test_all_mistakes_are_reported_together(config: dict[str, Any]) -> None:
    for key, value in [("sedes", 1), (f"{GLOFND}/alpha", 2), (f"{FASHION}/training/epochs", "x"), ("seeds", [4])]:
        _set(config, key, value)
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    assert len(caught.value.problems) == 4
    assert str(caught.value).startswith("error: 4 problems in the config; nothing was started\n  ")


@pytest.mark.parametrize("key", ["paths", "seeds", "datasets", "experiments"])
@pytest.mark.parametrize("value", [None, [], "x", 3])
def test_nonsense_never_ends_in_a_traceback(config: dict[str, Any], key: str, value: object) -> None:
    config[key] = value
    assert any(line.startswith(key) for line in _problems(config))


def test_nonsense_inside_an_experiment(config: dict[str, Any]) -> None:
    for key in ("encoder", "training", "views", "objectives", "detectors", "evaluations", "baselines"):
        config["experiments"]["fashion-mnist"][key] = 3
    found = _problems(config)
    assert len([line for line in found if "must be" in line]) == 7, found


def test_a_broken_value_hides_no_other_problem(config: dict[str, Any]) -> None:
    _set(config, f"{FASHION}/views/crop_scale", [1])
    assert len(_problems(_set(config, "tuning_seeds", [3]))) == 2


def test_defaults_are_filled_in(config: dict[str, Any]) -> None:
    config["experiments"]["fashion-mnist"].pop("training")
    resolved = resolve(config)
    experiment = resolved["experiments"]["fashion-mnist"]
    assert experiment["training"]["optimizer"] == "adamw"
    assert experiment["detectors"]["none"] == {"method": "none"}
    assert experiment["detectors"]["oracle"]["treatment"] == "eliminate"
    assert experiment["evaluations"]["discovery"][0]["dataset"] == "fashion-mnist"
    assert experiment["evaluations"]["transfer"][0]["train"] == "train"
    assert resolved["datasets"]["digits"]["dataset"] == "digits"
    assert resolved["resources"]["evaluate"]["threads"] == 1
    assert resolve(resolved) == resolved


def test_the_papers_protocol_is_an_evaluation_of_its_own(config: dict[str, Any]) -> None:
    evaluations = config["experiments"]["fashion-mnist"]["evaluations"]
    evaluations["linear"] = [
        {"dataset": "fashion-mnist", "protocol": "validated"},
        {"dataset": "fashion-mnist", "protocol": "paper", "fractions": [0.1]},
    ]
    evaluations["transfer"] = [{"dataset": "digits", "protocol": "paper"}]
    found = resolve(config)["experiments"]["fashion-mnist"]["evaluations"]
    assert [task["dataset"] for task in found["linear"]] == ["fashion-mnist"]
    assert (found["linear-paper"][0]["fractions"], found["linear-paper"][0]["epochs"]) == ([0.1], None)
    assert "transfer" not in found and found["transfer-paper"][0]["dataset"] == "digits"
    assert not any("protocol" in task for tasks in found.values() for task in tasks)


def test_baselines_are_held_against_the_alpha_of_the_detectors(config: dict[str, Any]) -> None:
    def alpha() -> object:
        return resolve(config)["experiments"]["fashion-mnist"]["evaluations"]["discovery"][0]["alpha"]

    detectors = config["experiments"]["fashion-mnist"]["detectors"]
    detectors["batch-quantile"]["alpha"] = 0.3
    assert alpha() == 0.1, "GloFND's goes before the others'"
    del detectors["glofnd"]
    assert alpha() == 0.3
    del detectors["batch-quantile"]
    assert alpha() is None
    config["experiments"]["fashion-mnist"]["evaluations"]["discovery"] = [{"alpha": 0.2}]
    assert alpha() == 0.2


def test_labels_default_to_what_the_data_set_has(config: dict[str, Any]) -> None:
    config["experiments"]["emoji"].pop("label")
    config["experiments"]["emoji"]["evaluations"]["zero-shot"] = [{"dataset": "emoji", "split": "test-vendor"}]
    emoji = resolve(config)["experiments"]["emoji"]
    assert emoji["label"] == "concept"
    assert emoji["evaluations"]["zero-shot"][0]["label"] == "concept"


def test_false_switches_an_entry_off(config: dict[str, Any]) -> None:
    config["experiments"]["emoji"] = False
    config["experiments"]["fashion-mnist"]["detectors"]["oracle"] = False
    config["experiments"]["fashion-mnist"]["evaluations"]["transfer"] = False
    resolved = resolve(config)
    assert list(resolved["experiments"]) == ["fashion-mnist"]
    assert list(resolved["experiments"]["fashion-mnist"]["detectors"]) == ["none", "batch-quantile", "glofnd"]
    assert "transfer" not in resolved["experiments"]["fashion-mnist"]["evaluations"]


def test_texts_of_the_command_line_are_read_as_what_the_schema_wants(config: dict[str, Any]) -> None:
    """`snakemake --config seeds=[4,5]` hands everything inside brackets over as text."""
    config["seeds"] = ["4", "5"]
    config["experiments"]["emoji"] = "false"
    fashion = config["experiments"]["fashion-mnist"]
    fashion["training"] |= {"epochs": "30", "lr": "1e-2"}
    fashion["detectors"]["glofnd"]["clip"] = "null"
    fashion["detectors"]["glofnd"]["normalize_gradient"] = "false"
    fashion["evaluations"]["linear"][0]["fractions"] = ["1", "0.5"]
    resolved = resolve(config)
    fashion = resolved["experiments"]["fashion-mnist"]
    assert resolved["seeds"] == [4, 5] and list(resolved["experiments"]) == ["fashion-mnist"]
    assert fashion["training"]["epochs"] == 30
    assert fashion["detectors"]["glofnd"]["normalize_gradient"] is False
    assert fashion["training"]["lr"] == 0.01 and fashion["detectors"]["glofnd"]["clip"] is None
    assert fashion["evaluations"]["linear"][0]["fractions"] == [1, 0.5]


def test_one_method_under_two_labels(config: dict[str, Any]) -> None:
    _set(config, f"{FASHION}/detectors/glofnd-adam", {"method": "glofnd", "learner": "adam"})
    detectors = resolve(config)["experiments"]["fashion-mnist"]["detectors"]
    assert detectors["glofnd-adam"]["method"] == detectors["glofnd"]["method"] == "glofnd"
    assert detectors["glofnd-adam"]["learner"] == "adam"


def test_one_seed_is_enough_without_significance(config: dict[str, Any]) -> None:
    config |= {"seeds": [1], "significance": None}
    assert resolve(config)["significance"] is None


def test_the_given_config_is_left_as_it_was(config: dict[str, Any]) -> None:
    config["experiments"]["emoji"] = False
    resolve(config)
    assert config["experiments"]["emoji"] is False


def test_checking_takes_no_time(config: dict[str, Any]) -> None:
    start = time.perf_counter()
    resolve(config)
    assert time.perf_counter() - start < 1
