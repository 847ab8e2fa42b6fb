import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.v2 import functional as reference

from glofnd.crops import ATTEMPTS, crop_boxes, resample

DRAWS = 2 * ATTEMPTS + 2


@pytest.mark.parametrize(
    ("size", "scale", "ratio"),
    [((64, 64), (0.2, 1.0), (3 / 4, 4 / 3)), ((40, 90), (0.08, 1.0), (0.5, 2.0)), ((50, 50), (0.7, 1.0), (0.3, 3.0))],
)
def test_same_distribution_as_torchvision(size, scale, ratio):
    torch.manual_seed(0)
    picture = torch.empty(3, *size)
    theirs = np.array([RandomResizedCrop.get_params(picture, list(scale), list(ratio)) for _ in range(3000)])
    ours = np.stack(crop_boxes(np.random.default_rng(0).random((3000, DRAWS)), *size, scale, ratio), 1)
    for quantity in (
        lambda box: box[:, 2] * box[:, 3],
        lambda box: box[:, 3] / box[:, 2],
        lambda box: box[:, 0],
        lambda box: box[:, 1],
    ):
        assert ks_2samp(quantity(ours), quantity(theirs)).pvalue > 0.01
    assert (ours[:, :2] >= 0).all() and (ours[:, :2] + ours[:, 2:] <= size).all()
    assert (ours == np.rint(ours)).all()


@pytest.mark.parametrize(("size", "ratio"), [((20, 20), (3.0, 4.0)), ((20, 60), (0.5, 2.0)), ((60, 20), (0.5, 2.0))])
def test_the_fallback_is_torchvisions_central_crop(size, ratio):
    theirs = RandomResizedCrop.get_params(torch.empty(3, *size), [1.0, 1.0], list(ratio))
    ours = crop_boxes(np.random.default_rng(0).random((5, DRAWS)), *size, (1.0, 1.0), ratio)
    assert [tuple(int(v) for v in row) for row in np.stack(ours, 1)] == [tuple(theirs)] * 5


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [8, 16, 40, 80])
def test_resampling_is_torchvisions_antialiased_crop(channels, size):
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(5, channels, 24, 30, generator=generator)
    boxes = torch.tensor([[0, 0, 24, 30], [3, 5, 16, 16], [10, 20, 5, 7], [0, 9, 24, 3], [23, 29, 1, 1]])
    flip = torch.tensor([False, True, False, True, False])
    result = resample(images, tuple(boxes.numpy().astype(float).T), size, flip.numpy())
    for row, (picture, box) in enumerate(zip(images, boxes.tolist(), strict=True)):
        expected = reference.resized_crop(picture, *box, [size, size], antialias=True)
        expected = expected.flip(-1) if flip[row] else expected
        torch.testing.assert_close(result[row], expected, atol=4e-6, rtol=0)


@pytest.mark.parametrize("size", [9, 70])
def test_the_whole_picture_at_its_own_size_is_unchanged(size):
    images = torch.rand(3, 3, size, size)
    whole = (np.zeros(3), np.zeros(3), np.full(3, float(size)), np.full(3, float(size)))
    assert torch.equal(resample(images, whole, size, np.zeros(3, bool)), images)
