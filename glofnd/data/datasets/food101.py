"""Food-101 (Bossard, Guillaumin, Van Gool 2014): 101 dishes, 750 training and 250 test photographs of each."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from glofnd.data.datasets.subsets import published
from glofnd.data.datasets.tree import files_split, inside, plain_name, read_lines
from glofnd.data.options import BadSamplesPolicy, Encoding, ImageSize, MaxSkipped, OwnCopy, Samples, Shards, SplitSeed
from glofnd.data.split import Split
from glofnd.parameters import checked

__all__ = ["food101"]


def _build(raw: Path, split: str, parameters: dict[str, Any]) -> Split:
    """`food-101/meta/{classes,train,test}.txt` and `food-101/images/<class>/<number>.jpg`.

    Raises:
        ValueError: naming the line of a list whose class `classes.txt` does not have.
    """
    root = inside(raw, "food-101")
    classes = read_lines(root / "meta" / "classes.txt")
    number = {name: position for position, name in enumerate(classes)}
    listing = root / "meta" / f"{split}.txt"
    pictures = read_lines(listing)
    labels = []
    for line, picture in enumerate(pictures, start=1):
        name = picture.partition("/")[0]
        if name not in number:
            raise ValueError(f"{listing}: line {line}: {name!r} is not in classes.txt")
        labels.append(number[name])
    return files_split(
        [root / "images" / f"{picture}.jpg" for picture in pictures],
        {"label": labels},
        {"label": [plain_name(name) for name in classes]},
        published(labels, split, parameters),
        parameters,
    )


@checked
def food101(
    split: str,
    path: OwnCopy = None,
    image_size: ImageSize = 256,
    shards: Shards = 32,
    split_seed: SplitSeed = 0,
    encoding: Encoding = "jpg",
    bad_samples: BadSamplesPolicy = "fail",
    max_skipped: MaxSkipped = 0.01,
    train_samples: Samples = None,
    test_samples: Samples = None,
) -> Split:
    """Food-101."""
    return _build(Path(path or ""), split, dict(locals()))
