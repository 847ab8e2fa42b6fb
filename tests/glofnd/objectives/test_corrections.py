"""Objectives that correct for false negatives, or have no negatives: limits, the clamp, precision, peers, refusals."""

import math

import pytest
import torch
from lightly.loss import BarlowTwinsLoss, VICRegLoss
from torch.nn.functional import normalize

from glofnd import DCL, HCL, SCE, BarlowTwins, GloFND, VICReg
from tests.glofnd.objectives.common import SAMPLES, draw, make


def corrected(z, tau, prior, beta):
    """The published loss row by row, twice the mean over rows, and whether each row is clamped."""
    a, b = (normalize(x, dim=1) for x in z)
    total, clamped = 0.0, []
    for own, other in ((a, b), (b, a)):
        for i in range(len(a)):
            rest = torch.arange(len(a)) != i
            s, p = torch.cat([other[rest], own[rest]]) @ own[i], own[i] @ other[i]
            weights = (beta * s / tau).exp()
            mean = (weights / weights.mean() * (s / tau).exp()).mean()
            g, low = (mean - prior * (p / tau).exp()) / (1 - prior), math.exp(-1 / tau)
            clamped.append(bool(g < low))
            g = g if g > low else torch.full_like(g, low)
            # -log of a share that rounds to 1 loses all digits.
            total = total + torch.log1p(len(s) * g / (p / tau).exp())
    return total / len(a), clamped


@pytest.mark.parametrize("tau", [0.1, 0.5])
@pytest.mark.parametrize(("prior", "beta"), [(0.02, 0.0), (0.3, 0.0), (0.3, 2.0)])
def test_rows_are_clamped_one_by_one_and_float32_is_enough(prior, beta, tau):
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 8, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, 24, 8, generator=generator, dtype=torch.float64)
    z = [(centres.repeat(4, 1) + x).requires_grad_() for x in noise]
    expected, clamped = corrected(z, tau, prior, beta)
    assert prior < 0.3 or tau > 0.1 or 0 < sum(clamped) < len(clamped)
    wanted = torch.stack(torch.autograd.grad(expected, z))
    for dtype, error in ((torch.float64, 1e-9), (torch.float32, 2e-5)):
        objective = (HCL(24, tau, prior, beta) if beta else DCL(24, tau, prior)).to(dtype)
        given = [x.detach().to(dtype).requires_grad_() for x in z]
        loss = objective(*given, torch.arange(24), epoch=0)
        torch.testing.assert_close(loss.double(), expected.detach(), rtol=error, atol=0)
        got = torch.stack(torch.autograd.grad(loss, given)).double()
        assert float((got - wanted).norm() / wanted.norm()) < error


@pytest.mark.parametrize("name", ["dcl", "hcl", "sce"])
def test_small_temperatures_overflow_nothing(name):
    """exp(1 / .005) is beyond float32; the last pair of views is equal and the first opposite."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(9, 8, generator=generator)
    y = torch.cat([-x[:1], x[1:2], torch.randn(6, 8, generator=generator), x[8:]])
    z = x.requires_grad_(), y.requires_grad_()
    options = {"temperature": 0.005} | ({"target_temperature": 0.004} if name == "sce" else {"prior": 0.1})
    loss = make(name, options=options).float()(*z, range(9), epoch=0)
    loss.backward()
    assert loss.isfinite() and all(part.grad.isfinite().all() for part in z)


PEERS = [
    (BarlowTwins, {}, BarlowTwinsLoss, {}),
    (BarlowTwins, {"off_diagonal": 0.3}, BarlowTwinsLoss, {"lambda_param": 0.3}),
    (VICReg, {}, VICRegLoss, {}),
    (
        VICReg,
        {"invariance": 2.0, "variance": 3.0, "covariance": 5.0},
        VICRegLoss,
        {"lambda_param": 2.0, "mu_param": 3.0, "nu_param": 5.0},
    ),
]


@pytest.mark.parametrize(("kind", "options", "peer", "peer_options"), PEERS)
def test_without_negatives_peers(kind, options, peer, peer_options):
    z, index = draw()
    z = [(x.detach() / 3).requires_grad_() for x in z]
    loss, expected = kind(SAMPLES, **options)(*z, index, epoch=0), peer(**peer_options)(*z)
    torch.testing.assert_close(loss, expected, rtol=1e-10, atol=0)
    torch.testing.assert_close(torch.autograd.grad(loss, z), torch.autograd.grad(expected, z), rtol=1e-8, atol=1e-10)


def test_refusals():
    for kind in (BarlowTwins, VICReg):
        with pytest.raises(ValueError, match="no negatives that a detector could drop"):
            kind(5, detector=GloFND(5))
        with pytest.raises(ValueError, match="at least two samples"):
            kind(5)(torch.ones(1, 4), torch.ones(1, 4), [0], epoch=0)
        with pytest.raises(ValueError, match="sample index 9 is out of range"):
            kind(5)(torch.ones(2, 4), torch.ones(2, 4), [0, 9], epoch=0)
    with pytest.raises(ValueError, match=r"target_temperature: 0\.1 must be below temperature, 0\.1"):
        SCE(5, target_temperature=0.1)
    for prior in (-0.1, 1.0):
        with pytest.raises(ValueError, match="prior must be >= 0 and < 1"):
            DCL(5, prior=prior)
