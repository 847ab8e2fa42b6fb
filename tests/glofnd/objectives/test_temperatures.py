"""Learned temperatures, their optimiser groups, and FastCLIP's schedule."""

import math

import pytest
import torch

from glofnd import CLIP, FastCLIPv1, FastCLIPv3, SimCLR
from glofnd.objectives import build_objective
from tests.glofnd.objectives.common import CONTRASTIVE, SAMPLES, draw


def step(objective, seed=0):
    z, index = draw(seed=seed)
    optimizer = torch.optim.SGD([{"params": z}, *objective.parameter_groups()], lr=1e-3)
    objective(*z, index, epoch=1).backward()
    optimizer.step()


def test_groups():
    assert SimCLR(5).parameter_groups() == FastCLIPv1(5).parameter_groups() == []
    (clip,), (v3,) = CLIP(5).parameter_groups(), FastCLIPv3(5).parameter_groups()
    assert clip["scheduled"] and clip["weight_decay"] == 0 and "lr" not in clip
    assert not v3["scheduled"] and v3["weight_decay"] == 0 and v3["lr"] == 2e-4


def test_one_spelling_for_temperature_and_u():
    for name in CONTRASTIVE:
        objective = build_objective(name, SAMPLES, temperature=0.25)
        objective(*draw(dtype=torch.float32)[0], range(6), epoch=0)
        assert objective.temperature.keys() == objective.detectors.keys()
        for value in objective.temperature.values():
            assert value.shape in {(), (SAMPLES,)} and value.flatten()[-1].item() == pytest.approx(0.25)
        for u in objective.u.values():
            assert (u[:6] > 0).all() and (u[6:] == 0).all()


def test_the_scale_of_clip_is_held_at_100():
    objective = CLIP(SAMPLES).double()
    objective.logit_scale.data.fill_(7.0)
    objective.after_step()
    assert objective.temperature["image"].item() == pytest.approx(0.01)


@pytest.mark.parametrize(("temperature", "factor"), [(0.07, 1.0), (0.031, 1.0), (0.03, 1 / 3), (0.02, 1 / 3)])
def test_small_temperatures_of_v3_move_at_a_third(temperature, factor):
    objective = FastCLIPv3(SAMPLES, temperature=temperature, temperature_lr=1e-5).double()
    objective.tau.data.fill_(temperature)
    step(objective)
    moved = []
    for _ in range(2):  # looking at the temperature changes nothing, and twice is as once
        assert objective.temperature["image"].requires_grad is False
        objective.after_step()
        moved.append(objective.tau.item() - temperature)
    assert moved[0] == moved[1] == pytest.approx(-factor * 1e-5 * objective.tau.grad.item(), rel=1e-6)


def test_the_temperature_of_v3_has_a_floor():
    objective = FastCLIPv3(SAMPLES, temperature=0.02, temperature_lr=1e3).double()
    step(objective)
    objective.after_step()
    assert objective.tau.item() >= 0.01 - 1e-9


def test_gamma_falls_along_a_cosine():
    objective = FastCLIPv1(5, gamma_end=0.2, gamma_epochs=18)
    assert objective.gamma(0) == 1.0 and objective.gamma(9) == pytest.approx(0.6)
    assert objective.gamma(6) == pytest.approx(0.2 + 0.4 * (1 + math.cos(math.pi / 3)))
    assert objective.gamma(18) == objective.gamma(100) == 0.2
