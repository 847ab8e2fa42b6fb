"""An exported encoder gives the same features where the lines of its card load it."""

import json
import re

import pytest
import torch

from glofnd import checkpoint
from glofnd.encoders import build_model
from glofnd.export import export
from glofnd.files import write_json
from tests.glofnd.pretraining.tiny_run import make_config

VIT = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}


@pytest.mark.parametrize(
    ("encoder", "library"),
    [
        ({"name": "resnet18", "stem": "imagenet"}, "torchvision"),
        ({"name": "resnet10", "stem": "small"}, "torchvision"),
        ({"name": "resnet10", "stem": "strided"}, "torchvision"),
        ({"name": "resnet10", "stem": "pooled", "width": 4}, "glofnd"),
        ({"name": "torchvision", "model": "mobilenet_v3_small", "options": None}, "torchvision"),
        ({"name": "timm", "model": "vit_tiny_patch16_224", "options": VIT}, "timm"),
        ({"name": "open-clip", "model": "glofnd-test"}, "open_clip"),
    ],
)
def test_it_is_loaded_elsewhere_with_the_same_features(tmp_path, encoder, library):
    config = make_config("simclr") | {"encoder": {"width": 64, **encoder} if "resnet" in encoder["name"] else encoder}
    model = build_model(config)
    with torch.no_grad():
        for name, value in model.named_buffers():
            if "running" in name:
                value.uniform_(0.5, 1)
    state = {"format": checkpoint.FORMAT, "config": json.dumps(config), "epoch": 3, "step": 9}
    state |= {"model": model.state_dict(), "objective": {}, "optimizer": {}, "history": []}
    run, out = tmp_path / "run", tmp_path / "out"
    run.mkdir()
    checkpoint.write(run / "checkpoint.pt", {**state, "provenance": {"inputs": {"shards": "5ba1d"}}})
    metric = {"dataset": "tiny", "split": "test", "metric": "top1", "fraction": 0.1, "value": 0.875, "primary": True}
    (run / "linear").mkdir()
    write_json(run / "linear/metrics.json", {"evaluation": "linear", "metrics": [metric]})
    assert export(run / "checkpoint.pt", out) == library

    card = (out / "README.md").read_text(encoding="utf-8")
    assert "| linear | tiny/test | top1 | 10 % of the labels | 0.8750 |" in card and "5ba1d" in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.S)
    names = {}
    exec(code.replace("FOLDER", str(out)), names)
    found, prepared = names["model"], model.eval().prepare(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    with torch.inference_mode():
        features = (found.encode_image if library == "open_clip" else found)(prepared)
        torch.testing.assert_close(features, model.features(prepared), atol=1e-5, rtol=1e-4)
