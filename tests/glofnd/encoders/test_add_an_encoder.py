"""The encoder written down in docs/add-an-encoder.md, and those of timm and torchvision, train and come back."""

import re
import sys
import types
from pathlib import Path

import pytest
import torch
import yaml

from glofnd.encoders import ENCODERS, load_model
from tests.glofnd.pretraining.tiny_run import make_config, resolved, run, write_tiny
from workflow import declared

PAGE = (Path(__file__).parents[3] / "docs/add-an-encoder.md").read_text(encoding="utf-8")
VIT = {"img_size": 32, "patch_size": 8, "embed_dim": 24, "depth": 2, "num_heads": 2}
PROJECTOR = {"projector_hidden": 8, "projector_dim": 6}


@pytest.fixture
def page(monkeypatch):
    source, entry = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    module = types.ModuleType("conv_mixer")
    monkeypatch.setitem(sys.modules, "conv_mixer", module)
    exec(compile(source, "conv_mixer", "exec"), vars(module))
    monkeypatch.setitem(ENCODERS, "conv-mixer", None)
    exec(entry, {"ENCODERS": ENCODERS, "ConvMixer": module.ConvMixer})


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("conv-mixer", {"width": 8, "depth": 1}),
        ("timm", {"model": "vit_tiny_patch16_224", "options": VIT}),
        ("timm", {"model": "convnext_atto", "options": {"dims": [4, 8, 8, 8], "depths": [1] * 4, "patch_size": 2}}),
    ],
)
def test_it_trains_and_comes_back(page, tmp_path, name, options):
    shards = write_tiny(tmp_path / "shards", 1)
    config = make_config("simclr", epochs=2, training={"lr": 0.003})
    config["views"]["size"] = 32
    config["encoder"] = {"name": name, **resolved(ENCODERS[name], options | PROJECTOR)}
    state = run(config, shards, tmp_path / "run")
    assert state["history"][1]["loss"] < state["history"][0]["loss"]
    pictures = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8)
    model = load_model(tmp_path / "run/checkpoint.pt")
    with torch.inference_mode():
        assert model.project(model.prepare(pictures)).shape == (2, 6)
        if model.image_size is not None:
            larger = pictures.repeat_interleave(2, 2).repeat_interleave(2, 3)
            assert model.features(model.prepare(larger)).shape == model.features(model.prepare(pictures)).shape


@pytest.mark.parametrize("line", re.findall(r"^encoder: .*", PAGE, re.M))
def test_the_lines_of_the_page_are_sound(line):
    block = yaml.safe_load(line)["encoder"]
    sizes = [value for key, value in block["options"].items() if "size" in key] if "options" in block else [32]
    declared.encoder(size=max(sizes[0], 32), **block)


@pytest.mark.parametrize(
    ("block", "reason"),
    [
        ({"name": "timm", "model": "vit_tiny_patch16"}, "vit_tiny_patch16_224"),
        ({"name": "timm", "model": "resnet18", "options": {"width": 8}}, "width"),
        ({"name": "timm", "model": "vit_tiny_patch16_224"}, "224 pixels a side, not 32"),
        ({"name": "torchvision", "model": "resnet19"}, "resnet18"),
        ({"name": "torchvision", "model": "vit_b_16", "options": {"image_size": 30}}, "indivisible"),
    ],
)
def test_what_a_library_cannot_make_is_told_before(block, reason):
    with pytest.raises(ValueError, match=reason):
        declared.encoder(size=32, **block)
