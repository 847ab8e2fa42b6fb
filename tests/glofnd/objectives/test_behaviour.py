"""What holds for every objective and detector: bad input, precision, modes, order, state."""

import math

import numpy as np
import pytest
import torch

from glofnd import CLIP, FastCLIPv3, GloFND, LocationScale, SogCLR
from glofnd.detectors import build_detector
from glofnd.objectives import OBJECTIVES, build_objective
from tests.glofnd.objectives.common import CONTRASTIVE, EVERY, SAMPLES, draw, make, same_state, snapshot

every_pair = pytest.mark.parametrize(("name", "detector"), EVERY)
every_objective = pytest.mark.parametrize("name", OBJECTIVES)


@every_pair
def test_the_order_of_the_batch_does_not_matter(name, detector):
    """Samples repeat within the batch, too."""
    results, order = [], torch.tensor([5, 2, 4, 0, 3, 1])
    for rows in (torch.arange(6), order):
        objective, loss = make(name, detector), 0.0
        for epoch in range(2):
            z, index = draw(seed=epoch, repeated=True)
            loss = loss + objective(*(x[rows] for x in z), index[rows], epoch=epoch, labels=index[rows] % 3)
        results.append((loss, torch.autograd.grad(loss, z), objective.state_dict()))
    torch.testing.assert_close(results[0], results[1], rtol=1e-8, atol=1e-11)


@every_pair
def test_evaluation_and_inspection_change_nothing(name, detector):
    objective = make(name, detector)
    z, index = draw()
    objective(*z, index, epoch=0, labels=index % 3)
    before = snapshot(objective)
    with torch.inference_mode():
        objective.eval()(*z, index, epoch=1, labels=index % 3)
    for modality, seen in objective.inspect(*z, index, index % 3, epoch=0).items():
        size = 12 if len(objective.detectors) == 1 else 6
        assert seen.similarity.shape == seen.dropped.shape == (size, size) and modality in objective.detectors
        assert torch.equal(seen.negative, seen.anchor[:, None] != seen.candidate)
        assert not (seen.dropped & ~seen.negative).any() and not seen.similarity.requires_grad
        if seen.threshold is not None:
            assert torch.equal(seen.dropped, seen.negative & (seen.similarity > seen.threshold[:, None]))
    assert same_state(objective, before)
    objective.train()(*z, index, epoch=1, labels=index % 3).backward()
    assert z[0].grad.isfinite().all()


@pytest.mark.parametrize(("name", "detector"), [pair for pair in EVERY if pair[1] != "none"])
def test_nothing_is_touched_before_the_start(name, detector):
    """So that a run branched from a trunk trained without a detector equals an unbranched one bit for bit."""
    late, plain = make(name, detector, start_update=2, start_filter=2), make(name)
    before = snapshot(late.detectors)
    for epoch in range(2):
        z, index = draw(seed=epoch)
        losses = [objective(*z, index, epoch=epoch, labels=index % 3) for objective in (late, plain)]
        gradients = [torch.autograd.grad(loss, z) for loss in losses]
        assert torch.equal(*losses) and all(torch.equal(a, b) for a, b in zip(*gradients, strict=True))
    assert same_state(late.detectors, before)


@every_objective
def test_bf16_autocast_sums_in_float32(name):
    z, index = draw(dtype=torch.bfloat16)
    losses = []
    for enabled in (True, False):
        detector = GloFND(SAMPLES, init="quantile", alpha=0.2) if name in CONTRASTIVE else None
        objective = build_objective(name, SAMPLES, detector)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            losses.append(objective(*(z if enabled else [x.float() for x in z]), index, epoch=1))
    assert losses[0].dtype == torch.float32 and torch.equal(*losses)
    losses[0].backward()
    assert z[0].grad.dtype == torch.bfloat16 and z[0].grad.isfinite().all()


def test_half_precision_gradients_are_rounded_once_after_loss_scaling():
    """Unscaled, nearly all of these gradients are below the smallest normal number of float16."""
    generator = torch.Generator().manual_seed(0)
    half = [torch.randn(256, 64, generator=generator).half().requires_grad_() for _ in range(2)]
    exact = [z.detach().float().requires_grad_() for z in half]
    for z in (half, exact):
        (SogCLR(256)(*z, torch.arange(256), epoch=0) * 2.0**17).backward()
    assert all(torch.equal(a.grad, b.grad.half()) for a, b in zip(half, exact, strict=True))


@pytest.mark.parametrize("index", [[0, 4, 2], np.array([0, 4, 2]), torch.tensor([0, 4, 2], dtype=torch.int32)])
def test_an_index_is_anything_that_holds_integers(index):
    z = torch.randn(2, 3, 4)
    torch.testing.assert_close(SogCLR(5)(*z, index, epoch=0), SogCLR(5)(*z, torch.tensor([0, 4, 2]), epoch=0))


Z, NAN = torch.ones(3, 4), torch.ones(3, 4).index_fill(0, torch.tensor(1), math.nan)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((Z, Z, [0, 1, 9]), "sample index 9 is out of range: num_samples is 5"),
        ((Z, Z, [0, -1, 2]), "sample index -1 is out of range"),
        ((Z, NAN, [0, 4, 2]), "z2 is not finite, or too large, for sample 4; no state was changed"),
        ((Z, 1e25 * Z, [3, 4, 2]), "z2 is not finite, or too large, for sample 3"),
        ((Z, torch.ones(2, 4), [0, 1, 2]), r"z1 and z2 must both be \[B, D\]"),
        ((Z, Z, [0, 1]), "index must hold 3 integers"),
        ((Z, Z, ("ant/0.png", "ant/1.png", "bee/0.png")), "index must be whole numbers .*; file names are numbered by"),
        ((Z, Z, [0.0, 1.0, 2.0]), "index must hold 3 integers"),
        ((Z.long(), Z.long(), [0, 1, 2]), "must be floating point"),
        ((torch.ones(0, 4), torch.ones(0, 4), []), "not empty"),
    ],
)
def test_bad_input_is_refused_before_any_state_changes(arguments, message):
    objective = SogCLR(5, detector=GloFND(5, init="quantile"))
    before = snapshot(objective)
    with pytest.raises(ValueError, match=message):
        objective(*arguments, epoch=0)
    assert same_state(objective, before)


@pytest.mark.parametrize(("kind", "parameter"), [(CLIP, "logit_scale"), (FastCLIPv3, "tau")])
def test_a_learned_temperature_gone_astray_spoils_no_state(kind, parameter):
    objective = kind(SAMPLES, detector=GloFND(SAMPLES, alpha=0.2)).double()
    objective.get_parameter(parameter).data.fill_(math.nan)
    before = snapshot(objective.detectors)
    z, index = draw()
    with pytest.raises(ValueError, match="temperature is nan; no state was changed"):
        objective(*z, index, epoch=0)
    assert same_state(objective.detectors, before)


def test_what_does_not_fit_together():
    with pytest.raises(ValueError, match="num_samples differs: 5 for the objective, 6 for its detector"):
        SogCLR(5, detector=GloFND(6))
    with pytest.raises(ValueError, match="epoch counts from 0"):
        SogCLR(5)(Z, Z, [0, 1, 2], epoch=-1)
    with pytest.raises(ValueError, match="temperature must be >= 1e-06"):
        SogCLR(5, temperature=0.0)
    with pytest.raises(ValueError, match="the oracle needs labels"):
        make("sogclr", "oracle")(*draw()[0], draw()[1], epoch=0)
    for build, name in ((build_detector, "glofnd"), (build_objective, "sogclr")):
        with pytest.raises(ValueError, match=r"unknown .* 'nonsense'; known: "):
            build("nonsense", 5)
        with pytest.raises(ValueError, match=f"'{name}' has no parameter beta; known: "):
            build(name, 5, beta=1)


@pytest.mark.parametrize("kind", [GloFND, LocationScale])
def test_a_threshold_of_one_drops_nothing_even_where_rounding_says_more_than_one(kind):
    """Twelve equal entries: their unit vector times itself is 1 + 2e-7 in float32."""
    z = torch.full((6, 12), 0.7)
    objective = SogCLR(6, detector=kind(6, alpha=0.2))
    assert not objective.inspect(z, z, torch.arange(6))["image"].dropped.any()
    objective(z, z, torch.arange(6), epoch=0)
    assert objective.detectors["image"].thresholds.max() <= 1


def test_a_second_derivative_is_refused():
    z, index = draw()
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(make("sogclr")(*z, index, epoch=0), z[0], create_graph=True)


def test_first_visit_takes_the_estimate_itself_in_a_mixed_batch():
    """The published code gives an unseen sample gamma times the estimate there."""
    mixed, fresh = make("sogclr"), make("sogclr")
    z, _ = draw()
    mixed(*z, range(6), epoch=0)
    index = [0, 1, 2, 3, 6, 7]
    mixed(*z, index, epoch=1)
    fresh(*z, index, epoch=1)
    torch.testing.assert_close(mixed.u["image"][6:], fresh.u["image"][6:])


# Bytes: float32 u (4), temperature and velocity (8); once per modality.
STATE = {"sogclr": 4, "isogclr": 12, "fastclip-v1": 8, "fastclip-v2": 24, "fastclip-v3": 8}
LEARNED = {"glofnd": 12, "location-scale": 16, "ifnd": 4 * (8 + 1), "memory-quantile": 4 * (8 + 1)}


@every_pair
def test_state_per_sample(name, detector):
    small, large = (build_objective(name, n, build_detector(detector, n, 8)) for n in (150, 200))
    expected = STATE.get(name, 0) + len(small.modalities) * LEARNED.get(detector, 0)
    sizes = [sum(v.numel() * v.element_size() for v in o.state_dict().values()) for o in (small, large)]
    assert small.bytes_per_sample == expected and sizes[1] - sizes[0] == 50 * expected
