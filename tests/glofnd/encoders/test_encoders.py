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


def test_the_papers_encoder_has_torchvisions_parameters():
    from torchvision.models import resnet50

    ours = build_model(run_config("resnet50")).backbone
    theirs = resnet50()
    count = sum(p.numel() for p in theirs.parameters()) - sum(p.numel() for p in theirs.fc.parameters())
    assert sum(p.numel() for p in ours.parameters()) == count
    renamed = {
        k.replace("conv1", "stem.0", 1) if k.startswith("conv1") else k
        for k in theirs.state_dict()
        if not k.startswith(("fc", "bn1", "conv1"))
    }
    assert len(ours.state_dict()) == len(renamed) + 1 + 5


def test_forward_equals_torchvisions_with_the_same_weights():
    from torchvision.models import resnet18

    theirs = resnet18().eval()
    theirs.fc = torch.nn.Identity()
    ours = build_model(run_config("resnet18")).backbone.eval()
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    pictures = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(ours(pictures), theirs(pictures))


def test_seed_sets_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    first, again, other = (build_model(run_config("resnet18", seed=s, **SMALL)) for s in (1, 1, 2))
    assert torch.equal(torch.rand(1), expected)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), again.parameters(), strict=True))
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))


def test_prepare_refuses_floats():
    with pytest.raises(TypeError, match="uint8"):
        build_model(run_config("resnet18", **SMALL)).prepare(torch.rand(1, 3, 32, 32))


def test_open_clip_towers_share_a_space_and_ignore_their_own_temperature():
    model = build_model(run_config("open-clip", model="glofnd-test"))
    pictures = model.prepare(torch.randint(0, 256, (2, 3, 32, 32), dtype=torch.uint8))
    assert model.project(pictures).shape == model.embed_text(["a cat", "a dog"]).shape == (2, 16)
    assert not model.clip.logit_scale.requires_grad
    long = model.embed_text(["word " * 500])
    assert torch.isfinite(long).all()


def test_unknown_open_clip_model():
    with pytest.raises(ValueError, match="no-such-model"):
        build_model(run_config("open-clip", model="no-such-model"))


def test_unimodal_has_no_text():
    with pytest.raises(TypeError, match="no text tower"):
        build_model(run_config("resnet18", **SMALL)).embed_text(["a"])
