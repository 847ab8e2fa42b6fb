"""Tiny batches, repeated samples, bad input, precision, modes."""

import math

import pytest
import torch

from glofnd import GloFND, KeepAll, LocationScale, SogCLR, registry
from glofnd.detectors import build_detector
from glofnd.objectives import build_objective

OBJECTIVES = list(registry.OBJECTIVES)
DETECTORS = list(registry.DETECTORS)


def embeddings(size, dim=4, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(size, dim, generator=generator).to(dtype).requires_grad_() for _ in range(2)]


def snapshot(module):
    return {key: value.clone() for key, value in module.state_dict().items()}


def same(module, before):
    return all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_one_sample_has_no_negatives(name, detector):
    objective = build_objective(name, 3, build_detector(detector, 3))
    before = snapshot(objective)
    z1, z2 = embeddings(1)
    loss = objective(z1, z2, torch.tensor([1]), epoch=0, labels=torch.tensor([0]))
    loss.backward()
    assert math.isfinite(loss.item()) and torch.isfinite(z1.grad).all()
    assert same(objective, before)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_two_samples(name, detector):
    objective = build_objective(name, 3, build_detector(detector, 3))
    z1, z2 = embeddings(2)
    loss = objective(z1, z2, torch.tensor([1, 0]), epoch=0, labels=torch.tensor([0, 1]))
    loss.backward()
    assert math.isfinite(loss.item()) and torch.isfinite(z1.grad).all()


def test_repeated_samples_do_not_depend_on_their_order():
    index = torch.tensor([4, 1, 4, 2, 4, 1])
    order = torch.tensor([5, 2, 4, 0, 3, 1])
    states = []
    for rows in (torch.arange(6), order):
        objective = SogCLR(6, detector=GloFND(6, alpha=0.3)).double()
        for epoch in range(3):
            z1, z2 = embeddings(6, seed=epoch, dtype=torch.float64)
            objective(z1[rows], z2[rows], index[rows], epoch=epoch)
        states.append(objective.state_dict())
    for key, value in states[0].items():
        torch.testing.assert_close(value, states[1][key], rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("index", "wrong"), [([0, 1, 9], 9), ([0, -1, 2], -1)])
def test_index_out_of_range(index, wrong):
    objective = SogCLR(5)
    before = snapshot(objective)
    with pytest.raises(ValueError, match=f"sample index {wrong} is out of range: num_samples is 5"):
        objective(*embeddings(3), torch.tensor(index), epoch=0)
    assert same(objective, before)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("view", [0, 1])
def test_embeddings_that_are_not_finite(value, view):
    objective = SogCLR(5, detector=GloFND(5, learner="adam", init="quantile"))
    before = snapshot(objective)
    z = embeddings(3)
    z[view].data[1, 2] = value
    with pytest.raises(ValueError, match=rf"z{view + 1} holds NaN or infinity for sample 4"):
        objective(*z, torch.tensor([0, 4, 2]), epoch=0)
    assert same(objective, before)


def test_embeddings_whose_norm_overflows():
    objective = SogCLR(5)
    before = snapshot(objective)
    z = embeddings(3)
    z[1].data[2] *= 1e25
    with pytest.raises(ValueError, match="z2 holds too large numbers for sample 2"):
        objective(*z, torch.arange(3), epoch=0)
    assert same(objective, before)


@pytest.mark.parametrize("epoch", [-1, math.nan])
def test_epochs_count_from_zero(epoch):
    with pytest.raises(ValueError, match="epoch counts from 0"):
        SogCLR(5)(*embeddings(3), torch.arange(3), epoch=epoch)


@pytest.mark.parametrize("value", [0.0, -0.1, math.nan, math.inf, 1e5])
def test_temperatures_that_make_no_sense(value):
    with pytest.raises(ValueError, match="temperature must "):
        SogCLR(5, temperature=value)


@pytest.mark.parametrize(("name", "parameter"), [("clip", "logit_scale"), ("fastclip-v3", "temperature")])
def test_a_learned_temperature_gone_astray_spoils_no_state(name, parameter):
    objective = build_objective(name, 5, GloFND(5, alpha=0.2))
    objective.get_parameter(parameter).data.fill_(math.nan)
    before = snapshot(objective)
    with pytest.raises(ValueError, match=r"temperature must lie between .* no state was changed"):
        objective(*embeddings(3), torch.arange(3), epoch=0)
    before.pop(parameter)
    assert all(torch.equal(objective.state_dict()[key], value) for key, value in before.items())


@pytest.mark.parametrize("kind", [GloFND, LocationScale])
def test_a_threshold_of_one_drops_nothing_even_where_rounding_says_more_than_one(kind):
    """Twelve equal entries: their unit vector times itself is 1 + 2e-7 in float32."""
    z = torch.full((6, 12), 0.7)
    objective = SogCLR(6, detector=kind(6, alpha=0.2)).eval()
    seen = objective.inspect(z, z, torch.arange(6))["image"]
    assert not seen.dropped.any()
    objective.train()(z, z, torch.arange(6), epoch=0)
    assert objective.detectors["image"].thresholds.max() <= 1


def test_large_finite_half_precision_embeddings_are_accepted():
    z = [torch.full((3, 8), 60000.0, dtype=torch.float16) for _ in range(2)]
    assert math.isfinite(SogCLR(5)(*z, torch.arange(3), epoch=0).item())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((torch.ones(3, 4), torch.ones(2, 4), torch.arange(3)), "must both be"),
        ((torch.ones(3), torch.ones(3), torch.arange(3)), "must both be"),
        ((torch.ones(3, 4), torch.ones(3, 4), torch.arange(2)), "index must hold 3 integers"),
        ((torch.ones(3, 4), torch.ones(3, 4), torch.ones(3)), "index must hold 3 integers"),
        ((torch.ones(3, 4).long(), torch.ones(3, 4).long(), torch.arange(3)), "must be floating point"),
        ((torch.ones(3, 4), torch.ones(3, 4), torch.ones(3).bool()), "index must hold 3 integers"),
        ((torch.ones(0, 4), torch.ones(0, 4), torch.arange(0)), "the batch is empty"),
        ((torch.ones(3, 0), torch.ones(3, 0), torch.arange(3)), "the batch is empty"),
    ],
)
def test_shapes_that_do_not_fit(arguments, message):
    with pytest.raises(ValueError, match=message):
        SogCLR(5)(*arguments, epoch=0)


def test_detector_of_another_data_set():
    with pytest.raises(ValueError, match="num_samples differs: 5 for the objective, 6 for its detector"):
        SogCLR(5, detector=GloFND(6))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_bf16_autocast_sums_in_float32(name):
    """Under autocast the result is that of float32 arithmetic on the rounded embeddings."""
    z = embeddings(8, dtype=torch.bfloat16)
    losses = []
    for enabled in (True, False):
        objective = build_objective(name, 8, GloFND(8, learner="adam", init="quantile", alpha=0.2))
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(objective(*(z if enabled else [x.float() for x in z]), torch.arange(8), epoch=1))
    assert losses[0].dtype == torch.float32
    assert torch.equal(losses[0], losses[1])
    losses[0].backward()
    assert z[0].grad.dtype == torch.bfloat16 and torch.isfinite(z[0].grad).all()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_gradients_are_rounded_once_after_loss_scaling(dtype):
    """Unscaled, nearly all of these gradients are below the smallest normal number of float16."""
    half = embeddings(256, dim=64, dtype=dtype)
    exact = [z.detach().float().requires_grad_() for z in half]
    for z in (half, exact):
        (SogCLR(256)(*z, torch.arange(256), epoch=0) * 2.0**17).backward()
    for found, expected in zip(half, exact, strict=True):
        assert torch.equal(found.grad, expected.grad.to(dtype))


@pytest.mark.parametrize("name", OBJECTIVES)
def test_evaluation_in_inference_mode_before_training(name):
    objective = build_objective(name, 8, GloFND(8, alpha=0.2))
    with torch.inference_mode():
        objective.eval()(*embeddings(8), torch.arange(8), epoch=0)
    z = embeddings(8)
    objective.train()(*z, torch.arange(8), epoch=0).backward()
    assert torch.isfinite(z[0].grad).all()


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_eval_mode_changes_no_state(name, detector):
    objective = build_objective(name, 8, build_detector(detector, 8))
    z = embeddings(8)
    objective(*z, torch.arange(8), epoch=0, labels=torch.arange(8) % 2)
    before = snapshot(objective)
    objective.eval()
    objective(*z, torch.arange(8), epoch=1, labels=torch.arange(8) % 2)
    assert same(objective, before)


@pytest.mark.parametrize("detector", DETECTORS)
@pytest.mark.parametrize("name", OBJECTIVES)
def test_inspect_changes_nothing_and_needs_no_gradient(name, detector):
    objective = build_objective(name, 8, build_detector(detector, 8))
    z, index, labels = embeddings(8), torch.arange(8), torch.arange(8) % 2
    objective(*z, index, epoch=0, labels=labels)
    before = snapshot(objective)
    for modality, seen in objective.inspect(*z, index, labels, epoch=0).items():
        size = 16 if modality == "image" and len(objective.detectors) == 1 else 8
        assert seen.similarity.shape == seen.negative.shape == seen.dropped.shape == (size, size)
        assert seen.anchor.tolist() == seen.candidate.tolist() == index.repeat(size // 8).tolist()
        assert torch.equal(seen.negative, seen.anchor[:, None] != seen.candidate)
        assert not (seen.dropped & ~seen.negative).any() and not seen.similarity.requires_grad
        if seen.threshold is not None:
            assert torch.equal(seen.dropped, seen.negative & (seen.similarity > seen.threshold[:, None]))
    assert same(objective, before)


@pytest.mark.parametrize("detector", [name for name in DETECTORS if name != "none"])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_nothing_is_touched_before_the_start(name, detector):
    """So that a run branched from a trunk trained without a detector equals an unbranched one bit for bit."""
    starts = [key for key in ("start_update", "start_filter") if key in registry.DETECTORS[detector].parameters]
    late = build_detector(detector, 8, **dict.fromkeys(starts, 2))
    with_detector, without = build_objective(name, 8, late), build_objective(name, 8, KeepAll(8))
    before = snapshot(with_detector.detectors)
    for epoch in range(2):
        gradients = []
        for objective in (with_detector, without):
            z = embeddings(6, seed=epoch)
            loss = objective(*z, torch.arange(6), epoch=epoch, labels=torch.arange(6) % 2)
            gradients.append((loss, *torch.autograd.grad(loss, z)))
        assert all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert same(with_detector.detectors, before)
    for key, value in without.state_dict().items():
        assert torch.equal(with_detector.state_dict()[key], value)


def test_a_second_derivative_is_refused():
    z1, z2 = embeddings(4)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(SogCLR(5)(z1, z2, torch.arange(4), epoch=0), z1, create_graph=True)
