"""A config is checked as a whole: each mistake gives a line that names its key and a remedy, all of them at once."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from workflow.config import ConfigError, main, merged, read_config, resolve

ROOT = Path(__file__).parents[2]
FASHION = "experiments/fashion-mnist"
DETECTORS = f"{FASHION}/detectors"
GLOFND = f"{DETECTORS}/glofnd"
TASKS = f"{FASHION}/evaluations"


def put(config: dict[str, Any], key: str, value: object) -> dict[str, Any]:
    """Set a value at `a/b/0/c`."""
    *path, last = key.split("/")
    place: Any = config
    for part in path:
        place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
    place[int(last) if isinstance(place, list) else last] = value
    return config


@pytest.fixture
def config() -> dict[str, Any]:
    """The preset of Fashion-MNIST, with the numbers pinned that mistakes are made about."""
    loaded = read_config(ROOT / "configs/fashion-mnist.yaml")
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


def problems(config: dict[str, Any]) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        resolve(config)
    return caught.value.problems


def test_the_default_config_and_the_presets_are_valid() -> None:
    default = read_config(ROOT / "config.yaml")
    standard = resolve(default)
    assert resolve(standard) == standard, "a resolved config is a config"
    for preset in (ROOT / "configs").glob("*.yaml"):
        below = [preset.with_name("fashion-mnist.yaml")] if preset.name == "learners.yaml" else []
        resolved = resolve(merged(*below, preset), files=False)
        assert resolved["paths"]["results"] != default["paths"]["results"], preset
        # Presets may share shards, but never make different ones in one place.
        if resolved["paths"]["shards"] == standard["paths"]["shards"]:
            for name in resolved["datasets"].keys() & standard["datasets"].keys():
                assert resolved["datasets"][name] == standard["datasets"][name], (preset, name)


@pytest.mark.parametrize(
    ("key", "value", "place", "remedy"),
    [
        ("sedes", [1], "sedes", "'seeds'"),
        ("seeds", [1, 1], "seeds", "more than once"),
        ("seeds", [1], "seeds", "significance: null"),
        ("seeds", "three", "seeds", "list"),
        ("tuning_seeds", [3, 9], "tuning_seeds", "3 would be reported"),
        ("paths/results", "data/raw", "paths.results", "paths.raw"),
        ("paths/results", "out{run}", "paths.results", "braces"),
        ("datasets/fashion", {}, "datasets.fashion", "'fashion-mnist'"),
        ("datasets/digits", {"image_sise": 32}, "datasets.digits.image_sise", "'image_size'"),
        ("datasets/fashion-mnist/train_samples", 100, f"{FASHION}/training/batch_size", "100 samples"),
        ("datasets/digits", {"shards": {"tran": 3}}, "datasets.digits.shards", "it has train, test"),
        ("datasets/digits", {"shards": {"train": 0}}, "datasets.digits.shards", ">= 1"),
        ("datasets/own", {"dataset": "folder", "path": "no/where"}, "datasets.own.path", "no/where"),
        ("datasets/own", {"dataset": "stanford-cars"}, "datasets.own.path", "get cars_train"),
        ("datasets/own", {"dataset": "webdataset", "path": ".", "label_from": "jpg"}, "datasets.own.label_from", "cls"),
        (
            "datasets/fashion-mnist",
            {"dataset": "webdataset", "path": ".", "label_from": None},
            f"{DETECTORS}/oracle",
            "needs labels",
        ),
        (f"{FASHION}/modality", "bimodle", f"{FASHION}/modality", "'bimodal'"),
        (f"{FASHION}/dataset", "fashion-mnst", f"{FASHION}/dataset", "'fashion-mnist'"),
        (f"{FASHION}/label", "group", f"{FASHION}/label", "valid: label"),
        (f"{FASHION}/encoder/widht", 8, f"{FASHION}/encoder/widht", "'width'"),
        (f"{FASHION}/encoder", {"name": "open-clip"}, f"{FASHION}/encoder", "resnet18"),
        ("experiments/emoji/encoder/model", "ViT-B-32", "datasets/emoji/image_size", "224"),
        (f"{FASHION}/views/crop_scale", [0.9, 0.1], f"{FASHION}/views", "crop_scale"),
        (f"{FASHION}/training/epochs", "ten", f"{FASHION}/training/epochs", "integer"),
        (f"{FASHION}/training/warmup_epochs", 50, f"{FASHION}/training", "20"),
        (f"{FASHION}/objectives/clip", {}, f"{FASHION}/objectives/clip", "simclr"),
        (f"{FASHION}/objectives/vicreg", {}, f"{FASHION}/detectors/glofnd", "vicreg has no negatives"),
        (f"{FASHION}/objectives/sce", {"temperature": 0.04}, f"{FASHION}/objectives/sce/target_temperature", "below"),
        (f"{FASHION}/objectives/baseline", {"method": "sogclr"}, f"{FASHION}/objectives/baseline", "another label"),
        (f"{FASHION}/models/own", "timm/resnet19", f"{FASHION}/models/own/model", "resnet18"),
        (f"{FASHION}/models/own", "torchvision/squeezenet1_0", f"{FASHION}/models/own/model", "linear layer"),
        (
            f"{FASHION}/models/own",
            {"model": "open_clip/ViT-B-32", "weights": "no/where.pt"},
            f"{FASHION}/models/own/weights",
            "no/where.pt",
        ),
        (
            f"{FASHION}/encoder",
            {"name": "torchvision", "model": "resnet18@DEFAULT"},
            f"{FASHION}/encoder/model",
            "init_from",
        ),
        (
            f"{FASHION}/encoder",
            {"name": "timm", "model": "resnet18", "options": {"pretrained": True}},
            f"{FASHION}/encoder/options",
            "'pretrained'",
        ),
        (f"{FASHION}/models/own", {"weights": "no/where.pt"}, f"{FASHION}/models/own/weights", "no/where.pt"),
        (f"{FASHION}/models/own", {"model": "timm/resnet18", "prefx": "a."}, f"{FASHION}/models/own/prefx", "'prefix'"),
        (f"{FASHION}/models/oracle", "timm/resnet18", f"{FASHION}/models/oracle", "another label"),
        (f"{FASHION}/init_from", "torchvision/resnet", f"{FASHION}/init_from", "resnet18"),
        (f"{GLOFND}/alpha", 1.5, f"{GLOFND}/alpha", "< 1"),
        (f"{GLOFND}/alpha", 1e-5, f"{GLOFND}/alpha", "raise it"),
        (f"{GLOFND}/start_filter", 3, f"{GLOFND}", "start_update"),
        (f"{GLOFND}/start_filter", 20, f"{GLOFND}/start_filter", "20 epochs"),
        (f"{DETECTORS}/ifnd", {"clusters": [10, 9000]}, f"{DETECTORS}/ifnd/clusters", "9000 of 8192 samples"),
        (f"{DETECTORS}/fnc", {"top_k": None, "threshold": None}, f"{DETECTORS}/fnc/top_k", "both"),
        (f"{DETECTORS}/memory-quantile", {"candidates": 50}, f"{DETECTORS}/memory-quantile/alpha", "50 samples"),
        (f"{FASHION}/detectors/glofd", {}, f"{FASHION}/detectors/glofd", "'glofnd'"),
        (f"{FASHION}/detectors/none", False, "significance.baseline", "fashion-mnist"),
        (f"{FASHION}/detectors", {"none": {}}, f"{FASHION}/detectors", "add a detector"),
        (f"{FASHION}/detectors", {}, f"{FASHION}/detectors", "at least 1"),
        ("experiments/Bad Name", {}, "experiments/Bad Name", "pattern"),
        ("experiments/emoji/dataset", "digits", "experiments/emoji/dataset", "valid: emoji"),
        (f"{TASKS}/lineal", [{}], f"{TASKS}/lineal", "'linear'"),
        (f"{TASKS}/retrieval", [{"dataset": "emoji"}], f"{TASKS}/retrieval", "not for unimodal"),
        (f"{TASKS}/linear/0/dataset", "cifar", f"{TASKS}/linear[0]/dataset", "not in datasets"),
        (f"{TASKS}/linear/0/test", "train", f"{TASKS}/linear[0]", "test"),
        (
            f"{TASKS}/linear/0",
            {"dataset": "fashion-mnist", "train": "test", "test": "train"},
            f"{TASKS}/linear[0]/test",
            "new",
        ),
        (f"{TASKS}/linear/0/draws", [1], f"{TASKS}/linear[0]", "draws"),
        (f"{TASKS}/linear", [{"dataset": "fashion-mnist", "protocol": "papr"}], f"{TASKS}/linear[0]", "protocol"),
        (f"{TASKS}/linear", [{"dataset": "fashion-mnist"}] * 2, f"{TASKS}/linear", "another"),
        (f"{TASKS}/transfer/0", {}, f"{TASKS}/transfer[0]/dataset", "missing"),
        (f"{TASKS}/discovery", [{"dataset": "digits"}], f"{TASKS}/discovery[0]", "trained on"),
        (
            "experiments/emoji/evaluations/zero-shot/0/templates",
            "emojis",
            "experiments/emoji/evaluations/zero-shot[0]",
            "emoji",
        ),
        ("significance/primary", ["lineal"], "significance.primary[0]", "'linear'"),
        ("significance/primary", ["linear", "linear-paper"], "significance.primary", "name one"),
        ("mlflow/tracking_uri", "mlruns", "mlflow.tracking_uri", "sqlite:///"),
        ("mlflow/tracking_uri", "sqlite:///a b.db?timeoud=60", "mlflow.tracking_uri", "timeoud"),
        ("mlflow/prefix", "alice\0", "mlflow.prefix", ""),
        ("paths/results", "~nobody-of-that-name/x", "paths.results", "set HOME"),
        ("mlflow/tracking_uri", "https://me:secret@host", "mlflow.tracking_uri", "MLFLOW_TRACKING_PASSWORD"),
        ("plan/minutes", {"emojo": 3}, "plan.minutes.emojo", "'emoji'"),
        ("resources/pretrain/runtime_max", 30, "resources.pretrain.runtime_max", "less than"),
        ("resources/pretrain", {"processes": 3}, f"{FASHION}/training/batch_size", "multiple"),
    ],
)
def test_a_mistake_gives_a_line_with_its_key_and_a_remedy(
    config: dict[str, Any], key: str, value: object, place: str, remedy: str
) -> None:
    found = problems(put(config, key, value))
    place = place.replace("/", ".")
    assert any(line.startswith(place) and remedy in line for line in found), found
    assert not any("\n" in line or "Traceback" in line or "secret" in line for line in found)


def test_rivals_are_objectives_with_their_options(config: dict[str, Any]) -> None:
    experiment = config["experiments"]["fashion-mnist"]
    experiment |= {"rivals": {"vicreg": {}}, "detectors": {"none": {}}}
    assert resolve(config)["experiments"]["fashion-mnist"]["rivals"] == {
        "vicreg": {"method": "vicreg", "invariance": 25.0, "variance": 25.0, "covariance": 1.0}
    }
    experiment["rivals"] = {"sogclr": {}, "clip": {}}
    assert len(problems(config)) == 2


def test_memories_and_one_threshold_for_all(config: dict[str, Any]) -> None:
    put(config, f"{FASHION}/training/state_layout", "sharded")
    few = {"method": "memory-quantile", "candidates": 500}
    put(config, DETECTORS, {"none": {}, "ifnd": {"clusters": [8, 9]}, "memory-quantile": {}, "few": few})
    found = [line.split(": ")[0] for line in problems(config)]
    assert found == [f"{DETECTORS}.{name}".replace("/", ".") for name in ("ifnd", "memory-quantile")]
    put(config, f"{FASHION}/training/state_layout", "replicated")
    put(config, f"{DETECTORS}/memory-quantile", {"scope": "global", "alpha": 1e-5})
    assert resolve(config)["experiments"]["fashion-mnist"]["detectors"]["ifnd"]["clusters"] == [8, 9]


def test_all_mistakes_are_reported_together_and_each_once(config: dict[str, Any]) -> None:
    mistakes = {"sedes": 1, f"{GLOFND}/alpha": 2, f"{FASHION}/training/epochs": "x", f"{TASKS}/lineal": []}
    for key, value in (mistakes | {"experiments/emoji/split": "tran"}).items():
        put(config, key, value)
    assert len(problems(config)) == 5


@pytest.mark.parametrize("key", ["paths", "seeds", "datasets", "experiments", FASHION, f"{FASHION}/detectors", TASKS])
@pytest.mark.parametrize("value", [None, [], "x", 3, {"x": 3}, {3: [None]}])
def test_nonsense_never_ends_in_a_traceback(config: dict[str, Any], key: str, value: object) -> None:
    first = key.split("/")[0]
    if key == TASKS and value is None:
        return
    assert any(line.startswith(first) or "baseline" in line for line in problems(put(config, key, value)))


def test_defaults_are_filled_in(config: dict[str, Any]) -> None:
    config["experiments"]["emoji"].pop("label")
    resolved = resolve(config)
    experiment = resolved["experiments"]["fashion-mnist"]
    assert experiment["training"]["optimizer"] == "adamw" and experiment["detectors"]["none"] == {"method": "none"}
    discovery = experiment["evaluations"]["discovery"][0]
    assert (discovery["dataset"], discovery["alpha"]) == ("fashion-mnist", 0.1)
    assert experiment["evaluations"]["transfer"][0]["train"] == "train"
    assert resolved["experiments"]["emoji"]["label"] == "concept", "what the data set has"
    assert resolved["resources"]["evaluate"]["threads"] == 1


def test_tasks_take_metric_label_and_templates_of_their_data_set(config: dict[str, Any], tmp_path: Path) -> None:
    config["datasets"] |= {"pets": {"dataset": "oxford-pets", "path": str(tmp_path), "image_size": 32}}
    put(config, "experiments/emoji/evaluations", {"zero-shot": [{"dataset": "pets"}], "linear": [{"dataset": "pets"}]})
    found = resolve(config)["experiments"]["emoji"]["evaluations"]
    task = found["zero-shot"][0]
    assert (task["label"], task["metric"], task["templates"]) == ("label", "mean-per-class", "oxford-pets")
    assert found["linear"][0]["metric"] == "mean-per-class"


def test_the_papers_protocol_is_an_evaluation_of_its_own(config: dict[str, Any]) -> None:
    put(config, f"{TASKS}/linear", [{"dataset": "fashion-mnist", "protocol": "paper", "fractions": [0.1]}])
    put(config, f"{TASKS}/transfer", [{"dataset": "digits", "protocol": "validated"}])
    found = resolve(config)["experiments"]["fashion-mnist"]["evaluations"]
    assert found["linear-paper"][0]["fractions"] == [0.1] and "linear" not in found
    assert found["transfer"][0]["dataset"] == "digits" and "protocol" not in found["transfer"][0]


def test_false_switches_an_entry_off_and_the_given_config_is_left_alone(config: dict[str, Any]) -> None:
    config["experiments"]["emoji"] = False
    put(config, f"{FASHION}/detectors/oracle", "false")
    put(config, f"{TASKS}/transfer", False)
    resolved = resolve(config)
    assert list(resolved["experiments"]) == ["fashion-mnist"] and config["experiments"]["emoji"] is False
    assert list(resolved["experiments"]["fashion-mnist"]["detectors"]) == ["none", "batch-quantile", "glofnd"]
    assert "transfer" not in resolved["experiments"]["fashion-mnist"]["evaluations"]


def test_texts_of_the_command_line_become_what_is_wanted(config: dict[str, Any]) -> None:
    """`snakemake --config seeds=[4,5]` hands everything inside brackets over as text."""
    config |= {"seeds": ["4", "5"], "significance": "null"}
    put(config, f"{FASHION}/training", {"epochs": "30", "lr": "1e-2"})
    put(config, GLOFND, {"clip": "null", "normalize_gradient": "true", "start_update": "6", "start_filter": "6"})
    put(config, f"{TASKS}/linear/0/fractions", ["1", "0.5"])
    resolved = resolve(config)
    fashion = resolved["experiments"]["fashion-mnist"]
    assert resolved["seeds"] == [4, 5] and resolved["significance"] is None
    assert (fashion["training"]["epochs"], fashion["training"]["lr"]) == (30, 0.01)
    assert fashion["detectors"]["glofnd"]["clip"] is None and fashion["detectors"]["glofnd"]["normalize_gradient"]
    assert fashion["evaluations"]["linear"][0]["fractions"] == [1, 0.5]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file"),
        (b"seeds: [1\n", "line"),
        (b"seeds: [1]\nseeds: [2]\n", "line 2: the key 'seeds' stands there twice"),
        (b"\x89PNG\r\n\x1a\n\x00", "config"),
        (b"- 1\n", "not keys and values"),
        (b"", "not keys and values"),
    ],
)
def test_a_file_that_is_no_config_is_told_in_one_line(
    tmp_path: Path, content: bytes | None, why: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "my.yaml"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setattr(sys, "argv", ["workflow.config", str(path)])
    with pytest.raises(SystemExit, match="2"):
        main()
    said = capsys.readouterr().err
    assert said.startswith("error: ") and said.count("\n") == 1 and str(path) in said and why in said
