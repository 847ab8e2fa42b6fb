import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from glofnd.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(6, 3, 12, 10, generator=generator, dtype=torch.float64)
    pictures[4] = pictures[4, :1]  # grey
    pictures[5] = (pictures[5] > 0.5).double()  # pure colours, black and white
    return pictures


ADJUSTMENTS = [
    (adjust_brightness, reference.adjust_brightness, [0.0, 0.3, 1.0, 1.4, 2.0, 1.7]),
    (adjust_contrast, reference.adjust_contrast, [0.0, 0.3, 1.0, 1.4, 2.0, 1.7]),
    (adjust_saturation, reference.adjust_saturation, [0.0, 0.3, 1.0, 1.4, 2.0, 1.7]),
    (adjust_hue, reference.adjust_hue, [-0.5, -0.1, 0.0, 0.07, 0.5, 0.3]),
]


@pytest.mark.parametrize(("ours", "theirs", "factors"), ADJUSTMENTS)
def test_equal_to_torchvision_picture_by_picture(images, ours, theirs, factors):
    result = ours(images, torch.tensor(factors, dtype=torch.float64))
    for picture, factor, ours_one in zip(images, factors, result, strict=True):
        torch.testing.assert_close(ours_one, theirs(picture, factor), atol=1e-6, rtol=0)
