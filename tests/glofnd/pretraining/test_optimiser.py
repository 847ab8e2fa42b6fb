import math

import pytest
import torch

from glofnd.pretraining.optimiser import LARS, rate


def test_rate_warms_up_linearly_and_falls_as_a_cosine():
    assert [rate(step, 100, 4) for step in range(4)] == pytest.approx([0.25, 0.5, 0.75, 1.0])
    assert rate(10, 110, 10) == rate(0, 10, 0) == 1.0
    assert rate(60, 110, 10) == pytest.approx(0.5)
    assert rate(109, 110, 10) == pytest.approx(0.5 * (1 + math.cos(math.pi * 0.99)))


def test_two_steps_of_lars_equal_a_plain_reference():
    generator = torch.Generator().manual_seed(0)
    shapes = [(3, 4), (4,)]
    weight, bias = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    parameters = [torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())]
    optimiser = LARS(parameters, lr=0.5, momentum=0.9, weight_decay=0.01, trust=0.001)
    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for _ in range(2):
        gradients = [torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes]
        for parameter, gradient in zip(parameters, gradients, strict=True):
            parameter.grad = gradient.clone()
        optimiser.step()
        decayed = gradients[0] + 0.01 * weight
        velocity[0] = 0.9 * velocity[0] + 0.001 * weight.norm() / decayed.norm() * decayed
        velocity[1] = 0.9 * velocity[1] + gradients[1]
        weight, bias = weight - 0.5 * velocity[0], bias - 0.5 * velocity[1]
    torch.testing.assert_close(parameters[0].detach(), weight)
    torch.testing.assert_close(parameters[1].detach(), bias)


def test_a_weight_of_zero_still_moves():
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    parameter.grad = torch.ones(2, 2)
    LARS([parameter], lr=1.0, momentum=0.0).step()
    assert torch.equal(parameter.detach(), -torch.ones(2, 2))
