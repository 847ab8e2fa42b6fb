import torch

from glofnd.pretraining.lars import LARS


def test_two_steps_equal_a_plain_reference():
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(3, 4, generator=generator, dtype=torch.float64)
    bias = torch.randn(4, generator=generator, dtype=torch.float64)
    gradients = [
        (torch.randn(3, 4, generator=generator, dtype=torch.float64), torch.randn(4, generator=generator).double())
        for _ in range(2)
    ]
    parameters = [torch.nn.Parameter(weight.clone()), torch.nn.Parameter(bias.clone())]
    optimiser = LARS(parameters, lr=0.5, momentum=0.9, weight_decay=0.01, trust=0.001)

    velocity = [torch.zeros_like(weight), torch.zeros_like(bias)]
    for gradient_of_weight, gradient_of_bias in gradients:
        parameters[0].grad, parameters[1].grad = gradient_of_weight.clone(), gradient_of_bias.clone()
        optimiser.step()
        decayed = gradient_of_weight + 0.01 * weight
        velocity[0] = 0.9 * velocity[0] + 0.001 * weight.norm() / decayed.norm() * decayed
        velocity[1] = 0.9 * velocity[1] + gradient_of_bias
        weight, bias = weight - 0.5 * velocity[0], bias - 0.5 * velocity[1]

    torch.testing.assert_close(parameters[0].detach(), weight)
    torch.testing.assert_close(parameters[1].detach(), bias)


def test_zero_weight_still_moves():
    parameter = torch.nn.Parameter(torch.zeros(2, 2))
    optimiser = LARS([parameter], lr=1.0, momentum=0.0)
    parameter.grad = torch.ones(2, 2)
    optimiser.step()
    assert torch.equal(parameter.detach(), -torch.ones(2, 2))
