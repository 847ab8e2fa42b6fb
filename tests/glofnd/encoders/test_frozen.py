"""Encoders of other libraries give, through `frozen`, the features that they give at home."""

import sys
import types
from urllib.error import URLError

import pytest
import torch
from lightly.models import ResNetGenerator
from lightly.models.modules import SimCLRProjectionHead
from safetensors.torch import save_file
from torch import nn
from torchvision import models

from glofnd.encoders import ResNet18, build_model, load_model
from glofnd.encoders.frozen import frozen, start_from
from tests.glofnd.pretraining.tiny_run import make_config, run, write_tiny

PICTURES = torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
CIFAR = {"mean": [0.49, 0.48, 0.45], "std": [0.25, 0.24, 0.26]}
VIT = {"img_size": 32, "patch_size": 16, "embed_dim": 24, "depth": 1, "num_heads": 2}


def normalised(mean, std):
    return (PICTURES / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


@torch.inference_mode()
def assert_features(model, expected):
    torch.testing.assert_close(model.features(model.prepare(PICTURES)), expected.flatten(1), atol=1e-5, rtol=1e-4)


def lively(network):
    """Statistics and scales of batch norm that no initialisation has."""
    generator = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for value in (module.running_mean, module.running_var, module.weight.data, module.bias.data):
                value.uniform_(0.5, 1.0, generator=generator)
    return network.eval()


@pytest.fixture(scope="module")
def resnet():
    return lively(models.resnet18())


@pytest.fixture(scope="module")
def simclr(resnet, tmp_path_factory):
    """lightly's SimCLR on torchvision's ResNet-18, as its examples build it and Lightning saves it."""
    model = nn.Module()
    model.backbone = nn.Sequential(*list(resnet.children())[:-1])
    model.projection_head = SimCLRProjectionHead(512, 64, 16)
    path = tmp_path_factory.mktemp("lightly") / "last.ckpt"
    torch.save({"epoch": 3, "state_dict": model.state_dict()}, path)
    return path


def test_a_simclr_of_lightly_with_torchvisions_resnet(resnet, simclr):
    found = frozen(model="torchvision/resnet18", weights=str(simclr), prefix="backbone.", image_size=32)
    backbone = nn.Sequential(*list(resnet.children())[:-1])
    assert_features(found, backbone(normalised([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])))


def test_lightlys_own_resnet_for_small_pictures(tmp_path):
    network = lively(ResNetGenerator("resnet-18"))
    torch.save({f"online.{key}": value for key, value in network.state_dict().items()}, tmp_path / "own.pth")
    given = {"weights": str(tmp_path / "own.pth"), "prefix": "online.", "options": {"stem": "small"}, **CIFAR}
    network.linear = nn.Identity()
    assert_features(frozen(model="resnet18", **given), network(normalised(**CIFAR)))


def test_a_resnet_of_solo_learn(tmp_path):
    """Its backbone is torchvision's with another first layer, no pooling behind it and no classifier."""
    network = lively(models.resnet18())
    network.conv1, network.maxpool, network.fc = nn.Conv2d(3, 64, 3, 1, 1, bias=False), nn.Identity(), nn.Identity()
    state = {f"backbone.{key}": value for key, value in network.state_dict().items()}
    torch.save({"state_dict": state | {"projector.0.weight": torch.zeros(8, 512)}}, tmp_path / "solo.ckpt")
    given = {"weights": str(tmp_path / "solo.ckpt"), "prefix": "backbone.", **CIFAR}
    assert_features(frozen(model="resnet18", options={"stem": "small"}, **given), network(normalised(**CIFAR)))
    with pytest.raises(ValueError, match=r"conv1.weight is \[64, 3, 3, 3\], not \[64, 3, 7, 7\]"):
        frozen(model="torchvision/resnet18", **given)


def test_a_vit_of_timm_and_its_own_size(tmp_path):
    import timm

    network = timm.create_model("vit_tiny_patch16_224", num_classes=5, **VIT).eval()
    save_file(network.state_dict(), tmp_path / "vit.safetensors")
    found = frozen(model="timm/vit_tiny_patch16_224", weights=str(tmp_path / "vit.safetensors"), options=VIT)
    network.reset_classifier(0)
    assert_features(found, network(normalised([0.5] * 3, [0.5] * 3)))
    larger = PICTURES.repeat_interleave(3, 2).repeat_interleave(3, 3)
    assert found.features(found.prepare(larger)).shape == (2, 24)


def test_weights_in_the_cache_of_the_hub_and_weights_that_cannot_be_had(resnet, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", lambda *_, **__: (_ for _ in ()).throw(URLError("no route")))
    with pytest.raises(OSError, match=r"resnet18 cannot be had .*no route.*`weights`"):
        frozen(model="torchvision/resnet18")
    cache = tmp_path / "hub/checkpoints" / models.ResNet18_Weights.DEFAULT.url.rpartition("/")[2]
    cache.parent.mkdir(parents=True, exist_ok=True)
    torch.save(resnet.state_dict(), cache)
    found = frozen(model="torchvision/resnet18")
    pictures = models.ResNet18_Weights.DEFAULT.transforms(crop_size=224, resize_size=224)(PICTURES / 255)
    whole = nn.Sequential(*list(resnet.children())[:-1])(pictures)
    # Pictures are resized by another interpolation here.
    similar = torch.cosine_similarity(found.features(found.prepare(PICTURES)), whole.flatten(1))
    assert found.image_size == 224 and (similar > 0.95).all()


def test_open_clip_with_its_text_tower(tmp_path):
    ours = build_model({"seed": 3, "encoder": {"name": "open-clip", "model": "glofnd-test"}}).eval()
    torch.save(ours.clip.state_dict(), tmp_path / "clip.pt")
    found = frozen(model="open_clip/glofnd-test", weights=str(tmp_path / "clip.pt"))
    assert_features(found, ours.features(ours.prepare(PICTURES)))
    assert torch.equal(found.embed_text(["a cat"]), ours.embed_text(["a cat"]))
    with pytest.raises(ValueError, match="options: open_clip/glofnd-test takes none"):
        frozen(model="open_clip/glofnd-test", weights="clip.pt", options={"force_quick_gelu": True})
    with pytest.raises(ValueError, match=r"has the weights .*, not laion"):
        frozen(model="open_clip/ViT-B-32@laion")


def test_a_function_of_ones_own_brings_its_preprocessing(resnet, monkeypatch):
    module, network = types.ModuleType("mine"), nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 5))
    module.encoder = lambda: (network, lambda pictures: pictures[:, :, ::2, ::2] - 0.5)
    monkeypatch.setitem(sys.modules, "mine", module)
    assert_features(frozen(model="mine:encoder"), network(PICTURES[:, :, ::2, ::2] / 255 - 0.5))
    with pytest.raises(ValueError, match="mine:decoder cannot be called"):
        frozen(model="mine:decoder")


@pytest.mark.parametrize(
    ("model", "prefix", "reason"),
    [
        ("torchvision/resnet18", "", "did you mean 'backbone.'"),
        ("torchvision/resnet18", "model.", "did you mean 'backbone.'"),
        ("torchvision/resnet34", "backbone.", "lacks .* layer1.2"),
        ("torchvision/resnet50", "backbone.", "another architecture"),
        ("timm/convnext_atto", "backbone.", "no weight of timm/convnext_atto"),
        ("torchvision/resnet", "", "resnet18"),
        ("resnet18", "backbone.", "mean and std"),
        ("moco/resnet18", "", "none of timm/NAME"),
    ],
)
def test_what_does_not_fit_is_told_by_name(simclr, model, prefix, reason):
    with pytest.raises(ValueError, match=reason):
        frozen(model=model, weights=str(simclr), prefix=prefix)


def test_training_starts_from_weights_of_elsewhere_or_from_a_checkpoint(resnet, simclr, tmp_path):
    model = ResNet18()
    start_from(model, model="torchvision/resnet18", weights=str(simclr), prefix="backbone.")
    expected = nn.Sequential(*list(resnet.children())[:-1])(normalised([0.5] * 3, [0.25] * 3))
    assert_features(model.eval(), expected)
    with pytest.raises(ValueError, match=r"another architecture"):
        start_from(ResNet18(width=8), model="torchvision/resnet18", weights=str(simclr), prefix="backbone.")
    shards = write_tiny(tmp_path / "shards", 1)
    config = make_config("simclr", epochs=1, encoder="resnet18")
    first = run(config, shards, tmp_path / "first")
    start = {"init_from": {"weights": str(tmp_path / "first/checkpoint.pt")}}
    further = run({**config, **start, "seed": 2}, shards, tmp_path / "further")
    assert further["provenance"]["inputs"].keys() == {"shards", "init_from"}
    key = "backbone.stem.0.weight"
    random = build_model({**config, "seed": 2}).state_dict()[key]
    assert (further["model"][key] - first["model"][key]).norm() < 0.5 * (further["model"][key] - random).norm()
    own = frozen(weights=str(tmp_path / "further/checkpoint.pt"))
    assert_features(own, load_model(tmp_path / "further/checkpoint.pt").features(own.prepare(PICTURES)))
