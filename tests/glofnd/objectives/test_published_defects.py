"""What the published code gets wrong, and must be right here."""

import math

import pytest
import torch

from glofnd import CLIP, BatchQuantile, FastCLIPv3, GloFND, ISogCLR, Oracle, SimCLR, SogCLR, registry
from glofnd.detectors import build_detector
from glofnd.objectives import build_objective

BIMODAL = [name for name, entry in registry.OBJECTIVES.items() if "bimodal" in entry.modalities]


def embeddings(size=6, dim=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, dim, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]


def cosine(z1, z2):
    return torch.nn.functional.cosine_similarity(z1, z2)


def test_sogclr_with_glofnd_runs_and_drops():
    detector = GloFND(num_samples=6, alpha=0.3, learner="adam", init="quantile", start_filter=0)
    objective = SogCLR(num_samples=6, temperature=0.1, detector=detector)
    z1, z2 = embeddings()
    objective(z1, z2, torch.arange(6), epoch=0).backward()
    assert z1.grad is not None and bool((detector.thresholds < 1).all())


@pytest.mark.parametrize("name", registry.OBJECTIVES)
def test_rows_without_negatives_leave_alignment_and_state(name):
    """Everything has one label, so the oracle drops every negative."""
    objective = build_objective(name, 6, Oracle(6)).double()
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    z1, z2 = embeddings()
    loss = objective(z1, z2, torch.arange(6), epoch=3, labels=torch.zeros(6, dtype=torch.long))
    tau = float(objective.current_temperature().detach())
    tau = {"fastclip-v2": 0.03}.get(name, tau)
    factor = {"simclr": 2 / tau, "clip": 1 / tau, "fastclip-v1": 2 / tau}.get(name, 2.0)
    expected = -factor * cosine(z1, z2).mean()
    if name == "fastclip-v3":
        expected = expected + objective.rho * tau
    torch.testing.assert_close(loss, expected, rtol=1e-6, atol=0)
    got = torch.autograd.grad(loss, [z1, z2])
    for gradient, reference in zip(got, torch.autograd.grad(expected, [z1, z2]), strict=True):
        torch.testing.assert_close(gradient, reference, rtol=1e-6, atol=1e-12)
    for key, value in objective.state_dict().items():
        assert torch.equal(value, before[key]), key


@pytest.mark.parametrize("name", registry.OBJECTIVES)
def test_one_empty_row_among_others_keeps_its_u(name):
    objective = build_objective(name, 6, BatchQuantile(6, alpha=0.2)).double()
    z1, z2 = embeddings()
    objective(z1, z2, torch.arange(6), epoch=3)
    objective.detectors["image"] = Oracle(6)
    if "text" in objective.detectors:
        objective.detectors["text"] = Oracle(6)
    before = {key: value.clone() for key, value in objective.state_dict().items()}
    z1, z2 = embeddings(3, seed=1)
    loss = objective(z1, z2, torch.tensor([0, 1, 2]), epoch=3, labels=torch.tensor([0, 0, 0]))
    assert math.isfinite(loss.item())
    assert all(torch.equal(value, before[key]) for key, value in objective.state_dict().items())


def test_first_visit_takes_the_estimate_itself_in_a_mixed_batch():
    mixed, fresh = SogCLR(num_samples=8).double(), SogCLR(num_samples=8).double()
    z1, z2 = embeddings()
    mixed(z1, z2, torch.arange(6), epoch=0)
    z1, z2 = embeddings(seed=1)
    index = torch.tensor([0, 1, 2, 3, 6, 7])
    mixed(z1, z2, index, epoch=1)
    fresh(z1, z2, index, epoch=1)
    torch.testing.assert_close(mixed.u[6:], fresh.u[6:])
    assert not torch.isclose(mixed.u[:4], fresh.u[:4]).any()


@pytest.mark.parametrize("name", BIMODAL)
@pytest.mark.parametrize("detector", registry.DETECTORS)
def test_bimodal_training_from_epoch_zero_with_a_later_start(name, detector):
    parameters = {key: 2 for key in ("start_update", "start_filter") if key in registry.DETECTORS[detector].parameters}
    objective = build_objective(name, 6, build_detector(detector, 6, **parameters))
    for epoch in range(4):
        z1, z2 = embeddings(seed=epoch)
        assert math.isfinite(objective(z1, z2, torch.arange(6), epoch=epoch, labels=torch.arange(6) % 2).item())


def test_a_detector_that_drops_nothing_has_no_precision():
    """0/0 is left to the reader of the counts: nothing dropped is reported as nothing dropped."""
    objective = SogCLR(num_samples=6, detector=GloFND(num_samples=6))
    z1, z2 = embeddings()
    seen = objective.inspect(z1, z2, torch.arange(6), epoch=0)["image"]
    assert not seen.dropped.any() and int(seen.negative.sum()) == 12 * 10


def test_parameters_of_the_user_survive_a_restored_state():
    """alpha, lr and start epochs are arguments and no state, so a checkpoint cannot bring back old ones."""
    old = SogCLR(num_samples=6, detector=GloFND(num_samples=6, alpha=0.4, lr=0.5, start_filter=9))
    new = SogCLR(num_samples=6, detector=GloFND(num_samples=6, alpha=0.2, lr=0.1, start_filter=1))
    new.load_state_dict(old.state_dict())
    detector = new.detectors["image"]
    assert (detector.alpha, detector.descent.lr, detector.start_filter) == (0.2, 0.1, 1)


def test_the_step_computes_no_quantile(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("a quantile was computed")

    monkeypatch.setattr(torch, "quantile", refuse)
    monkeypatch.setattr("glofnd.detectors.glofnd.upper_quantile", refuse)
    for learner in ("adam", "sgd"):
        objective = SogCLR(num_samples=6, detector=GloFND(num_samples=6, learner=learner))
        z1, z2 = embeddings()
        objective(z1, z2, torch.arange(6), epoch=0)


@pytest.mark.parametrize("kind", [SimCLR, SogCLR, ISogCLR, CLIP, FastCLIPv3])
def test_runs_on_the_device_of_its_inputs(kind):
    objective = kind(num_samples=6, detector=GloFND(num_samples=6))
    z1, z2 = embeddings()
    loss = objective(z1, z2, torch.arange(6), epoch=0)
    assert loss.device == z1.device
    assert all(value.device == z1.device for value in objective.state_dict().values())
