import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from glofnd.colour import (
    adjust_brightness,
    adjust_contrast,
    adjust_hue,
    adjust_saturation,
    gaussian_blur,
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


@pytest.mark.parametrize("kernel", [3, 7, 19])
def test_blur_is_torchvisions_with_reflected_borders(images, kernel):
    """Also of one picture alone, where taps that a small sigma makes nothing of are left out."""
    sigmas = [0.1, 0.5, 1.0, 1.5, 2.0, 3.0]
    result = gaussian_blur(images, torch.tensor(sigmas, dtype=torch.float64), kernel)
    for row, (picture, sigma) in enumerate(zip(images, sigmas, strict=True)):
        expected = reference.gaussian_blur(picture, [kernel, kernel], [sigma, sigma])
        torch.testing.assert_close(result[row], expected, atol=1e-7, rtol=0)
        alone = gaussian_blur(images[row : row + 1], torch.tensor([sigma], dtype=torch.float64), kernel)
        torch.testing.assert_close(alone[0], expected, atol=1e-7, rtol=0)


def test_a_blur_does_not_depend_on_the_others_even_beside_black():
    images = torch.zeros(2, 3, 64, 64)
    images[..., :30] = 1
    for sigma in (0.3, 0.9, 1.4, 1.6):
        together = gaussian_blur(images, torch.tensor([sigma, 2.0]), 23)
        assert torch.equal(together[:1], gaussian_blur(images[:1], torch.tensor([sigma]), 23))
