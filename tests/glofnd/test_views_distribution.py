"""Distributions of the random views beside torchvision's with the same strengths, read off the pictures themselves."""

from itertools import permutations

import numpy as np
import pytest
import torch
from scipy.stats import chisquare, ks_2samp, kstest
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional as reference

from glofnd import views as module
from glofnd.views import TwoViews

STILL = {
    "crop_scale": (1.0, 1.0),
    "crop_ratio": (1.0, 1.0),
    "flip": 0.0,
    "brightness": 0.0,
    "contrast": 0.0,
    "saturation": 0.0,
    "hue": 0.0,
    "grayscale": 0.0,
}
COPIES = 4000


def many(picture, copies=COPIES, **options):
    """Both views of `copies` samples with the same picture, float [2 * copies, C, H, W]."""
    images = picture.expand(copies, *picture.shape)
    return torch.cat(TwoViews(**{**STILL, **options}, seed=3)(images, torch.arange(copies), 0))


def of_torchvision(transform, picture, copies=600):
    torch.manual_seed(0)
    return torch.stack([transform(picture) for _ in range(copies)])


def flat(*colour):
    """A picture of one colour."""
    return torch.tensor(colour, dtype=torch.uint8).view(-1, 1, 1).expand(-1, 4, 4)


def hue_of(views):
    """Of views whose hue is known to be less than half a circle away from red."""
    hue = reference._color._rgb_to_hsv(views)[:, 0, 0, 0]
    return (hue + 0.5) % 1 - 0.5


HALVES = torch.tensor([[100, 100, 140, 140]], dtype=torch.uint8).expand(3, 4, 4)
# Strength -> picture, how the factor is read off its views, range of the factors, and what means "left alone".
JITTERS = {
    "brightness": (0.4, flat(100, 100, 100), lambda v: v[:, 0, 0, 0] / (100 / 255), (0.6, 1.4), 1),
    "contrast": (0.7, HALVES, lambda v: (v[:, 0, 0, 3] - v[:, 0, 0, 0]) / (40 / 255), (0.3, 1.7), 1),
    "saturation": (1.5, flat(120, 90, 100), lambda v: (v[:, 0, 0, 0] - v[:, 1, 0, 0]) / (30 / 255), (0.0, 2.5), 1),
    "hue": (0.2, flat(200, 40, 40), hue_of, (-0.2, 0.2), 0),
}


@pytest.mark.parametrize("name", JITTERS)
def test_jitter_factors(name):
    strength, picture, read, (low, high), alone = JITTERS[name]
    found = read(many(picture, **{name: strength}, jitter_probability=0.8)).numpy()
    changed = found[np.abs(found - alone) > 1e-4]
    assert abs(len(changed) / len(found) - 0.8) < 0.02
    assert kstest(changed, "uniform", (low, high - low)).pvalue > 0.01
    assert low - 1e-5 < changed.min() < low + 0.01 and high - 0.01 < changed.max() < high + 1e-5
    jitter = v2.RandomApply([v2.ColorJitter(**{name: strength})], p=0.8)
    theirs = read(of_torchvision(v2.Compose([v2.ToDtype(torch.float32, scale=True), jitter]), picture)).numpy()
    # Rounding must not split what both leave alone.
    assert ks_2samp(found.round(4), theirs.round(4)).pvalue > 0.01


def test_adjustments_come_in_every_order_alike(monkeypatch):
    """Each adjustment appends its number, in base 5, to what it is given."""

    def appending(number):
        return lambda pictures, factor: pictures * 5 + number

    monkeypatch.setattr(module, "_ADJUST", tuple(map(appending, range(1, 5))))
    black = torch.zeros(3, 4, 4, dtype=torch.uint8)
    strengths = {"brightness": 0.4, "contrast": 0.4, "saturation": 0.2, "hue": 0.1}
    codes = many(black, 6000, **strengths, jitter_probability=0.7)[:, 0, 0, 0].round().int().tolist()
    orders = [sum(number * 5**place for place, number in enumerate(order)) for order in permutations(range(1, 5))]
    counts = [codes.count(order) for order in orders]
    assert abs(sum(counts) - 8400) < 200 and sum(counts) + codes.count(0) == 12000
    assert chisquare(counts).pvalue > 0.01


def test_chances_are_independent():
    """Flip, jitter, grayscale and blur, each at one half: all sixteen combinations are equally frequent."""
    picture = torch.empty(3, 8, 8, dtype=torch.uint8)
    picture[:, :, :4] = torch.tensor([150, 75, 75], dtype=torch.uint8).view(3, 1, 1)
    picture[:, :, 4:] = 20
    half = {"flip": 0.5, "jitter_probability": 0.5, "grayscale": 0.5, "blur_probability": 0.5}
    found = many(picture, brightness=0.4, blur_sigma=(1.0, 2.0), **half)
    left, right = found[:, 0, 0, 0], found[:, 0, 0, 7]
    flipped, dark = left < right, torch.minimum(left, right)
    jittered = (dark - 20 / 255).abs() > 1e-5
    grey = found[:, 0, 0, 0] == found[:, 1, 0, 0]
    grey &= found[:, 0, 0, 7] == found[:, 1, 0, 7]
    at_edge = torch.where(flipped, found[:, 0, 0, 3], found[:, 0, 0, 4])
    blurred = (at_edge - dark).abs() > 1e-5
    code = flipped + 2 * jittered + 4 * grey + 8 * blurred
    assert chisquare(np.bincount(code, minlength=16)).pvalue > 0.01
    first, second = code.chunk(2)
    assert chisquare(np.bincount(16 * first + second, minlength=256)).pvalue > 0.01
