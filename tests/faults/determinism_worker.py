"""From a folder of pictures to metrics in one process; prints a digest of everything that is written.

python determinism_worker.py FOLDER OF PICTURES, OUTPUT FOLDER, and `backwards` or `forwards`: the order in which the
file system lists names and in which the config has its keys.
"""

import hashlib
import json
import os
import sys
from pathlib import Path

import numpy as np

BACKWARDS = sys.argv[3] == "backwards"
LISTDIR, SCANDIR = os.listdir, os.scandir


class Listing:
    """`os.scandir` in the opposite of the alphabet."""

    def __init__(self, path="."):
        with SCANDIR(path) as entries:
            self.entries = iter(sorted(entries, key=lambda entry: entry.name, reverse=BACKWARDS))

    def __iter__(self):
        return self.entries

    def __next__(self):
        return next(self.entries)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.entries = iter(())


os.listdir = lambda path=".": sorted(LISTDIR(path), reverse=BACKWARDS)
os.scandir = Listing

from evaluation import evaluate  # noqa: E402
from glofnd import checkpoint  # noqa: E402
from glofnd.data import shard  # noqa: E402
from glofnd.pretraining import pretrain  # noqa: E402
from tests.glofnd.pretraining.tiny_run import make_config, numbers  # noqa: E402


def ordered(value):
    if isinstance(value, dict):
        return {key: ordered(inner) for key, inner in (reversed(value.items()) if BACKWARDS else value.items())}
    return value


def digest(value):
    if hasattr(value, "numpy"):
        value = value.numpy()
    content = value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def main(pictures, out):
    block = {"dataset": "folder", "path": str(pictures), "image_size": 16, "shards": 2, "test": "test"}
    for split in ("train", "test"):
        shard(ordered(block), "mine", split, None, out / "shards" / "mine" / split, 1)
    config = ordered(make_config("isogclr", "glofnd", encoder="resnet18", start_filter=1))
    run = out / "run"
    pretrain(config, out / "shards" / "mine" / "train", run)
    tasks = {"linear": [{"dataset": "mine", "fractions": [1], "draws": [1]}], "discovery": [{"dataset": "mine"}]}
    evaluate(config, ordered(tasks), run / "checkpoint.pt", out / "shards", run)

    found = {}
    for tar in sorted((out / "shards").glob("**/*.tar")):
        found[str(tar.relative_to(out))] = hashlib.sha256(tar.read_bytes()).hexdigest()[:16]
    for name, value in numbers(checkpoint.read(run / "checkpoint.pt")).items():
        found[f"checkpoint{name}"] = digest(value)
    for path in sorted(out.glob("**/*.npz")):
        with np.load(path) as arrays:
            # `origin` is the checksum of the checkpoint, in which the time stands.
            names = [name for name in arrays.files if name != "origin"]
            found |= {f"{path.relative_to(out)}/{name}": digest(arrays[name]) for name in names}
    for evaluation in ("linear", "discovery"):
        metrics = json.loads((run / evaluation / "metrics.json").read_text())["metrics"]
        found[f"{evaluation}/metrics"] = json.dumps(metrics, sort_keys=True)
    print(json.dumps(found, sort_keys=True))


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
