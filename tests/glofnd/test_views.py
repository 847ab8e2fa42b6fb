from itertools import permutations

import pytest
import torch
from torchvision.transforms.v2 import functional as reference

from glofnd import views as module
from glofnd.counter_random import uniform
from glofnd.crops import crop_boxes
from glofnd.views import TwoViews


def pictures(count=12, channels=3, size=20):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, channels, size, size), generator=generator, dtype=torch.uint8)


def _plain(views, picture, draws, size):
    """One view of one picture with torchvision's functions; `draws` as TwoViews uses them."""
    box = crop_boxes(draws[None, : module._FLIP], *picture.shape[1:], views.crop_scale, views.crop_ratio)
    picture = reference.resized_crop(picture.float() / 255, *(int(v[0]) for v in box), [size, size], antialias=True)
    if draws[module._FLIP] < views.flip:
        picture = picture.flip(-1)
    if draws[module._JITTER] < views.jitter_probability:
        adjust = [reference.adjust_brightness, reference.adjust_contrast]
        adjust += [reference.adjust_saturation, reference.adjust_hue]
        orders = list(permutations(range(4)))
        for operation in orders[int(draws[module._ORDER] * len(orders))]:
            low, high = views._factors[operation]
            picture = adjust[operation](picture, low + (high - low) * draws[module._FIRST_FACTOR + operation])
    if draws[module._GRAYSCALE] < views.grayscale:
        picture = reference.rgb_to_grayscale(picture, 3)
    if draws[module._BLUR] < views.blur_probability:
        low, high = views.blur_sigma
        sigma = low + (high - low) * draws[module._SIGMA]
        kernel = max(3, round(0.1 * size) // 2 * 2 + 1)
        picture = reference.gaussian_blur(picture, [kernel, kernel], [sigma, sigma])
    return picture


@pytest.mark.parametrize("size", [None, 16, 28, 72])
def test_views_are_those_of_torchvision_picture_by_picture(size):
    views = TwoViews(size=size, blur_probability=0.5, jitter_probability=0.7, grayscale=0.4, seed=5)
    images, index = pictures(40), torch.arange(100, 140)
    for view, result in enumerate(views(images, index, epoch=3)):
        draws = uniform(index.numpy(), module._DRAWS, seed=5, epoch=3, stream=view)
        expected = torch.stack([_plain(views, *pair, size or 20) for pair in zip(images, draws, strict=True)])
        # Hue is discontinuous where channels nearly tie; everywhere else both agree to rounding.
        torch.testing.assert_close(result, expected, atol=2e-4, rtol=0)


@pytest.mark.parametrize("side", [16, 32, 96])
def test_a_view_depends_neither_on_its_batch_nor_on_threads(side):
    """Bit for bit; parts of one and of three pictures are at times all grey, or all blurred."""
    number = 600 // side
    images, index = pictures(number, size=side), torch.arange(number) * 7
    views = TwoViews(size=side, grayscale=0.5, blur_probability=0.5, seed=1)
    whole = torch.cat(views(images, index, 4))
    assert torch.equal(whole[number:], views.one(images, index, epoch=4, view=1))
    for size in (1, 3, number // 2):
        parts = [views(p, i, 4) for p, i in zip(images.split(size), index.split(size), strict=True)]
        assert torch.equal(whole, torch.cat([*(one for one, _ in parts), *(other for _, other in parts)]))
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    assert torch.equal(whole, torch.cat(views(images, index, 4)))
    torch.set_num_threads(threads)


@pytest.mark.parametrize("other", [{"epoch": 5}, {"seed": 2}, {"shift": 1}])
def test_seed_epoch_index_and_view_matter(other):
    images, index = pictures(), torch.arange(12)
    first, second = TwoViews(seed=1)(images, index, epoch=4)
    assert not torch.equal(first, second)
    changed = TwoViews(seed=other.get("seed", 1))(images, index + other.get("shift", 0), epoch=other.get("epoch", 4))[0]
    assert all(not torch.equal(a, b) for a, b in zip(first, changed, strict=True))


@pytest.mark.parametrize("channels", [1, 3])
def test_grey_pictures_are_worked_on_as_one_channel(channels):
    grey = pictures(channels=1)
    for view in TwoViews(seed=1, blur_probability=0.5)(grey.expand(-1, channels, -1, -1), torch.arange(12), 0):
        assert view.shape == (12, channels, 20, 20) and (view == view[:, :1]).all()
        assert channels == 1 or view.is_contiguous(memory_format=torch.channels_last)
    # Without the fast path the contrast's luma weights miss one by 1e-4.
    still = TwoViews(seed=1, saturation=0, hue=0, grayscale=0)
    fast = still(grey.expand(-1, 3, -1, -1), torch.arange(12), 0)
    plain = still(grey.repeat(1, 3, 1, 1), torch.arange(12), 0)
    torch.testing.assert_close(torch.cat(fast), torch.cat(plain), atol=2e-4, rtol=0)


def test_autocast_does_not_reach_the_views():
    images, index, views = pictures(), torch.arange(12), TwoViews(seed=1)
    plain = views(images, index, 0)
    with torch.autocast("cpu", torch.bfloat16):
        cast = views(images, index, 0)
    assert all(torch.equal(a, b) for a, b in zip(plain, cast, strict=True))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"crop_scale": (0.5, 0.2)}, r"crop_scale: \[0.5, 0.2\]"),
        ({"hue": 0.6}, "hue must be >= 0 and <= 0.5, not 0.6"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        TwoViews(**options)
