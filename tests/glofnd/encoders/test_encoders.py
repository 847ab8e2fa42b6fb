import pytest
import torch

from glofnd.encoders import build_model


def run_config(name, seed=1, **parameters):
    return {"seed": seed, "encoder": {"name": name, **parameters}}


SMALL = {"width": 4, "projector_hidden": 8, "projector_dim": 6}


@pytest.mark.parametrize("stem", ["imagenet", "small", "strided", "pooled"])
@pytest.mark.parametrize(("name", "features"), [("resnet10", 32), ("resnet18", 32), ("resnet50", 128)])
def test_shapes(name, features, stem):
    model = build_model(run_config(name, stem=stem, **SMALL))
    pictures = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    prepared = model.prepare(pictures)
    assert model.features(prepared).shape == (4, features)
    assert model.project(prepared).shape == (4, 6)


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_forward_equals_torchvisions_with_the_same_weights(name):
    from torchvision import models

    theirs = getattr(models, name)().double().eval()
    theirs.fc = torch.nn.Identity()
    ours = build_model(run_config(name)).backbone.double().eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    pictures = torch.randn(2, 3, 64, 64, dtype=torch.float64)
    torch.testing.assert_close(ours(pictures), theirs(pictures))


def test_seed_sets_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (build_model(run_config("resnet18", seed=s, **SMALL)) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_open_clip_towers_share_a_space_and_ignore_their_own_temperature():
    model = build_model(run_config("open-clip", model="glofnd-test"))
    pictures = model.prepare(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert model.project(pictures).shape == model.embed_text(["a cat", "a dog"]).shape == (2, 16)
    assert not model.clip.logit_scale.requires_grad
    long = model.embed_text(["word " * 500])
    assert torch.isfinite(long).all()
