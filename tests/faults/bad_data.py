"""Small data sets with one thing wrong, and the command that makes shards of them."""

import io
import json
import tarfile

import numpy as np
from PIL import Image

from glofnd.data.__main__ import main

SIDE = 32
COLOURS = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [120, 120, 120]])
NAMES = ["red", "green", "blue", "grey"]


def saved(image, kind="PNG", **options):
    """A picture as the bytes of a file."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noisy(number, kind="PNG"):
    """Picture `number`: one of four colours with noise, never two alike."""
    generator = np.random.default_rng(number)
    pixels = np.clip(generator.normal(COLOURS[number % 4], 40, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8)
    return saved(Image.fromarray(pixels), kind)


def tar(path, members):
    """A tar of (name or `TarInfo`, bytes) members."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w") as archive:
        for name, data in members:
            info = name if isinstance(name, tarfile.TarInfo) else tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def members(numbers):
    """Picture, class and captions of samples, three members each."""
    found = []
    for n in numbers:
        texts = f"{NAMES[n % 4]}\nnumber {n}".encode()
        found += [(f"s{n:03d}.png", noisy(n)), (f"s{n:03d}.cls", str(n % 4).encode()), (f"s{n:03d}.txt", texts)]
    return found


def changed(content, name, data):
    """Members with another content of one of them, or without it where `data` is None."""
    assert name in [member for member, _ in content]
    return [(member, data if member == name else old) for member, old in content if member != name or data is not None]


def webdataset(root, content, split="train", tars=2):
    """A webdataset of members, in tars of whole samples."""
    (root / split).mkdir(parents=True, exist_ok=True)
    (root / "classnames.txt").write_text("\n".join(NAMES))
    keys = sorted({name.partition(".")[0] for name, _ in content})
    size = -(-len(keys) // tars)
    for number in range(tars):
        mine = set(keys[number * size : (number + 1) * size])
        tar(root / split / f"{number}.tar", [entry for entry in content if entry[0].partition(".")[0] in mine])
    return root


def folder_set(root, count=4, split="train"):
    """`count` pictures in a folder of each of two classes."""
    for label in range(2):
        folder = root / split / f"class{label}"
        folder.mkdir(parents=True, exist_ok=True)
        for n in range(count):
            (folder / f"{n}.png").write_bytes(noisy(4 * n + label))
    return root


def shard(root, out, dataset="webdataset", split="train", **block):
    """Exit code of `python -m glofnd.data shard`."""
    if dataset == "webdataset":
        block = {"captions_from": "txt", **block}
    block = {"dataset": dataset, "path": str(root), "shards": 2, "image_size": SIDE, **block}
    arguments = ["--dataset-config", json.dumps(block), "--name", "mine", "--split", split, "--out", str(out)]
    return main(["shard", *arguments, "--processes", "1"])


def refusal(capsys, *arguments, **block):
    """The one line that `shard` refuses with."""
    assert shard(*arguments, **block) == 2
    error = [line for line in capsys.readouterr().err.splitlines() if "/s, " not in line]  # without progress
    assert len(error) == 1 and error[0].startswith("error: "), error
    return error[0]
