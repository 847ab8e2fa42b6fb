"""Closed-form gradients against finite differences."""

import pytest
import torch

from glofnd import CLIP, FastCLIPv1, ISogCLR, SimCLR, SogCLR, registry
from glofnd.detectors import build_detector

SIZE, DIM = 5, 3


def embeddings():
    generator = torch.Generator().manual_seed(3)
    return [torch.randn(SIZE, DIM, generator=generator, dtype=torch.float64).requires_grad_() for _ in range(2)]


def trained(kind, detector, treatment):
    """An objective whose detector has learned something, in eval mode so that a call is a pure function."""
    parameters = {} if detector == "none" else {"treatment": treatment}
    if "alpha" in registry.DETECTORS[detector].parameters:
        parameters["alpha"] = 0.3
    if detector in ("glofnd", "global-threshold"):
        parameters |= {"learner": "adam", "init": "quantile"}
    objective = kind(SIZE, temperature=0.4, detector=build_detector(detector, SIZE, **parameters)).double()
    objective(*embeddings(), torch.arange(SIZE), epoch=0, labels=torch.arange(SIZE) % 3)
    return objective.eval()


@pytest.mark.parametrize("treatment", ["eliminate", "attract"])
@pytest.mark.parametrize("detector", registry.DETECTORS)
@pytest.mark.parametrize("kind", [SimCLR, CLIP])
def test_gradcheck_of_the_cross_entropies(kind, detector, treatment):
    objective = trained(kind, detector, treatment)

    def loss(z1, z2, *parameters):
        return objective(z1, z2, torch.arange(SIZE), epoch=1, labels=torch.arange(SIZE) % 3)

    assert torch.autograd.gradcheck(loss, (*embeddings(), *objective.parameters()))


@pytest.mark.parametrize("kind", [SogCLR, ISogCLR, FastCLIPv1])
def test_gradient_with_full_weight_on_the_batch_is_that_of_the_global_loss(kind):
    """With gamma 1, u is the batch's own mean, and the gradient is that of tau log(mean exp((s - p) / tau))."""
    z1, z2 = embeddings()
    if kind is FastCLIPv1:
        objective, tau, factor = FastCLIPv1(SIZE, temperature=0.4, gamma_end=1.0).double(), 0.4, 1 / 0.4
    else:
        objective, tau, factor = kind(SIZE, temperature=0.4, gamma=1.0).double(), 0.4, 1.0
        if kind is ISogCLR:
            tau = float(objective.temperatures[0])

    def global_loss(z1, z2):
        a, b = (torch.nn.functional.normalize(z, dim=1) for z in (z1, z2))
        total = 0.0
        for i in range(SIZE):
            rest = [j for j in range(SIZE) if j != i]
            for own, other in ((a, b), (b, a)):
                columns = other[rest] if kind is FastCLIPv1 else torch.cat([other[rest], own[rest]])
                total = total + tau * ((columns @ own[i] - a[i] @ b[i]) / tau).exp().mean().log()
        return factor * total / SIZE

    got = torch.autograd.grad(objective(z1, z2, torch.arange(SIZE), epoch=0), [z1, z2])
    for gradient, z in zip(got, (z1, z2), strict=True):
        numeric = torch.zeros_like(z)
        for position in range(z.numel()):
            shift = torch.zeros_like(z).view(-1)
            shift[position] = 1e-6
            values = []
            for sign in (1, -1):
                moved = [x + sign * shift.view_as(x) if x is z else x for x in (z1, z2)]
                values.append(global_loss(*[x.detach() for x in moved]))
            numeric.view(-1)[position] = (values[0] - values[1]) / 2e-6
        torch.testing.assert_close(gradient, numeric, rtol=1e-6, atol=1e-8)


def test_upstream_gradient_scales():
    z = embeddings()
    one = torch.autograd.grad(SogCLR(SIZE)(*z, torch.arange(SIZE), epoch=0), z)
    three = torch.autograd.grad(3 * SogCLR(SIZE)(*z, torch.arange(SIZE), epoch=0), z)
    assert all(torch.allclose(3 * a, b) for a, b in zip(one, three, strict=True))
