"""Two random views of pictures on disk, ours beside torchvision's, in pictures per second.

    python benchmarks/pipeline.py                about 3 minutes on two idle cores
    python benchmarks/pipeline.py --quick        about half a minute

Ours is what pretraining does: `ShardStream`, then `TwoViews` on each batch. The peer is torchvision's plain pipeline:
`ImageFolder`, transforms of PIL pictures, `DataLoader`. Both read the same encoded photographs (from tars, from single
files, all in the page cache) with the default strengths of `views`, and end with the float batches that an encoder
gets. Each takes part with 0, 1 and 2 workers, in turns; the fastest of them counts. "cached" keeps decoded pictures in
memory, which pretraining does where they fit.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from benchmarks.objectives import race
from glofnd.data import shard
from glofnd.data.stream import ShardStream
from glofnd.parameters import parameters
from glofnd.views import TwoViews

Call = Callable[[], None]
WORKERS = (0, 1, 2)
# Side in pixels -> kind of file, pictures of an epoch, batch, and how many times as fast as the peer ours shall be.
RACES = {32: ("png", 2048, 256, 5.0), 224: ("jpg", 384, 64, 1.5)}


def write_pictures(folder: Path, number: int, size: int, extension: str) -> None:
    """Random squares of scikit-learn's two photographs, in `folder/files/train/<class>` and in `folder/shards`."""
    photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
    draw = np.random.default_rng(0)
    for index in range(number):
        photograph = photographs[index % len(photographs)]
        side = int(draw.integers(min(size, 112), min(photograph.size) + 1))
        left, top = (int(draw.integers(length - side + 1)) for length in photograph.size)
        square = photograph.crop((left, top, left + side, top + side)).resize((size, size), Image.Resampling.BICUBIC)
        path = folder / "files/train" / f"class{index % 4}" / f"{index:09d}.{extension}"
        path.parent.mkdir(parents=True, exist_ok=True)
        square.save(path, quality=95)
    options = {"path": str(folder / "files"), "image_size": size, "encoding": extension, "shards": 4}
    shard({"dataset": "folder", **options}, "photographs", "train", None, folder / "shards")


def ours(shards: Path, batch: int, workers: int, cache: bool) -> Call:
    """An epoch of our pipeline per call, each with its own draws."""
    stream = ShardStream(shards, batch_size=batch, seed=0, workers=workers, cache_bytes=2**31 if cache else 0)
    two_views, epochs = TwoViews(seed=0), count()
    stream.load()

    def epoch() -> None:
        number = next(epochs)
        for part in stream.epoch(number):
            two_views(part.images, part.index, number)

    return epoch


def pil_transform(size: int, views: dict[str, Any]) -> Callable[[Any], torch.Tensor]:
    """PIL picture -> float tensor `[3, size, size]`, as the plain SimCLR recipes have it."""
    strengths = (views[key] for key in ("brightness", "contrast", "saturation", "hue"))
    found = [
        transforms.RandomResizedCrop(size, scale=tuple(views["crop_scale"]), ratio=tuple(views["crop_ratio"])),
        transforms.RandomHorizontalFlip(views["flip"]),
        transforms.RandomApply([transforms.ColorJitter(*strengths)], p=views["jitter_probability"]),
        transforms.RandomGrayscale(views["grayscale"]),
    ]
    if views["blur_probability"]:
        blur = transforms.GaussianBlur(max(3, round(0.1 * size) // 2 * 2 + 1), sigma=tuple(views["blur_sigma"]))
        found.append(transforms.RandomApply([blur], p=views["blur_probability"]))
    return transforms.Compose([*found, transforms.ToTensor()])


class _Twice:
    def __init__(self, transform: Callable[[Any], torch.Tensor]) -> None:
        self.transform = transform

    def __call__(self, picture: Any) -> tuple[torch.Tensor, torch.Tensor]:
        return self.transform(picture), self.transform(picture)


def peer(files: Path, size: int, batch: int, workers: int) -> Call:
    """An epoch of torchvision's pipeline per call."""
    views = {name: option.default for name, option in parameters(TwoViews).items()}
    data = ImageFolder(str(files), _Twice(pil_transform(size, views)))
    batches = DataLoader(data, batch, shuffle=True, num_workers=workers, drop_last=True, persistent_workers=workers > 0)

    def epoch() -> None:
        for _ in batches:
            pass

    return epoch


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(RACES), choices=list(RACES))
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="two epochs per contender instead of seven")
    arguments = parser.parse_args()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.cores])
    torch.set_num_threads(arguments.cores)
    for size in arguments.sizes:
        extension, number, batch, wanted = RACES[size]
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_pictures(folder, number, size, extension)
            # Worker processes are forked: before ours has threads.
            calls = {("torchvision PIL", n): peer(folder / "files/train", size, batch, n) for n in WORKERS}
            calls |= {("ours, decoding", n): ours(folder / "shards", batch, n, cache=False) for n in WORKERS}
            calls["ours, cached", 0] = ours(folder / "shards", batch, 0, cache=True)
            found = race(calls, 0, 2 if arguments.quick else 7)
        best = {kind: min(t["ms"] / 1e3 for (other, _), t in found.items() if other == kind) for kind, _ in calls}
        print(f"\n{size} px, {extension}, batches of {batch}, load {os.getloadavg()[0]:.1f}")
        for kind, seconds in best.items():
            ratio, rate = best["torchvision PIL"] / seconds, number // batch * batch / seconds
            target = f" (target {wanted})" if kind.startswith("ours") else ""
            print(f"  {kind:16s} {rate:8.0f} pictures/s, {ratio:5.2f} times the peer{target}")


if __name__ == "__main__":
    main()
