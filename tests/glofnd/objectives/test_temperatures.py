"""Learned temperatures, their optimiser groups, and FastCLIP's schedule."""

import math

import pytest
import torch

from glofnd import CLIP, FastCLIPv1, FastCLIPv2, FastCLIPv3, ISogCLR, SimCLR


def step(objective, learning_rate=1e-3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = [torch.randn(6, 4, generator=generator).requires_grad_() for _ in range(2)]
    optimizer = torch.optim.SGD([{"params": z}, *objective.parameter_groups()], lr=learning_rate)
    objective(*z, torch.arange(6), epoch=1).backward()
    optimizer.step()
    objective.after_step()
    return optimizer


def test_groups():
    assert SimCLR(5).parameter_groups() == FastCLIPv1(5).parameter_groups() == []
    (clip,) = CLIP(5).parameter_groups()
    assert clip["scheduled"] and clip["weight_decay"] == 0 and "lr" not in clip
    (fastclip,) = FastCLIPv3(5).parameter_groups()
    assert not fastclip["scheduled"] and fastclip["weight_decay"] == 0 and fastclip["lr"] == 2e-4


def test_the_scale_of_clip_is_held_at_100():
    objective = CLIP(6, temperature=0.02)
    with torch.no_grad():
        objective.logit_scale.fill_(7.0)
    step(objective)
    assert objective.logit_scale.exp().item() <= 100.001


@pytest.mark.parametrize(("temperature", "factor"), [(0.07, 1.0), (0.031, 1.0), (0.03, 1 / 3), (0.02, 1 / 3)])
def test_small_temperatures_of_v3_move_at_a_third(temperature, factor):
    objective = FastCLIPv3(6, temperature=temperature, temperature_lr=1e-5).double()
    with torch.no_grad():
        objective.temperature.fill_(temperature)
    step(objective)
    moved = objective.temperature.item() - temperature
    assert moved == pytest.approx(-factor * 1e-5 * objective.temperature.grad.item(), rel=1e-6)


def test_the_temperature_of_v3_has_a_floor():
    objective = FastCLIPv3(6, temperature=0.02, temperature_lr=1e3)
    for seed in range(3):
        step(objective, seed=seed)
        assert objective.temperature.item() >= 0.01 - 1e-9


def test_gamma_falls_along_a_cosine():
    objective = FastCLIPv1(5, gamma_end=0.2, gamma_epochs=18)
    assert objective.gamma(0) == 1.0
    assert objective.gamma(9) == pytest.approx(0.6)
    assert objective.gamma(6) == pytest.approx(0.2 + 0.4 * (1 + math.cos(math.pi / 3)))
    assert objective.gamma(18) == objective.gamma(100) == 0.2


def test_individual_temperatures_stay_in_range_and_move_alone():
    objective = ISogCLR(8, temperature=0.1, temperature_lr=5.0)
    z = torch.randn(2, 6, 4, generator=torch.Generator().manual_seed(0))
    for epoch in range(4):
        objective(*z, torch.arange(6), epoch=epoch)
    assert objective.temperatures.min() >= 0.05 and objective.temperatures.max() <= 0.7
    assert (objective.temperatures[:6] != 0.1).all() and (objective.temperatures[6:] == 0.1).all()


def test_a_dense_neighbourhood_gets_a_higher_temperature():
    """Four samples near each other, and one far from all: iSogCLR keeps the neighbours of the four."""
    generator = torch.Generator().manual_seed(1)
    dense = torch.tensor([1.0, 0.0, 0.0]) + 0.1 * torch.randn(2, 4, 3, generator=generator)
    alone = torch.tensor([-1.0, 0.0, 0.0]).expand(2, 1, 3)
    z = torch.cat([dense, alone], dim=1)
    objective = ISogCLR(5, temperature=0.2, temperature_lr=0.05)
    for epoch in range(60):
        objective(*z, torch.arange(5), epoch=epoch)
    assert objective.temperatures[:4].min() > objective.temperatures[4]


@pytest.mark.parametrize(
    ("kind", "arguments"),
    [(FastCLIPv1, {"gamma_end": 0.0}), (FastCLIPv2, {"temperature": 2.0}), (FastCLIPv3, {"temperature_lr": 0.0})],
)
def test_wrong_arguments(kind, arguments):
    with pytest.raises(ValueError, match=f"{next(iter(arguments))} must be"):
        kind(5, **arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"temperature_min": 0.8}, "temperature_min < temperature_max must hold; got 0.8 and 0.7"),
        ({"temperature_min": 0.7}, "temperature_min < temperature_max must hold; got 0.7 and 0.7"),
        ({"temperature_min": 0.2}, r"temperature 0.1 lies outside \[0.2, 0.7\]"),
        ({"temperature": 0.8}, r"temperature 0.8 lies outside \[0.05, 0.7\]"),
    ],
)
def test_wrong_temperatures_of_isogclr(arguments, message):
    with pytest.raises(ValueError, match=message):
        ISogCLR(5, **arguments)
