import numpy as np
import pytest
import torch

import evaluation.run
from evaluation import EVALUATIONS, evaluate
from glofnd.checkpoint import config_of, read
from glofnd.data.stream import ShardStream
from glofnd.encoders import build_model, load_model
from glofnd.files import read_json
from tests.evaluation.tiny_shards import baseline_config

pytestmark = pytest.mark.slow

TASKS = {
    "linear": [{"dataset": "tiny", "fractions": [1, 0.5], "draws": [1, 2]}],
    "transfer": [{"dataset": "tiny"}],
    "transfer-paper": [{"dataset": "tiny"}],
    "linear-paper": [{"dataset": "tiny", "fractions": [1], "epochs": [2]}],
    "fine-tuning": [{"dataset": "tiny", "fractions": [1], "epochs": [2], "learning_rates": [0.001]}],
    "discovery": [{"dataset": "tiny"}],
    "zero-shot": [{"dataset": "tiny"}],
    "retrieval": [{"dataset": "tiny"}],
}
UNIMODAL = ["linear", "discovery"]


def chosen(*names):
    return {name: TASKS[name] for name in names}


def stamps(out):
    return {path.relative_to(out).as_posix(): path.stat().st_mtime_ns for path in out.rglob("*.*")}


def test_every_evaluation_of_a_bimodal_run_in_one_call(trained, shards, tmp_path):
    path = trained("fastclip-v1", "glofnd", "bimodal", alpha=0.2)
    evaluate(config_of(read(path)), TASKS, path, shards, tmp_path)
    assert TASKS.keys() == EVALUATIONS.keys()
    for name in TASKS:
        found = read_json(tmp_path / name / "metrics.json")
        assert (found["run"]["id"], found["evaluation"]) == ("tiny/fastclip-v1/glofnd/seed1", name)
        assert any(metric["primary"] for metric in found["metrics"])
        assert {"checkpoint", "tiny/test" if name != "discovery" else "tiny/train"} <= found["provenance"][
            "inputs"
        ].keys()
        keys = [(m["dataset"], m["split"], m["metric"], m["fraction"]) for m in found["metrics"]]
        assert len(keys) == len(set(keys))
    before = stamps(tmp_path)
    evaluate(config_of(read(path)), TASKS, path, shards, tmp_path)
    assert stamps(tmp_path) == before, "what is whole is not made again"


def test_other_prompts_are_evaluated_anew(trained, shards, tmp_path, monkeypatch):
    path = trained("fastclip-v1", "glofnd", "bimodal", alpha=0.2)
    tasks = chosen("zero-shot", "retrieval")
    evaluate(config_of(read(path)), tasks, path, shards, tmp_path)
    before = stamps(tmp_path)
    monkeypatch.setattr(EVALUATIONS["zero-shot"].task, "files", lambda task: {"plain.txt": "edited"})
    evaluate(config_of(read(path)), tasks, path, shards, tmp_path)
    after = stamps(tmp_path)
    assert {name.split("/")[0] for name in before if before[name] != after[name]} == {"zero-shot"}


def test_features_equal_the_models_and_are_extracted_once(trained, shards, tmp_path, monkeypatch):
    path = trained("sogclr", "none")
    config = config_of(read(path))
    evaluate(config, chosen("linear"), path, shards, tmp_path)
    with np.load(tmp_path / "features/tiny.test.npz") as file, torch.inference_mode():
        model = load_model(path)
        images = next(ShardStream(shards / "tiny" / "test", batch_size=1, seed=0).in_order(12)).images
        np.testing.assert_allclose(file["features"], model.features(model.prepare(images)).numpy(), atol=1e-5)
    monkeypatch.setattr("evaluation.features._extract", lambda *_: pytest.fail("extracted twice"))
    evaluate(config, chosen("linear", "transfer"), path, shards, tmp_path)
    assert (tmp_path / "transfer/metrics.json").is_file()


def test_damaged_features_and_results_are_made_again(trained, shards, tmp_path):
    path = trained("sogclr", "none")
    config = config_of(read(path))
    evaluate(config, chosen("linear"), path, shards, tmp_path)
    metrics = read_json(tmp_path / "linear/metrics.json")["metrics"]
    for name in ("features/tiny.train.npz", "linear/predictions.npz"):
        content = bytearray((tmp_path / name).read_bytes())
        content[len(content) // 2] ^= 1
        (tmp_path / name).write_bytes(content)
    evaluate(config, chosen("linear"), path, shards, tmp_path)
    assert read_json(tmp_path / "linear/metrics.json")["metrics"] == metrics


@pytest.mark.parametrize("change", ["task", "config", "checkpoint"])
def test_another_task_config_or_checkpoint_makes_it_again(trained, shards, tmp_path, change):
    path = trained("sogclr", "none")
    config, tasks = config_of(read(path)), chosen("linear")
    evaluate(config, tasks, path, shards, tmp_path)
    before = stamps(tmp_path)["linear/metrics.json"]
    if change == "task":
        tasks = {"linear": [{"dataset": "tiny", "fractions": [0.5], "draws": [1]}]}
    elif change == "config":
        config = {**config, "seed": 7}
    else:
        path = trained("sogclr", "glofnd", alpha=0.2)
    evaluate(config, tasks, path, shards, tmp_path)
    assert stamps(tmp_path)["linear/metrics.json"] != before


def test_one_that_fails_leaves_the_others_and_is_raised(trained, shards, tmp_path):
    path = trained("sogclr", "none")
    tasks = {"linear": [{"dataset": "tiny", "label": "colour"}], "transfer": TASKS["transfer"]}
    with pytest.raises(ValueError, match="no label field 'colour'"):
        evaluate(config_of(read(path)), tasks, path, shards, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*/metrics.json")) == ["metrics.json"]
    assert (tmp_path / "transfer/metrics.json").is_file()


def test_an_interrupted_evaluation_goes_on_with_the_next_fit(trained, shards, tmp_path, monkeypatch):
    path = trained("sogclr", "none")
    tasks = {"fine-tuning": [{**TASKS["fine-tuning"][0], "fractions": [1, 0.5], "epochs": [2, 2], "draws": [1, 1]}]}
    config, plain, fits = config_of(read(path)), evaluation.probing.fine_tuning.fine_tune, []

    def interrupted(*arguments):
        fits.append(len(arguments[3]))
        if len(fits) == 2:
            raise KeyboardInterrupt
        return plain(*arguments)

    monkeypatch.setattr("evaluation.probing.fine_tuning.fine_tune", interrupted)
    with pytest.raises(KeyboardInterrupt):
        evaluate(config, tasks, path, shards, tmp_path / "a")
    evaluate(config, tasks, path, shards, tmp_path / "a")
    assert fits == [28, 16, 16], "the first fit is not done again"
    assert not list((tmp_path / "a").rglob("resume*"))
    evaluate(config, tasks, path, shards, tmp_path / "b")
    one, other = (read_json(tmp_path / name / "fine-tuning/metrics.json")["metrics"] for name in "ab")
    assert one == other


@pytest.mark.parametrize("name", ["raw-pixels", "random-init"])
def test_baselines(shards, tmp_path, name):
    evaluate(baseline_config(name), chosen(*UNIMODAL), None, shards, tmp_path)
    found = {key: read_json(tmp_path / key / "metrics.json") for key in UNIMODAL}
    assert found["linear"]["run"]["kind"] == "baseline"
    with np.load(tmp_path / "features/tiny.test.npz") as file:
        assert file["features"].shape == (12, 3 * 16 * 16 if name == "raw-pixels" else 32)
    scores = {m["metric"]: m["value"] for m in found["discovery"]["metrics"]}
    assert scores["dropped_share"] == pytest.approx(scores["base_rate"], abs=0.06)
    assert "threshold_error" not in scores


@pytest.mark.parametrize(("modality", "names"), [("unimodal", UNIMODAL), ("bimodal", ["linear", "zero-shot"])])
def test_a_model_from_elsewhere(shards, tmp_path, modality, names):
    """An open_clip model whose weights lie in a file."""
    config, weights = baseline_config("clip", modality=modality), tmp_path / "clip.pt"
    config["model"] = {"model": "open_clip/glofnd-test", "weights": str(weights)}
    for seed in (1, 2):
        clip = build_model({"seed": seed, "encoder": {"name": "open-clip", "model": "glofnd-test"}})
        torch.save(clip.tower.state_dict(), weights)
        evaluate(config, chosen(*names), None, shards, tmp_path / "run")
        found = {name: read_json(tmp_path / "run" / name / "metrics.json") for name in names}
        assert found["linear"]["run"]["kind"] == "baseline"
        with np.load(tmp_path / "run/features/tiny.test.npz") as file, torch.inference_mode():
            images = next(ShardStream(shards / "tiny" / "test", batch_size=1, seed=0).in_order(12)).images
            expected = clip.eval().features(clip.prepare(images))
            np.testing.assert_allclose(file["features"], expected.numpy(), atol=1e-5)


def test_what_cannot_be_evaluated_is_refused(shards, tmp_path):
    with pytest.raises(ValueError, match="unknown evaluations probe"):
        evaluate(baseline_config("random-init"), {"probe": []}, None, shards, tmp_path)
    with pytest.raises(ValueError, match="has no checkpoint"):
        evaluate(baseline_config("none"), chosen("linear"), None, shards, tmp_path)
    with pytest.raises(ValueError, match="has no encoder"):
        evaluate(baseline_config("raw-pixels"), chosen("linear-paper"), None, shards, tmp_path)
