import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from tiny_shards import baseline_config, write_split

from evaluation.__main__ import main
from evaluation.feature_store import FeatureStore
from glofnd.encoders import load_model
from glofnd.files import read_json


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["evaluation", *map(str, arguments)])
    main()


def test_bimodal_run_from_checkpoint_to_metrics(monkeypatch, trained, shards, tmp_path):
    features, task = tmp_path / "features", '{"dataset": "tiny", "split": "test"}'
    path = trained("fastclip-v1", "glofnd", "bimodal", alpha=0.2)
    splits = ("--split", "tiny/train", "--split", "tiny/test", "--zero-shot", task)
    run(monkeypatch, "features", "--checkpoint", path, "--shards", shards, *splits, "--out", features)
    for command in ("zero-shot", "retrieval"):
        run(monkeypatch, command, "--features", features, "--task", task, "--out", tmp_path / command)
    for command in ("linear", "transfer"):
        run(monkeypatch, command, "--features", features, "--task", '{"dataset": "tiny"}', "--out", tmp_path / command)
    for command in ("zero-shot", "retrieval", "linear", "transfer"):
        found = read_json(tmp_path / command / "metrics.json")
        assert found["run"]["id"] == "tiny/fastclip-v1/glofnd/seed1"
        assert found["evaluation"] == command
        assert any(metric["primary"] for metric in found["metrics"])
        assert found["provenance"]["inputs"]["checkpoint"]

    split = FeatureStore(features).split("tiny", "test")
    assert split.text_embedding.shape[0] == 8
    assert split.caption_pair.shape == (24, 2)
    retrieval = {m["metric"]: m for m in read_json(tmp_path / "retrieval" / "metrics.json")["metrics"]}
    assert retrieval["image-to-text-recall-at-1"]["candidates"] == 8
    assert retrieval["text-to-image-recall-at-1"]["candidates"] == 12
    with np.load(features / "tiny.test.prompts.npz") as prompts, torch.inference_mode():
        text = load_model(path).embed_text(["red", "green", "blue", "grey"])
        text = torch.nn.functional.normalize(text, dim=1)
        np.testing.assert_allclose(prompts["label.plain.present.embedding"], text.numpy(), atol=1e-5)


def test_features_equal_the_models(monkeypatch, trained, shards, tmp_path):
    path = trained("sogclr", "none")
    run(monkeypatch, "features", "--checkpoint", path, "--shards", shards, "--split", "tiny/test", "--out", tmp_path)
    split = FeatureStore(tmp_path).split("tiny", "test")
    from glofnd.data.stream import ShardStream

    images = next(ShardStream(shards / "tiny" / "test", batch_size=1, seed=0).in_order(12)).images
    model = load_model(path)
    with torch.inference_mode():
        np.testing.assert_allclose(split.features, model.features(model.prepare(images)).numpy(), atol=1e-5)
    assert split.labels["label"].tolist() == [i % 4 for i in range(12)]
    assert split.embedding is None


def test_baselines(monkeypatch, shards, tmp_path):
    for name in ("raw-pixels", "random-init"):
        config, out = json.dumps(baseline_config(name)), tmp_path / name
        source = ("--baseline", name, "--run-config", config)
        run(monkeypatch, "features", *source, "--shards", shards, "--split", "tiny/test", "--out", out)
    raw = FeatureStore(tmp_path / "raw-pixels")
    assert raw.split("tiny", "test").features.shape == (12, 3 * 16 * 16)
    assert raw.split("tiny", "test").features.max() <= 1
    assert raw.run["kind"] == "baseline"
    assert FeatureStore(tmp_path / "random-init").split("tiny", "test").features.shape == (12, 32)


def test_equal_pictures_have_equal_content(monkeypatch, shards, tmp_path):
    write_split(tmp_path / "copy", "test", 12, seed=1)
    contents = []
    for root in (shards, tmp_path / "copy"):
        source = ("--baseline", "raw-pixels", "--run-config", json.dumps(baseline_config("raw-pixels")))
        out = tmp_path / root.name
        run(monkeypatch, "features", *source, "--shards", root, "--split", "tiny/test", "--out", out)
        contents.append(FeatureStore(out).split("tiny", "test").content)
    np.testing.assert_array_equal(*contents)
    assert len(set(contents[0])) == 12


PICTURES = ("--shards", ".", "--task", '{"dataset": "a"}')


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["linear", "--features", "nowhere", "--task", '{"dataset": "a"}'], "nowhere/manifest.json: missing"),
        (["linear", "--features", "nowhere", "--task", '{"data": "a"}'], "unknown key 'data'"),
        (["features", "--checkpoint", "no.pt", "--shards", ".", "--split", "a/b"], "no.pt: no checkpoint there"),
        (["features", "--baseline", "raw-pixels", "--shards", ".", "--split", "a/b"], "--baseline needs --run-config"),
        (["features", "--checkpoint", "no.pt", "--shards", ".", "--split", "ab"], "must be DATASET/SPLIT"),
        (
            ["fine-tuning", "--baseline", "random-init", "--run-config", '{"run": "r"}', *PICTURES],
            "--run-config '{\"run\": \"r\"}': key 'experiment' is missing",
        ),
        (["fine-tuning", "--baseline", "random-init", "--run-config", "{", *PICTURES], "'{': not valid JSON"),
    ],
)
def test_errors_are_one_line_and_exit_2(monkeypatch, capsys, tmp_path, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, *arguments, "--out", tmp_path)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1


def test_feature_commands_start_without_torch():
    modules = "evaluation.__main__, evaluation.classification, evaluation.zero_shot, evaluation.retrieval"
    code = f"import {modules}, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
